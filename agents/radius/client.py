"""A RADIUS client without I/O: one server, requests sent again until they are answered.

RFC 5080 section 2.2.1. An identifier has eight bits: what is asked while all are in use waits for
one to come free.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from itertools import count

from agents.core.machine import (
    Address,
    Discarded,
    Event,
    Retransmission,
    Timing,
    address_of,
)
from agents.core.reader import WireError
from agents.core.timers import Timers
from agents.radius.events import AnswerReceived, RequestFailed
from agents.radius.protection import (
    check_answer,
    check_secret,
    protect_access_request,
    protect_accounting_request,
)
from agents.radius.wire import AUTHENTICATOR_LENGTH, Attribute, Code

TIMING = Timing(initial=2.0, maximum=16.0, count=5, duration=30.0)
"""When a request is sent again, and given up (RFC 5080 section 2.2.1)."""

_IDENTIFIERS = 256

_ANSWERS: dict[Code, frozenset[int]] = {
    Code.ACCESS_REQUEST: frozenset({Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE}),
    Code.ACCOUNTING_REQUEST: frozenset({Code.ACCOUNTING_RESPONSE}),
}


@dataclass(slots=True)
class _Request:
    """A request; without an identifier it waits for one."""

    code: Code
    attributes: tuple[Attribute, ...] = field(repr=False)
    identifier: int | None = None
    data: bytes = field(default=b"", repr=False)
    retransmission: Retransmission | None = None


class RadiusClient:
    """Asks one server; `events` tell, by the token of each request, what has become of it.

    ValueError for a secret that everybody knows: none.
    """

    def __init__(
        self, server: Address, secret: bytes, *, rng: random.Random, timing: Timing = TIMING
    ) -> None:
        check_secret(secret)
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._server = server
        self._from = address_of(server[0]), server[1]
        self._secret = secret
        self._rng = rng
        self._timing = timing
        self._tokens = count(1)
        self._requests: dict[int, _Request] = {}
        self._waiting: dict[int, None] = {}
        self._free = deque(range(_IDENTIFIERS))
        self._by_identifier: dict[int, int] = {}
        self._timers: Timers[int] = Timers()

    def request(self, code: Code, attributes: tuple[Attribute, ...], now: float) -> int:
        """Send a request, and return its token; ValueError if it is too long for a packet."""
        request = _Request(code, attributes)
        self._encode(request, 0)  # One that cannot be sent takes no identifier.
        token = next(self._tokens)
        self._requests[token] = request
        if self._free:
            self._send(token, request, now)
        else:
            self._waiting[token] = None
            self._timers.set(token, now + self._timing.duration)
        return token

    def _send(self, token: int, request: _Request, now: float) -> None:
        identifier = request.identifier = self._free.popleft()
        request.data = self._encode(request, identifier)
        request.retransmission = Retransmission(self._timing, self._rng, now)
        self._by_identifier[identifier] = token
        self._timers.set(token, request.retransmission.deadline)
        self.outbox.append((request.data, self._server))

    def _encode(self, request: _Request, identifier: int) -> bytes:
        if request.code == Code.ACCOUNTING_REQUEST:
            return protect_accounting_request(identifier, request.attributes, self._secret)
        authenticator = self._rng.randbytes(AUTHENTICATOR_LENGTH)
        return protect_access_request(
            identifier, request.attributes, self._secret, authenticator, self._rng
        )

    def cancel(self, token: int, now: float) -> None:
        """Forget a request; nothing more is told of it."""
        if (request := self._requests.pop(token, None)) is None:
            return
        self._timers.cancel(token)
        self._waiting.pop(token, None)
        if request.identifier is not None:
            del self._by_identifier[request.identifier]
            self._free.append(request.identifier)
            if self._waiting:
                following = next(iter(self._waiting))
                del self._waiting[following]
                self._send(following, self._requests[following], now)

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take an answer; one that does not come from the server is dropped (RFC 2865 3)."""
        try:
            if (address_of(source[0]), source[1]) != self._from:
                raise WireError("not from the server")
            token = self._by_identifier.get(data[1]) if len(data) > 1 else None
            if token is None:
                raise WireError("an answer to no request")
            request = self._requests[token]
            answer = check_answer(data, request.data[4:20], self._secret)
            if answer.code not in _ANSWERS[request.code]:
                raise WireError(f"a packet with code {answer.code} answers no such request")
        except WireError as error:
            self.events.append(Discarded(now, source[0], str(error)))
            return
        self.cancel(token, now)
        self.events.append(AnswerReceived(now, token, answer))

    def handle_timeout(self, now: float) -> None:
        """Send again, or give up, what has not been answered in time."""
        while (token := self._timers.pop(now)) is not None:
            request = self._requests[token]
            retransmission = request.retransmission
            if retransmission is None or not retransmission.expire(now):
                self.cancel(token, now)
                reason = f"{self._server[0]} port {self._server[1]} does not answer"
                self.events.append(RequestFailed(now, token, reason))
            else:
                self._timers.set(token, retransmission.deadline)
                self.outbox.append((request.data, self._server))

    def next_timeout(self) -> float | None:
        """Return when something is to be sent again or given up."""
        return self._timers.next()
