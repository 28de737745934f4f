"""RINE: class tokens of all blocks of a CLIP tower, weighted."""
