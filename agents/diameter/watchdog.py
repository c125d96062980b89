"""The watchdog that finds out whether a connection still works (RFC 3539 section 3.4.1).

The INITIAL and DOWN timers, which reopen a connection, are the peer's Tc (RFC 6733 section 2.1).
"""

from __future__ import annotations

import random
from enum import Enum

_JITTER = 2.0
_CONFIRMATIONS = 3


class WatchdogState(Enum):
    """The states of RFC 3539."""

    INITIAL = "INITIAL"
    OKAY = "OKAY"
    SUSPECT = "SUSPECT"
    DOWN = "DOWN"
    REOPEN = "REOPEN"


class Verdict(Enum):
    """What the owner has to do when the timer has run out."""

    PROBE = "send a DWR"
    FAILOVER = "move requests elsewhere"
    CLOSE = "close the connection"
    NOTHING = "nothing"


class Watchdog:
    """One connection's watchdog; `interval` is Twinit in seconds."""

    def __init__(self, interval: float, rng: random.Random) -> None:
        self.state = WatchdogState.INITIAL
        self.deadline: float | None = None
        self._interval = interval
        # Below the RFC's least interval of 6 s the jitter keeps its proportion.
        self._jitter = min(_JITTER, interval / 3)
        self._rng = rng
        self._pending = False
        self._confirmations = 0

    def _arm(self, now: float) -> None:
        self.deadline = now + self._interval + self._rng.uniform(-self._jitter, self._jitter)

    def connected(self, now: float) -> bool:
        """Note that the connection is up; return whether a DWR is to be sent at once."""
        self._arm(now)
        if self.state is WatchdogState.INITIAL:
            self.state = WatchdogState.OKAY
            self._pending = False
            return False
        self.state = WatchdogState.REOPEN
        self._pending = True
        self._confirmations = 0
        return True

    def disconnected(self, *, clean: bool) -> None:
        """Note that the connection is gone; after a clean end the next one starts anew."""
        self.state = WatchdogState.INITIAL if clean else WatchdogState.DOWN
        self.deadline = None

    def received_answer(self, now: float) -> None:
        """Note a DWA."""
        self._pending = False
        if self.state is WatchdogState.REOPEN:
            self._confirmations = max(self._confirmations, 0) + 1
            if self._confirmations == _CONFIRMATIONS:
                self.state = WatchdogState.OKAY
            return
        self.received_other(now)

    def received_other(self, now: float) -> None:
        """Note a message that is not a DWA."""
        if self.state in (WatchdogState.OKAY, WatchdogState.SUSPECT):
            self.state = WatchdogState.OKAY
            self._arm(now)

    def expire(self, now: float) -> Verdict:
        """Act on the deadline."""
        self._arm(now)
        if not self._pending:
            if self.state in (WatchdogState.OKAY, WatchdogState.REOPEN):
                self._pending = True
                return Verdict.PROBE
        elif self.state is WatchdogState.OKAY:
            self.state = WatchdogState.SUSPECT
            return Verdict.FAILOVER
        elif self.state is WatchdogState.REOPEN and self._confirmations >= 0:
            self._confirmations = -1
            return Verdict.NOTHING
        return Verdict.CLOSE
