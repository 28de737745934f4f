"""Scoring images with a checkpoint from Python (`load`) or the command line (`look`), and checkpoints by name."""
