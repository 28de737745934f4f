"""AI-GenBench (arXiv 2504.20865): the sliding-window benchmark's protocol as plain functions."""
