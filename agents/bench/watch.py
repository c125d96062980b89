"""Whose code takes how long in a simulation."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from agents.simulation.world import NETWORK


class Watch:
    """Adds up the seconds of each turn (agents.simulation.world.World's `turn`), by a clock."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._who, self._since = NETWORK, self._clock()

    def turn(self, who: str) -> str:
        """Note whose turn it is; return whose it was."""
        now, before = self._clock(), self._who
        self._seconds[before] += now - self._since
        self._who, self._since = who, now
        return before

    def take(self) -> dict[str, float]:
        """Return the seconds of each, the NETWORK's among them, and begin anew with its turn."""
        self.turn(NETWORK)
        taken = dict(self._seconds)
        self._begin()
        return taken
