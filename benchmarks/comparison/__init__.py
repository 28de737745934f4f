"""Two detectors on the same images."""
