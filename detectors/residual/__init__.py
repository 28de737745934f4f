"""Detectors made of a front end, which removes an image's content, and a small network trained on what is left."""
