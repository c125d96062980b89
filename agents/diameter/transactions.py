"""Requests on their way and requests that were answered (RFC 6733 sections 3 and 6.2)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from agents.core.folding import ascii_lower
from agents.core.record import Record
from agents.core.timers import Timers
from agents.diameter import dictionary as d
from agents.diameter.wire import Message

_MAXIMUM_REMEMBERED = 4096


class Origin(Record, frozen=True):
    """Where a request came from that is not our own."""

    connection: int
    peer: str
    hop_by_hop: int


@dataclass(slots=True)
class Pending:
    """A request without an answer; `origin` None: it is our own.

    `peer` and `hop_by_hop` say where it was sent last, `tried` who could not deliver it. It is
    `uncertain` once a peer failed that may have acted on it: then it goes with the T flag. A
    redirect agent has sent it to the hosts `redirected`.
    """

    token: int
    message: Message
    deadline: float
    origin: Origin | None = None
    peer: str | None = None
    hop_by_hop: int = 0
    transmissions: int = 0
    uncertain: bool = False
    tried: set[str] = field(default_factory=set)
    redirected: tuple[str, ...] = ()


class PendingTable:
    """The pending requests by token and by hop-by-hop identifier."""

    def __init__(self) -> None:
        self._by_token: dict[int, Pending] = {}
        self._by_hop: dict[int, Pending] = {}
        self._deadlines: Timers[int] = Timers()

    def __len__(self) -> int:
        return len(self._by_token)

    def add(self, pending: Pending) -> None:
        """Keep a request until it is answered or its deadline has come."""
        self._by_token[pending.token] = pending
        self._deadlines.set(pending.token, pending.deadline)

    def get(self, token: int) -> Pending | None:
        """Return the request under a token."""
        return self._by_token.get(token)

    def sent(self, pending: Pending, peer: str, hop_by_hop: int) -> None:
        """Note that a request left for `peer`."""
        self.recall(pending)
        pending.peer, pending.hop_by_hop = peer, hop_by_hop
        pending.transmissions += 1
        self._by_hop[hop_by_hop] = pending

    def recall(self, pending: Pending) -> None:
        """Forget where a request was sent."""
        if pending.peer is not None:
            self._by_hop.pop(pending.hop_by_hop, None)
            pending.peer = None

    def answered(self, answer: Message, peer: str) -> Pending | None:
        """Return the request that an answer from `peer` belongs to."""
        pending = self._by_hop.get(answer.hop_by_hop)
        if (
            pending is None
            or pending.peer != peer
            or pending.message.command != answer.command
            or pending.message.end_to_end != answer.end_to_end
        ):
            return None
        return pending

    def remove(self, pending: Pending) -> None:
        """Forget a request."""
        self.recall(pending)
        self._by_token.pop(pending.token, None)
        self._deadlines.cancel(pending.token)

    def at(self, peer: str) -> list[Pending]:
        """Return the requests that wait for an answer from `peer`, oldest first."""
        return [pending for pending in self._by_token.values() if pending.peer == peer]

    def waiting(self) -> list[Pending]:
        """Return the requests that wait for a peer, oldest first."""
        return [pending for pending in self._by_token.values() if pending.peer is None]

    def everything(self) -> list[Pending]:
        """Return all requests, oldest first."""
        return list(self._by_token.values())

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        return self._deadlines.next()

    def expired(self, now: float) -> list[Pending]:
        """Return the requests whose deadline has come."""
        found = []
        while (token := self._deadlines.pop(now)) is not None:
            found.append(self._by_token[token])
        return found


_Key = tuple[str, int, int]


def _key(request: Message) -> _Key:
    origin = d.ORIGIN_HOST.find(request.avps) or ""
    return ascii_lower(origin), request.end_to_end, request.command


@dataclass(slots=True)
class Served:
    """A request that came to us; once there is an answer, that instead."""

    token: int
    request: Message | None
    origin: Origin
    expires_at: float
    answer: Message | None = None


class ServedTable:
    """What was asked of us, to know duplicates by Origin-Host and end-to-end identifier.

    Answers are kept for `lifetime` seconds, the oldest go first when there are too many.
    """

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._by_key: OrderedDict[_Key, Served] = OrderedDict()
        self._unanswered: dict[int, Served] = {}

    def duplicate(self, request: Message, origin: Origin, now: float) -> Served | None:
        """Return the earlier request that this one repeats; its answer goes to `origin` now."""
        self._forget(now)
        served = self._by_key.get(_key(request))
        if served is None:
            return None
        served.origin = origin
        if served.answer is None:
            served.request = request
        return served

    def add(self, token: int, request: Message, origin: Origin, now: float) -> None:
        """Note a new request."""
        served = Served(token, request, origin, now + self._lifetime)
        self._by_key[_key(request)] = served
        self._unanswered[token] = served
        self._forget(now)

    def answered(self, token: int) -> Served | None:
        """Return the request under a token, once."""
        return self._unanswered.pop(token, None)

    def _forget(self, now: float) -> None:
        while self._by_key:
            oldest = next(iter(self._by_key.values()))
            if oldest.expires_at > now and len(self._by_key) <= _MAXIMUM_REMEMBERED:
                return
            self._by_key.popitem(last=False)
            self._unanswered.pop(oldest.token, None)
