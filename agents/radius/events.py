"""What a RADIUS client or server tells its owner."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.machine import Address, Event
from agents.core.record import Record, Secret
from agents.radius.wire import Packet


class Peer(Record, frozen=True):
    """Who has a secret in common with the server: a client by its name and its address."""

    name: str
    address: IPv6Address
    secret: Secret[bytes]


class AnswerReceived(Event, frozen=True):
    """The answer to the request under `token`."""

    token: int
    packet: Secret[Packet]


class RequestFailed(Event, frozen=True):
    """The request under `token` has not been answered."""

    token: int
    reason: str


class RequestReceived(Event, frozen=True):
    """A request of a client's; answer it under `token`, or drop it."""

    token: int
    client: str
    packet: Secret[Packet]


class DuplicateReceived(Event, frozen=True):
    """A request came again; its answer was sent again if there was one."""

    source: Address
    identifier: int
