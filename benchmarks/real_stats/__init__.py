"""Statistics of images combined by their p-values among real images."""
