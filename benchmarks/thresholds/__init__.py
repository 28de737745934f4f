"""Thresholds by rule, for any column of scores."""
