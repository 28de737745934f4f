"""From a checkpoint and rows to files and tables."""
