"""Attempts that are made again after a pause, which grows while they fail."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 60.0
"""In seconds. What has lasted as long as the longest pause begins with the first one again."""


class Retry:
    """One timer for the next attempt; its owner tells when one begins."""

    def __init__(self, attempt: Callable[[], None]) -> None:
        self._attempt = attempt
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._pause = FIRST_PAUSE
        self._begun_at = -math.inf

    def begun(self) -> None:
        """Note that an attempt begins."""
        self._begun_at = self._loop.time()

    def later(self) -> None:
        """Make another attempt after a pause, unless one is due already."""
        if self._timer:
            return
        if self._loop.time() - self._begun_at >= LONGEST_PAUSE:
            self._pause = FIRST_PAUSE
        self._timer = self._loop.call_later(self._pause, self._expire)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _expire(self) -> None:
        self._timer = None
        self._attempt()

    def close(self) -> None:
        """Make no more attempts."""
        if self._timer:
            self._timer.cancel()
