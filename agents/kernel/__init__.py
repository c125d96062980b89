"""The kernel's side: IPsec, tunnels, addresses and packet filter, with a fake for tests."""
