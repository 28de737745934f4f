"""Checks that need the data, the detector or the trainer, before any work."""
