"""The program mip6lab, also as `python -m testbed`."""

import signal

# An early Ctrl-C ends the program at once, not with a traceback out of an import.
_handler = signal.getsignal(signal.SIGINT)
if _handler is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from testbed.cli import main  # noqa: E402

signal.signal(signal.SIGINT, _handler)

if __name__ == "__main__":
    main(prog_name="mip6lab")
