"""Answers that tell of leases: none leaves before its lease is stored, all wait for one commit."""

from __future__ import annotations

from collections.abc import Callable

from agents.aaa.conversations import Conversation
from agents.aaa.leases import LeaseError, Leases
from agents.core.later import Later
from agents.core.record import Record
from agents.diameter.eap import DiameterEapAnswer

Make = Callable[[float], DiameterEapAnswer]
"""Returns an answer, given the time in seconds, and does what follows from it."""


class _Waiting(Record, frozen=True):
    """A conversation whose answer waits."""

    session: Conversation
    make: Make
    later: Later[DiameterEapAnswer]


class Unstored:
    """The answers that wait for the next commit of `leases`.

    `lost` is told, and why, of a conversation whose lease cannot be stored, before its answer is
    made.
    """

    def __init__(self, leases: Leases, lost: Callable[[Conversation, str, float], None]) -> None:
        self._leases = leases
        self._lost = lost
        self._waiting: list[_Waiting] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def answer(
        self, session: Conversation, make: Make, now: float
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        """Return a conversation's answer, or later if it tells of a lease that is not stored."""
        if not session.unstored:
            return make(now)
        later = Later[DiameterEapAnswer]()
        self._waiting.append(_Waiting(session, make, later))
        return later

    def commit(self, now: float) -> None:
        """Store what has been leased and released since the last time, and answer who waits.

        A bug that one of them meets is raised when the others have been answered.
        """
        waiting, self._waiting = self._waiting, []
        trouble = ""
        try:
            self._leases.commit()
        except LeaseError as error:
            trouble = str(error)
        bugs = []
        for one in waiting:
            one.session.unstored = False
            try:
                if trouble:
                    self._lost(one.session, trouble, now)
                one.later.settle(one.make(now))
            except Exception as error:
                bugs.append(error)
        if bugs:
            raise bugs[0]
