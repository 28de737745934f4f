"""Backbones of four libraries with a linear head."""
