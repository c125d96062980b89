"""What runs inside a host: one package a protocol, and the roles that put them together."""
