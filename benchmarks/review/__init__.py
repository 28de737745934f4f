"""Dumps → one self-contained page, tables and tidy files. Needs neither torch nor a network."""

from benchmarks.review.page import review

__all__ = ["review"]
