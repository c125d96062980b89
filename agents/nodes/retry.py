"""Attempts that are made again after a pause, which grows while they fail."""

from __future__ import annotations

import math
from collections.abc import Callable

from agents.core.host import Host

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 60.0
"""In seconds. What has lasted as long as the longest pause begins with the first one again."""


class Retry:
    """One timer for the next attempt; its owner tells when one begins that this has not begun."""

    def __init__(self, host: Host, attempt: Callable[[], None]) -> None:
        self._host = host
        self._attempt = attempt
        self._timer = host.timer(self._begin)
        self._pause = FIRST_PAUSE
        self._begun_at = -math.inf

    def _begin(self) -> None:
        self.begun()
        self._attempt()

    def begun(self) -> None:
        """Note that an attempt begins."""
        self._begun_at = self._host.now()

    def later(self) -> None:
        """Make another attempt after a pause, unless one is due already."""
        if self._timer.running:
            return
        if self._host.now() - self._begun_at >= LONGEST_PAUSE:
            self._pause = FIRST_PAUSE
        self._timer.start(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def close(self) -> None:
        """Make no more attempts."""
        self._timer.stop()
