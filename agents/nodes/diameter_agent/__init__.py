"""A Diameter relay or redirect agent: the library does the work."""
