"""Lightning callbacks: collection of scores, checkpoints, resume, signals."""
