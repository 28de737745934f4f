"""Detectors that ``task=export`` wrote for other programs, run by those programs' own libraries."""
