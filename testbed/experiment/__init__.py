"""In: a TOML file. Out: the runs that it asks for."""
