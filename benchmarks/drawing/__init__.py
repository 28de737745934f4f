"""Plots and maps as images."""
