"""A home agent."""
