"""Host A: the mobile node."""
