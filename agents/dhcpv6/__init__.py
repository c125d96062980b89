"""DHCPv6 for the discovery of home agents: client and relay agent (RFC 8415, 6422, 6610, 6611)."""
