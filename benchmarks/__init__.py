"""Protocols: which images, in which order, what is measured and what is averaged."""
