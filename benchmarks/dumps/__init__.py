"""The columns of a dump, ours and those of AI-GenBench's own files."""
