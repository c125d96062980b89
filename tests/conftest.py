"""Settings of all tests."""

from hypothesis import settings

# Examples are not kept: the tree may be read-only, and a failure names its example.
settings.register_profile("default", settings(database=None))
settings.load_profile("default")
