"""Mobile IPv6 (RFC 6275): mobile node and home agent, no I/O."""
