"""From batches to scores. No module here knows a data set."""
