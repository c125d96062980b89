"""Settings of all tests."""

import signal

from hypothesis import settings

# Examples are not kept: the tree may be read-only, and a failure names its example. How long one
# may take depends on what else the machine does: nothing is measured here.
settings.register_profile("default", settings(database=None, deadline=None))
settings.load_profile("default")

# A shell starts what is in its background with interrupts ignored, and so would all that is started
# from here be; some of it is to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
