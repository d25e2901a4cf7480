"""Where runs are started: on this machine, or by Slurm."""
