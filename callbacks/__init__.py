"""What happens beside training: dumps, checkpoints, resume, run card."""
