"""Subjects: networks and published detectors, their training and their exported graphs."""
