"""Host C: the home AAA server, and a home agent beside it."""
