"""Shows a data set before training, as one page and CSV files."""
