"""One self-contained page, tables and tidy files from dumps. Needs neither torch nor a network."""

from benchmarks.review.page import review

__all__ = ["review"]
