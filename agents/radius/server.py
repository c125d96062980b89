"""A RADIUS server without I/O: clients by address, and answers for who asks again.

RFC 2865 section 3, RFC 5080 section 2.2.2. What is not from a client, or whose authenticator is
wrong, is dropped without a word.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from itertools import count
from typing import TypeAlias

from agents.core.machine import Address, Discarded, Event, address_of
from agents.core.reader import WireError
from agents.radius.dictionary import PROXY_STATE
from agents.radius.events import DuplicateReceived, Peer, RequestReceived
from agents.radius.protection import check_request, check_secret, protect_answer
from agents.radius.wire import Attribute, Code, Packet

KEPT = 30.0
"""Seconds for which a request is known, and its answer sent again (RFC 5080: 5 to 30)."""

MOST_KEPT = 10_000
"""Requests that are known at once: of clients alone, for others have no secret."""

_Key: TypeAlias = tuple[Address, int]


@dataclass(slots=True)
class _Known:
    """A request, and the octets of its answer as soon as there is one."""

    token: int
    source: Address
    client: Peer
    packet: Packet = field(repr=False)
    until: float
    answer: bytes | None = field(default=None, repr=False)


class RadiusServer:
    """Serves `clients`; `codes` are those of the requests that it takes.

    ValueError for a secret that everybody knows: none.
    """

    def __init__(
        self, clients: Iterable[Peer], codes: Iterable[Code], *, rng: random.Random
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._clients = {client.address: client for client in clients}
        for client in self._clients.values():
            check_secret(client.secret)
        self._codes = frozenset(codes)
        self._rng = rng
        self._tokens = count(1)
        # All are kept as long: this order is that of their ends.
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._by_token: dict[int, _Key] = {}

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take a request; a duplicate gets the answer that it got before."""
        self.handle_timeout(now)
        try:
            client = self._client(address_of(source[0]))
            packet = check_request(data, client.secret)
            if packet.code not in self._codes:
                raise WireError(f"a packet with code {packet.code} is not served here")
        except WireError as error:
            self.events.append(Discarded(now, source[0], str(error)))
            return
        key = source, packet.identifier
        known = self._known.get(key)
        if known is not None and known.packet.authenticator == packet.authenticator:
            self.events.append(DuplicateReceived(now, source, packet.identifier))
            if known.answer is not None:
                self.outbox.append((known.answer, source))
            return
        self._forget(key)
        if len(self._known) >= MOST_KEPT:
            self._forget(next(iter(self._known)))
        token = next(self._tokens)
        self._known[key] = _Known(token, source, client, packet, now + KEPT)
        self._by_token[token] = key
        self.events.append(RequestReceived(now, token, client.name, packet))

    def _client(self, address: IPv6Address) -> Peer:
        client = self._clients.get(address)
        if client is None:
            raise WireError("not a client's address")
        return client

    def answer(self, token: int, code: Code, attributes: Iterable[Attribute]) -> None:
        """Answer a request, with its Proxy-State; one that is not known any more goes without."""
        key = self._by_token.get(token)
        if key is None:
            return
        known = self._known[key]
        proxies = [PROXY_STATE.attribute(v) for v in PROXY_STATE.values(known.packet.attributes)]
        known.answer = protect_answer(
            code, known.packet, (*attributes, *proxies), known.client.secret, self._rng
        )
        self.outbox.append((known.answer, known.source))

    def drop(self, token: int) -> None:
        """Forget a request that gets no answer."""
        if (key := self._by_token.get(token)) is not None:
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        if (known := self._known.pop(key, None)) is not None:
            del self._by_token[known.token]

    def handle_timeout(self, now: float) -> None:
        """Forget what came long ago."""
        while (deadline := self.next_timeout()) is not None and deadline <= now:
            self._forget(next(iter(self._known)))

    def next_timeout(self) -> float | None:
        """Return when the oldest request is to be forgotten."""
        for known in self._known.values():
            return known.until
        return None
