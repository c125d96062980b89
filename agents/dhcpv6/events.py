"""What the DHCPv6 machines tell their owners."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.core.machine import Event


class Started(Event, frozen=True):
    """The client has queued the first Information-request of an exchange."""


class HomeAgentLearned(Event, frozen=True):
    """A Reply has named a home agent; what comes first is preferred.

    There is an address or `fqdn`, to be looked up in the DNS. `local` tells a home network that is
    the visited one. After `lifetime` seconds the client asks again (None: never).
    """

    addresses: tuple[IPv6Address, ...]
    prefix: IPv6Network | None
    fqdn: str | None
    local: bool
    lifetime: float | None


class Failed(Event, frozen=True):
    """An exchange ended without a home agent."""

    reason: str


class Forwarded(Event, frozen=True):
    """The relay agent has queued a client's message for the servers.

    `supplied` tells whether information about the home agent is with it (RFC 6422).
    """

    client: str
    message: str
    supplied: bool


class Returned(Event, frozen=True):
    """The relay agent has queued a server's message for the client."""

    client: str
    message: str
