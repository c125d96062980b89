"""An approach, a topology and a daemon of somebody else."""
