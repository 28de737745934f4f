"""Subjects: metrics, their intervals, and the review page."""
