"""In: a TOML file. Out: a checked experiment, and the runs that it asks for in their order."""
