"""Code shared by detectors: schedules, tuning, weights, precision."""
