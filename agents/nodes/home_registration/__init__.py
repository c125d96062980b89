"""The Mobile IPv6 daemon of the mobile node."""
