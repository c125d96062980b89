"""The transport connections of one peer, and the base requests on them (RFC 6733 section 5.6)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from agents.core.machine import Address
from agents.core.record import Record, replace
from agents.diameter.capabilities import Capabilities, Link
from agents.diameter.events import Action, Connect, Send
from agents.diameter.wire import Message


class Identifiers:
    """Hop-by-hop and end-to-end identifiers: counters from a random start (RFC 6733 section 3)."""

    def __init__(self, rng: random.Random) -> None:
        self._next = rng.getrandbits(32)

    def take(self) -> int:
        """Return the next one."""
        self._next = (self._next + 1) & 0xFFFFFFFF
        return self._next


class Incoming(Record, frozen=True):
    """A connection that the peer made, with its acceptable CER."""

    link: Link
    request: Message
    capabilities: Capabilities


class Connections:
    """At most one connection that we made, as initiator, and one that the peer made.

    `initiator` is the number of ours, `link` what it is like once it is established; `release`
    closes a connection by its number.
    """

    def __init__(
        self,
        identifiers: Identifiers,
        allocate: Callable[[], int],
        release: Callable[[int], None],
        outbox: deque[Action],
    ) -> None:
        self.initiator: int | None = None
        self.link: Link | None = None
        self.responder: Incoming | None = None
        self._identifiers = identifiers
        self._allocate = allocate
        self.release = release
        self._outbox = outbox
        self._requests: dict[int, int] = {}

    @property
    def any(self) -> int | None:
        """The only connection; ours of two."""
        if self.initiator is None and self.responder is not None:
            return self.responder.link.connection
        return self.initiator

    def connect(self, host: str, address: Address) -> None:
        """Ask for the initiator's connection."""
        self.initiator = self._allocate()
        self._outbox.append(Connect(self.initiator, host, address))

    def send(self, message: Message, connection: int | None) -> None:
        """Send a message, if there is the connection for it."""
        if connection is not None:
            self._outbox.append(Send(connection, message.encode()))

    def send_request(self, message: Message, connection: int | None) -> None:
        """Send a base request under identifiers of its own."""
        hop, end = self._identifiers.take(), self._identifiers.take()
        self._requests[hop] = message.command
        self.send(replace(message, hop_by_hop=hop, end_to_end=end), connection)

    def answers(self, message: Message) -> bool:
        """Tell whether a message answers a base request of ours, and forget that request."""
        if message.request or self._requests.get(message.hop_by_hop) != message.command:
            return False
        del self._requests[message.hop_by_hop]
        return True

    def forget_requests(self) -> None:
        """Expect no more answers to base requests."""
        self._requests.clear()

    def close_initiator(self) -> None:
        """Close our connection."""
        if self.initiator is not None:
            self.release(self.initiator)
        self.initiator = self.link = None

    def close_responder(self) -> None:
        """Close the peer's connection."""
        if self.responder is not None:
            self.release(self.responder.link.connection)
        self.responder = None
