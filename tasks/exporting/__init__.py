"""What ``task=export`` writes: graphs, a model card, and a reference of the preprocessing in NumPy."""
