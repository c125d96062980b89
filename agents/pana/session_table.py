"""The sessions of a PAA: by number, by the PaC's host, by subscriber, and by deadline."""

from __future__ import annotations

import random
from collections.abc import Iterator

from agents.core.index import Index
from agents.core.timers import Timers
from agents.pana.config import PaaConfig
from agents.pana.half_open import HalfOpen
from agents.pana.paa_session import PaaSession
from agents.pana.paa_table import PaaState
from agents.pana.places import Host

LINGER = 60.0
"""Seconds for which a closed session still answers duplicates of the PaC's last request."""


class SessionTable:
    """Every session that a PAA keeps, closed ones that linger included.

    The owner calls `update` whenever a session has done something.
    """

    def __init__(self, config: PaaConfig, rng: random.Random) -> None:
        self.half_open = HalfOpen(config, rng)
        self.hosts = Index[PaaSession, Host]()
        self.subscribers = Index[PaaSession, str]()
        self._max_per_subscriber = config.max_per_subscriber
        self._sessions: dict[int, PaaSession] = {}
        self._lingering: dict[int, float] = {}
        self._timers = Timers[int]()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[PaaSession]:
        return iter(self._sessions.values())

    def __contains__(self, number: object) -> bool:
        return number in self._sessions

    def get(self, number: int) -> PaaSession | None:
        """Return the session of this number."""
        return self._sessions.get(number)

    def at(self, host: Host) -> tuple[PaaSession, ...]:
        """Return the sessions of a host."""
        return self.hosts.at(host)

    def is_free(self, number: int, host: Host) -> bool:
        """Return whether no session but this one holds a host's address."""
        return not any(other.admitted and other.number != number for other in self.at(host))

    def add(self, session: PaaSession, now: float) -> None:
        """Take a new session in."""
        self._sessions[session.number] = session
        self.half_open.add(session, now)

    def name(self, session: PaaSession, subscriber: str | None) -> PaaSession | None:
        """Note whose a session is; return the subscriber's oldest if that makes one too many."""
        session.subscriber = subscriber
        self.subscribers.put(session, None)
        if not subscriber:
            return None
        self.subscribers.put(session, subscriber)
        there = self.subscribers.at(subscriber)
        return there[0] if len(there) > self._max_per_subscriber else None

    def update(self, session: PaaSession, now: float) -> None:
        """Note what became of a session; forget a closed one, if it has answered, a while later."""
        number = session.number
        if is_half_open(session):
            self.half_open.update(session)
        else:
            self.half_open.remove(session)
        if session.state is not PaaState.CLOSED:
            self._set_timer(number, session.next_timeout())
            self.hosts.put(session, session.host)
            return
        self.subscribers.put(session, None)
        if not (session.proved_at and session.transactions.has_answered):
            self._forget(session)
        elif number not in self._lingering:
            for other in self.hosts.at(session.host):
                if other.number in self._lingering:
                    self._forget(other)
            self._lingering[number] = now + LINGER
            self._timers.set(number, self._lingering[number])
        elif self._lingering[number] <= now:
            self._forget(session)

    def _set_timer(self, number: int, deadline: float | None) -> None:
        if deadline is None:
            self._timers.cancel(number)
        else:
            self._timers.set(number, deadline)

    def _forget(self, session: PaaSession) -> None:
        number = session.number
        self._timers.cancel(number)
        self.hosts.put(session, None)
        self._lingering.pop(number, None)
        self._sessions.pop(number, None)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of all sessions in seconds, None if no timer runs."""
        return self._timers.next()

    def due(self, now: float) -> Iterator[PaaSession]:
        """Yield the sessions that have a deadline which is not after `now`."""
        while (number := self._timers.pop(now)) is not None:
            yield self._sessions[number]


def is_half_open(session: PaaSession) -> bool:
    """Return whether the session's first authentication is under way."""
    return not session.proved_at and session.state not in (PaaState.LOST, PaaState.CLOSED)
