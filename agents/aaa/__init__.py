"""The home AAA server's knowledge: subscribers, home agent selection, home address leases."""
