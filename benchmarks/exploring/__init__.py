"""A look at a data set before training: one page and tidy files."""
