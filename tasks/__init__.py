"""One verb a file: what `task=` chooses."""
