"""First authentications under way at a PAA: how many there may be, and which one gives way."""

from __future__ import annotations

import random

from agents.core.machine import PeerError
from agents.core.quotas import Lottery
from agents.pana.config import PaaConfig
from agents.pana.paa_session import PaaSession
from agents.pana.places import Host, Place, host_at

GIVES_WAY_AFTER = 2.0
"""Seconds after which a host's own may give way to its newer: two per second are all it begins."""

STAGES = 3
"""How far EAP has come: no response heard, the identity, and what costs a round to the AAA."""


class HalfOpen:
    """Sessions whose PaC has yet to authenticate, by the place that opened each.

    Unless the PAA is stateless, state is kept from the first message as long as less than half of
    `max_half_open` are under way and none of the same host. So forged sources take half at most,
    and one session in another's name. Who answers may have `max_half_open_per_host`, and then
    begins again in place of its own oldest.

    When there are `max_half_open`, one drawn at random gives way: were it the oldest, whoever
    begins fast enough would displace all who authenticate. It comes from the earliest stage of EAP
    that has more than its share of the places. So what has come further stays, and nobody keeps all
    others out by filling a late stage.
    """

    def __init__(self, config: PaaConfig, rng: random.Random) -> None:
        self._limit = config.max_half_open
        self._displaces = config.displaces
        self._per_host = config.max_half_open_per_host
        self._stateless_from = 0 if config.stateless else (self._limit + 1) // 2
        self._sessions: dict[Place, PaaSession] = {}
        self._of_host: dict[Host, dict[PaaSession, float]] = {}
        self._stages = tuple(Lottery[PaaSession](rng) for _ in range(STAGES))
        self._stage_of: dict[PaaSession, Lottery[PaaSession]] = {}

    def get(self, place: Place) -> PaaSession | None:
        """Return the session that was opened from a place."""
        return self._sessions.get(place)

    def needs_proof(self, host: Host) -> bool:
        """Return whether a host has to answer before anything is kept of it."""
        return host in self._of_host or len(self._sessions) >= self._stateless_from

    def make_room(self, place: Place, now: float) -> PaaSession | None:
        """Return the session that has to give way to a new one from a place, None if none has to.

        That is another from there, the oldest of a host that has enough, or one drawn at random.
        Raises PeerError if all are too new, or have succeeded: those do not give way. A host that
        has others under way must have answered first (`needs_proof`).
        """
        before = self._sessions.get(place)
        if before is not None and not before.admitted:
            return before
        own = self._of_host.get(host_at(place), {})
        if before is not None or len(own) >= self._per_host:
            for session, begun in own.items():
                if before is None and not session.admitted and begun + GIVES_WAY_AFTER <= now:
                    return session
            raise PeerError(f"{self._per_host} authentications of this host are under way")
        if len(self._sessions) < self._limit:
            return None
        if not self._displaces:
            raise PeerError(f"{self._limit} authentications are under way")
        occupied = [stage for stage in self._stages if len(stage)]
        if not occupied:
            raise PeerError(f"{self._limit} PaCs have yet to confirm their success")
        crowded = [stage for stage in occupied if len(stage) > self._limit // STAGES]
        return (crowded or occupied)[0].pick()

    def add(self, session: PaaSession, now: float) -> None:
        """Count a new session."""
        self._sessions[session.opener] = session
        self._of_host.setdefault(host_at(session.opener), {})[session] = now
        self.update(session)

    def update(self, session: PaaSession) -> None:
        """Note how far a session has come; one that has succeeded is in no stage."""
        if self._sessions.get(session.opener) is not session:
            return
        stage = self._stages[min(session.authentication.responses, STAGES - 1)]
        self._put(session, None if session.admitted else stage)

    def _put(self, session: PaaSession, stage: Lottery[PaaSession] | None) -> None:
        before = self._stage_of.get(session)
        if stage is before:
            return
        if before is not None:
            before.remove(session)
            del self._stage_of[session]
        if stage is not None:
            stage.add(session)
            self._stage_of[session] = stage

    def remove(self, session: PaaSession) -> None:
        """Count a session no more; twice does no harm."""
        if self._sessions.get(session.opener) is not session:
            return
        del self._sessions[session.opener]
        self._put(session, None)
        host = host_at(session.opener)
        del self._of_host[host][session]
        if not self._of_host[host]:
            del self._of_host[host]
