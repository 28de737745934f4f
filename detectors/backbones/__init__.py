"""Backbones of the libraries: building them, their weights, tokens and features."""
