"""Confidence intervals by a bootstrap: plain, and compiled for large dumps."""
