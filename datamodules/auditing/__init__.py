"""What a data set gives away before a detector sees a pixel."""
