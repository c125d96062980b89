"""First authentications under way at a PAA: how many there may be, in all and of one host."""

from __future__ import annotations

from collections import Counter

from agents.machine import PeerError
from agents.pana.paa_session import PaaSession
from agents.pana.places import Host, Place, host_at

MAX_HALF_OPEN = 256
"""Under way at once: eight a second, if each lasts as long as it may."""

MAX_HALF_OPEN_PER_HOST = 4
"""Those of one host: one, and a few given up by a PaC that has started again."""


class HalfOpen:
    """Sessions whose PaC has yet to authenticate, by the place that opened each.

    State is kept from the first message (`stateless` False) as long as less than half of `limit`
    are under way and none of the same host. So forged sources take half at most, and one session
    in another's name. Who answers may have `per_host`.
    """

    def __init__(self, limit: int, per_host: int, *, stateless: bool) -> None:
        self._limit = limit
        self._per_host = per_host
        self._stateless_from = 0 if stateless else (limit + 1) // 2
        self._sessions: dict[Place, PaaSession] = {}
        self._of_host: Counter[Host] = Counter()

    def get(self, place: Place) -> PaaSession | None:
        """Return the session that was opened from a place."""
        return self._sessions.get(place)

    def needs_proof(self, host: Host) -> bool:
        """Return whether a host has to answer before anything is kept of it."""
        return self._of_host[host] > 0 or len(self._sessions) >= self._stateless_from

    def make_room(self, place: Place) -> PaaSession | None:
        """Return the session that has to give way to a new one from a place, None if none has to.

        That is another from there, or the oldest. Raises PeerError if the host has enough. Those
        that have succeeded do not give way.
        """
        before = self._sessions.get(place)
        if before is not None and not before.admitted:
            return before
        if before is not None or self._of_host[host_at(place)] >= self._per_host:
            raise PeerError(f"{self._per_host} authentications of this host are under way")
        if len(self._sessions) < self._limit:
            return None
        for session in self._sessions.values():
            if not session.admitted:
                return session
        raise PeerError(f"{self._limit} PaCs have yet to confirm their success")

    def add(self, session: PaaSession) -> None:
        """Count a new session."""
        self._sessions[session.opener] = session
        self._of_host[host_at(session.opener)] += 1

    def remove(self, session: PaaSession) -> None:
        """Count a session no more; twice does no harm."""
        if self._sessions.get(session.opener) is not session:
            return
        del self._sessions[session.opener]
        host = host_at(session.opener)
        self._of_host[host] -= 1
        if not self._of_host[host]:
            del self._of_host[host]
