"""``task=leaderboard``: many detectors in one table for each protocol, and whether their ranks differ significantly."""
