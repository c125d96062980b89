"""How slow this machine is, measured by what most of the waiting is for: the start of a program."""

from __future__ import annotations

import subprocess
import sys
import time

USUAL = 0.5
"""Seconds that a start may take where deadlines are as they are written.

That is user-mode Linux on a common machine; an ordinary kernel takes a quarter of it.
"""

_PROGRAM = "import asyncio, ssl"


def slowness() -> float:
    """Return how many times longer a program takes to start than deadlines allow for; at least 1.

    It counts whatever makes it so: the processor, its load, the files.
    """
    began = time.monotonic()
    subprocess.run((sys.executable, "-c", _PROGRAM), check=True)
    return slower(time.monotonic() - began)


def slower(seconds: float) -> float:
    """Return the slowness of a machine on which a program takes so many seconds to start."""
    return max(1.0, round(seconds / USUAL, 1))
