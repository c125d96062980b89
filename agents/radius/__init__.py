"""RADIUS (RFC 2865, RFC 2866, RFC 3579): wire format, client and server, no I/O."""
