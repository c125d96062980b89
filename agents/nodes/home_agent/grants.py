"""What the home AAA server has granted here, and which of its answers come too late to count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from agents.core.record import Record
from agents.diameter.config import same_identity
from agents.diameter.sessions import SessionRequest


class Granted(Record, frozen=True):
    """A grant: by which server, in which Diameter session, in answer to which question.

    The server may take it back in that session.
    """

    server: str
    session_id: str
    asked: int


class _Ended(Record, frozen=True):
    """Whose grants are over, and of which server; None is any."""

    server: str | None
    identity: str | None

    def covers(self, server: str, identity: str) -> bool:
        """Return whether a grant of a server's is over."""
        is_whose = self.identity in (None, identity)
        return is_whose and (self.server is None or same_identity(self.server, server))


G = TypeVar("G", bound=Granted)


class Grants(Generic[G]):
    """The grant that counts of each subscriber; questions to the server have numbers.

    The latest question that was granted counts, and what has ended is not granted once more by the
    answer to a question put before. `number` tells which of the client's Diameter sessions has a
    Session-Id, in the order in which they began; None is none.
    """

    def __init__(self, number: Callable[[str], int | None]) -> None:
        self._number = number
        self._by_identity: dict[str, G] = {}
        self._identities: dict[str, str] = {}
        """The subscribers by their Session-Ids."""

        self._latest: dict[str, int] = {}
        """The latest session of each subscriber, were it one that counts no more."""

        self._asked = 0
        self._under_way: dict[int, set[_Ended]] = {}
        """What has ended since a question was put."""

    def __contains__(self, identity: str) -> bool:
        return identity in self._by_identity

    def __getitem__(self, identity: str) -> G:
        return self._by_identity[identity]

    def get(self, identity: str | None) -> G | None:
        """Return the grant of a subscriber."""
        return self._by_identity.get(identity) if identity is not None else None

    # Questions

    def ask(self, session_id: str = "") -> int:
        """Return the number of a question that is put now: its session's, if that is its alone."""
        self._asked = self._number(session_id) or self._asked + 1
        self._under_way[self._asked] = set()
        return self._asked

    def answered(self, asked: int) -> None:
        """Forget a question, which nobody waits for any more."""
        self._under_way.pop(asked, None)

    def is_late(self, asked: int, server: str, identity: str) -> bool:
        """Return whether what the answer to a question grants has been granted or ended since."""
        granted = self._by_identity.get(identity)
        if granted is not None and granted.asked > asked:
            return True
        return any(ended.covers(server, identity) for ended in self._under_way.get(asked, ()))

    def abort(self, asked: int, request: SessionRequest) -> bool:
        """Take back what the server that says so grants by the answer to a question.

        Who else says so has no say: which server grants is known when it does. Return whether the
        question is under way; if its answer never came, earlier ones that are give nothing either.
        """
        if request.user_name is not None:
            self._end_before(asked, _Ended(request.origin_host, request.user_name))
        since = self._under_way.get(asked)
        if since is not None:
            since.add(_Ended(request.origin_host, None))
        return since is not None

    def _end_before(self, asked: int, ended: _Ended) -> None:
        for number, since in self._under_way.items():
            if number < asked:
                since.add(ended)

    # Grants

    def note(self, identity: str, granted: G) -> None:
        """Know what counts of a subscriber from now on."""
        if before := self._by_identity.get(identity):
            self._identities.pop(before.session_id, None)
        self._by_identity[identity] = granted
        self._identities[granted.session_id] = identity
        number = self._number(granted.session_id) or 0
        self._latest[identity] = max(number, self._latest.get(identity, 0))

    def end(self, identity: str) -> G | None:
        """Forget what counts of a subscriber, and return it."""
        granted = self._by_identity.pop(identity, None)
        if granted is not None:
            del self._identities[granted.session_id]
            del self._latest[identity]
            self._end_before(granted.asked, _Ended(None, identity))
        return granted

    def passes_on(self, owner: str, identity: str, asked: int, server: str) -> bool:
        """Return whether a server has given to another what `owner` has, by the answer to `asked`.

        By that it says no more than by ending the session of `owner`, of which this host has not
        heard: it is whoever has granted that, and only what was asked since then counts.
        """
        granted = self._by_identity.get(owner)
        if owner == identity or granted is None or granted.asked >= asked:
            return False
        return same_identity(server, granted.server)

    def meant(self, request: SessionRequest) -> str | None:
        """Return whose session the server means that has granted it, None if it is nobody's.

        The Session-Id says which it is (RFC 6733 section 8.5). The server may know a later one,
        the answer about which never came: then the User-Name says whose.
        """
        identity = self._identities.get(request.session_id)
        if identity is None and self._is_later(request):
            identity = request.user_name
        granted = self.get(identity)
        if granted is None or not same_identity(request.origin_host, granted.server):
            return None
        return identity

    def _is_later(self, request: SessionRequest) -> bool:
        """Return whether a session of this client's began after all that a subscriber had here."""
        latest = self._latest.get(request.user_name or "")
        number = self._number(request.session_id)
        return latest is not None and number is not None and number > latest
