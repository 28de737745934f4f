"""PatchCraft: the difference between the poorest and the richest texture of an image."""
