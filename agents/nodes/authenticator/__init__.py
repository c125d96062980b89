"""Host B: the access router."""
