"""The programs that run in a host: each builds its machines from a configuration."""
