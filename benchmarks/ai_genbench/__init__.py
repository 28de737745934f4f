"""AI-GenBench (arXiv 2504.20865), the sliding-window benchmark: its protocol as plain functions."""
