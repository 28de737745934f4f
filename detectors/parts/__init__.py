"""Code shared by detectors: weights, normalisation, precision, slices of a batch."""
