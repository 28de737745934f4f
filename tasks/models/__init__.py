"""A checkpoint in one line: scoring images that a program or a command line names; named checkpoints."""
