"""ZED: zero-shot detection by the coding cost of a lossless compressor trained only on real images."""
