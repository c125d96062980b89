"""How long to wait for a machine: deadlines are a usual one's, and a slow one takes longer."""

from __future__ import annotations

import os

SLOWNESS = "MIP6LAB_SLOWNESS"
"""The environment's variable with how many times longer things take here, as it was measured."""


def patient(seconds: float) -> float:
    """Return how long to wait here for what takes a usual machine at most so many seconds."""
    return seconds * max(1.0, float(os.environ.get(SLOWNESS, "1")))
