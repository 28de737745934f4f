"""Explanations of a score: the maps that a detector sees, and where a backbone attends."""
