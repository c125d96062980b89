"""Settings of all tests."""

from hypothesis import settings

# Examples are not kept: the tree may be read-only, and a failure names its example. How long one
# may take depends on what else the machine does: nothing is measured here.
settings.register_profile("default", settings(database=None, deadline=None))
settings.load_profile("default")
