"""A correspondent node that takes part in route optimisation."""
