"""Attempts that are made again after a pause, which grows while they fail."""

from __future__ import annotations

import math
from collections.abc import Callable

from agents.core.host import Host
from agents.nodes.crowd import USUAL, CrowdSettings

FIRST_PAUSE, LONGEST_PAUSE = USUAL.retry_first, USUAL.retry_longest
"""In seconds. What has lasted as long as the longest pause begins with the first one again."""


class Retry:
    """One timer for the next attempt; its owner tells when one begins that this has not begun."""

    def __init__(
        self, host: Host, attempt: Callable[[], None], crowd: CrowdSettings = USUAL
    ) -> None:
        self._host = host
        self._crowd = crowd
        self._attempt = attempt
        self._timer = host.timer(self._begin)
        self._pause = crowd.retry_first
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
        crowd = self._crowd
        if self._host.now() - self._begun_at >= crowd.retry_longest:
            self._pause = crowd.retry_first
        jitter = crowd.retry_jitter
        self._timer.start(
            self._pause * (1 + self._host.rng.uniform(-jitter, jitter) if jitter else 1)
        )
        self._pause = min(2 * self._pause, crowd.retry_longest)

    def close(self) -> None:
        """Make no more attempts."""
        self._timer.stop()
