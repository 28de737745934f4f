"""From files to batches. Knows no detector."""
