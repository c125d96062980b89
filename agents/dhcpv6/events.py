"""What the DHCPv6 machines tell their owners."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from agents.core.machine import Event


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The client has queued the first Information-request of an exchange."""


@dataclass(frozen=True, slots=True)
class HomeAgentLearned(Event):
    """A Reply has named a home agent; what comes first is preferred.

    There is an address or `fqdn`, to be looked up in the DNS. `local` tells a home network that is
    the visited one. After `lifetime` seconds the client asks again (None: never).
    """

    addresses: tuple[IPv6Address, ...]
    prefix: IPv6Network | None
    fqdn: str | None
    local: bool
    lifetime: float | None


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """An exchange ended without a home agent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Forwarded(Event):
    """The relay agent has queued a client's message for the servers.

    `supplied` tells whether information about the home agent is with it (RFC 6422).
    """

    client: str
    message: str
    supplied: bool


@dataclass(frozen=True, slots=True)
class Returned(Event):
    """The relay agent has queued a server's message for the client."""

    client: str
    message: str
