"""ZED: zero-shot detection from the coding cost of a lossless compressor trained on real images only."""
