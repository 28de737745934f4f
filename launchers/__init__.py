"""Launchers run jobs as local processes, on a SLURM cluster, or on a Ray cluster."""
