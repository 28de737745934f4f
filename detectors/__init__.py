"""From batches to scores. Knows no data set."""
