"""What runs inside a host: one package per protocol, and the roles that put them together."""
