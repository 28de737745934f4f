"""Explanations of a score: the maps that a detector sees, and the attention of a backbone."""
