"""What a Diameter node tells its owner, and what it wants of the transport."""

from __future__ import annotations

from typing import TypeAlias

from agents.core.machine import Address, Event
from agents.core.record import Record, Secret
from agents.diameter.errors import DiameterError
from agents.diameter.wire import Message


class Connect(Record, frozen=True):
    """Open a connection to `address`; report it under this number."""

    connection: int
    peer: str
    address: Address


class Send(Record, frozen=True):
    """Write `data` to a connection."""

    connection: int
    data: Secret[bytes]


class Close(Record, frozen=True):
    """Close a connection after what was written before; it is not reported back.

    With `reset` it ends by RST, and what was written before may be lost (RFC 6733 section 2.1).
    """

    connection: int
    reset: bool = False


Action: TypeAlias = Connect | Send | Close


class PeerUp(Event, frozen=True):
    """Capabilities are exchanged and requests may flow."""

    peer: str
    realm: str
    applications: tuple[int, ...]
    initiator: bool


class PeerDown(Event, frozen=True):
    """The connection to a peer that was up is gone."""

    peer: str
    reason: str


class PeerSuspect(Event, frozen=True):
    """A peer left a watchdog unanswered; its requests go elsewhere if they can."""

    peer: str


class ConnectionFailed(Event, frozen=True):
    """A connection ended before capabilities were exchanged; `peer` empty if not known yet."""

    peer: str
    reason: str


class Restarted(Event, frozen=True):
    """A node has lost its state since it was heard of last (RFC 6733 section 8.16)."""

    origin: str


class Redirected(Event, frozen=True):
    """A redirect agent has named who is to take a request."""

    peer: str
    destination: str


class RequestReceived(Event, frozen=True):
    """A request for this node; answer it under `token`."""

    token: int
    peer: str
    message: Secret[Message]


class DuplicateReceived(Event, frozen=True):
    """A request came again; its answer was sent again if there was one."""

    peer: str
    end_to_end: int


class RequestSent(Event, frozen=True):
    """A request left for `peer`, with the T flag if it may have been there before."""

    token: int
    peer: str
    retransmitted: bool


class AnswerReceived(Event, frozen=True):
    """The answer to the request under `token`."""

    token: int
    peer: str
    message: Secret[Message]


class RequestFailed(Event, frozen=True):
    """The request under `token` has no usable answer; `error` None: its deadline passed."""

    token: int
    reason: str
    error: DiameterError | None = None


class Relayed(Event, frozen=True):
    """A request or answer of others went through."""

    source: str
    destination: str
    request: bool
