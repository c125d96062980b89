"""What the machines cost: CPU time, without a network."""

FOLDER = "bench-mip6lab-"
"""How temporary folders begin; those that begin with mip6lab- are a lab's, which clears them."""
