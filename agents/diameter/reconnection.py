"""When a connection to a peer is made again (RFC 6733 sections 2.1, 5.4 and 12)."""

from __future__ import annotations

import random
from math import inf

from agents.core.machine import Retransmission, Timing
from agents.diameter.config import DiameterTimers

_JITTER = 0.25
"""By so much of itself a pause is longer or shorter: a server's clients do not return at once."""


class Reconnection:
    """The attempts to connect to one peer: `at` is when the next one is due.

    Until the peer has been reached for the first time, and for Tc at most, it may be about to
    start as this node is: attempts follow one another quickly. Afterwards the pauses grow to Tc.
    A peer that has asked to be left alone is, until a message waits for it.
    """

    def __init__(self, timers: DiameterTimers, rng: random.Random) -> None:
        self.at: float | None = None
        self._timers = timers
        self._rng = rng
        self._pauses: Retransmission | None = None
        self._stopped = True
        self._left_alone = False
        self._wanted = False
        self._starting_until = -inf
        self._earliest = -inf

    def start(self, now: float) -> None:
        """Let there be attempts from now on."""
        self._stopped = self._left_alone = False
        self._pauses, self._earliest = None, -inf
        self._starting_until = now + self._timers.reconnect

    def stop(self) -> None:
        """Let there be no more attempts."""
        self._stopped = True
        self.at = None

    def leave_alone(self) -> None:
        """Note that the peer wants no connection without a message for it (section 5.4)."""
        self._left_alone = True

    def reached(self) -> None:
        """Note that the peer's host has taken a connection."""
        self._starting_until = -inf

    def opened(self) -> None:
        """Note that capabilities are exchanged."""
        self.reached()
        self.at = self._pauses = None
        self._left_alone = self._wanted = False

    def closed(self, now: float) -> None:
        """Note the end of a connection, or of the attempt to make one."""
        due = self._next(now)
        self._earliest = min(due, now + self._timers.retry)
        wanted, self._wanted = self._wanted, False
        if wanted:
            self.hurry(now)
        elif not self._stopped and not self._left_alone:
            self.at = due

    def want(self) -> None:
        """Note that a message waits for the end of a connection that closes."""
        self._wanted = True

    def hurry(self, now: float) -> None:
        """Let the next attempt be as soon as may be, for a message waits."""
        if not self._stopped:
            self.at = min(inf if self.at is None else self.at, max(now, self._earliest))

    def _next(self, now: float) -> float:
        if now < self._starting_until:
            return now + self._timers.startup
        if self._pauses is None:
            longest = self._timers.reconnect
            timing = Timing(min(self._timers.retry, longest), longest, jitter=_JITTER)
            self._pauses = Retransmission(timing, self._rng, now)
        else:
            self._pauses.expire(now)
        return self._pauses.deadline
