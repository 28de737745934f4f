"""Backbones from four libraries with a linear head."""
