"""Logits turned into probabilities that agree with observed shares, and how well they agree."""
