"""Discovery of home agents by DNS (RFC 5026 section 5.1)."""
