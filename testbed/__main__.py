"""The program mip6lab, also as `python -m testbed`."""

import signal

# Ctrl-C ends the program at once as long as nothing is under way: an import would make a traceback
# of it. testbed.cli makes it a KeyboardInterrupt where something is.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from testbed.cli import main

if __name__ == "__main__":
    main(prog_name="mip6lab")
