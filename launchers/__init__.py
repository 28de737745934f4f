"""Where jobs run: here, as processes, on a SLURM cluster, or on a Ray cluster."""
