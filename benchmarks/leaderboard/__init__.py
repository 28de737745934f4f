"""``task=leaderboard``: many detectors in one table for each protocol, and what their ranks are worth."""
