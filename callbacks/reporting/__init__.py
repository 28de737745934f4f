"""What a run shows and logs: progress, history, axes and pages of loggers."""
