"""The process that a command runs in: its signals, its rank, and whether Lightning is imported."""
