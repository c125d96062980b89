"""PANA (RFC 5191) with the extension for Mobile IPv6 bootstrapping."""
