"""People's answers to the question real or generated: measured, and compared with detectors."""
