"""A person's answers to the question a detector is asked: real or generated? Measured, and compared with detectors."""
