"""Checks of a data set before training: shortcuts in metadata, and copies."""
