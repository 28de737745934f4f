"""Neighbouring Pixel Relationships, at one or several scales."""
