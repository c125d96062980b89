"""What the machines cost: CPU time, without a network."""
