"""Output of a run: progress, history, axes and pages of loggers."""
