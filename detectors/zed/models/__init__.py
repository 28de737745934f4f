"""Density models of images: the pyramid, heads and SReC."""
