"""Density models of images: pyramid, heads, SReC."""
