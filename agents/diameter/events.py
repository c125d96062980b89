"""What a Diameter node tells its owner, and what it wants of the transport."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from agents.core.machine import Address, Event
from agents.diameter.errors import DiameterError
from agents.diameter.wire import Message


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection to `address`; report it under this number."""

    connection: int
    peer: str
    address: Address


@dataclass(frozen=True, slots=True)
class Send:
    """Write `data` to a connection."""

    connection: int
    data: bytes = field(repr=False, metadata={"secret": True})


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection after what was written before; it is not reported back.

    With `reset` it ends by RST, and what was written before may be lost (RFC 6733 section 2.1).
    """

    connection: int
    reset: bool = False


Action: TypeAlias = Connect | Send | Close


@dataclass(frozen=True, slots=True)
class PeerUp(Event):
    """Capabilities are exchanged and requests may flow."""

    peer: str
    realm: str
    applications: tuple[int, ...]
    initiator: bool


@dataclass(frozen=True, slots=True)
class PeerDown(Event):
    """The connection to a peer that was up is gone."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class PeerSuspect(Event):
    """A peer left a watchdog unanswered; its requests go elsewhere if they can."""

    peer: str


@dataclass(frozen=True, slots=True)
class ConnectionFailed(Event):
    """A connection ended before capabilities were exchanged; `peer` empty if not known yet."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class RequestReceived(Event):
    """A request for this node; answer it under `token`."""

    token: int
    peer: str
    message: Message = field(repr=False, metadata={"secret": True})


@dataclass(frozen=True, slots=True)
class DuplicateReceived(Event):
    """A request came again; its answer was sent again if there was one."""

    peer: str
    end_to_end: int


@dataclass(frozen=True, slots=True)
class RequestSent(Event):
    """A request left for `peer`, with the T flag if it may have been there before."""

    token: int
    peer: str
    retransmitted: bool


@dataclass(frozen=True, slots=True)
class AnswerReceived(Event):
    """The answer to the request under `token`."""

    token: int
    peer: str
    message: Message = field(repr=False, metadata={"secret": True})


@dataclass(frozen=True, slots=True)
class RequestFailed(Event):
    """The request under `token` has no usable answer; `error` None: its deadline passed."""

    token: int
    reason: str
    error: DiameterError | None = None


@dataclass(frozen=True, slots=True)
class Relayed(Event):
    """A request or answer of others went through."""

    source: str
    destination: str
    request: bool
