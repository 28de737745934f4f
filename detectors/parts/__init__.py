"""What detectors share: schedules, tuning, weights, precision."""
