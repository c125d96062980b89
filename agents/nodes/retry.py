"""Attempts: each that fails is told, and another is made after a pause, which grows meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Retransmission, Timing
from agents.nodes.crowd import USUAL, CrowdSettings

FIRST_PAUSE, LONGEST_PAUSE = USUAL.retry_first, USUAL.retry_longest
"""In seconds. What has lasted as long as the longest pause begins with the first one again."""

Stage: TypeAlias = Literal["address", "pana", "802.1X", "discovery", "ike", "binding"]
"""What of a bootstrap fails."""


class Attempts:
    """The attempts of one mobile node: whoever judges them hears of each that has failed.

    There is no last one. `attempt` counts them from 1.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._failed = 0

    def fail(self, stage: Stage, reason: str) -> None:
        """Tell that an attempt has failed, where and why."""
        self._failed += 1
        self._log.write("AttemptFailed", attempt=self._failed, stage=stage, reason=reason)


class Retry:
    """One timer for a stage's next attempt; its owner tells when one begins that it has not begun.

    The pauses are those of RFC 8415 section 15: doubled, up to the longest one, and all longer or
    shorter by a part at random. A refusal that will be the same next time has the longest at once.
    """

    def __init__(
        self, host: Host, attempt: Callable[[], None], crowd: CrowdSettings = USUAL
    ) -> None:
        self._host = host
        self._attempt = attempt
        self._timing = Timing(crowd.retry_first, crowd.retry_longest, jitter=crowd.retry_jitter)
        self._timer = host.timer(self._begin)
        self._pauses: Retransmission | None = None
        self._begun_at = -math.inf

    def _begin(self) -> None:
        self.begun()
        self._attempt()

    def begun(self) -> None:
        """Note that an attempt begins."""
        self._begun_at = self._host.now()

    def later(self, *, refused: bool = False) -> None:
        """Make another attempt after a pause, unless one is due already."""
        if self._timer.running:
            return
        now, longest = self._host.now(), self._timing.maximum
        if self._pauses is None or now - self._begun_at >= longest:
            self._pauses = Retransmission(self._timing, self._host.rng, now)
        else:
            self._pauses.expire(now)
        if refused:
            self._pauses.slow_down(now)
        self._timer.start_at(self._pauses.deadline)

    def close(self) -> None:
        """Make no more attempts."""
        self._timer.stop()
