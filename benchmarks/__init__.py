"""Protocols: which images are used, in which order, and how metrics are measured and averaged."""
