"""What a Diameter node is told: who it is, whom it knows, its routes and its timers."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec

from agents.core.folding import ascii_lower
from agents.core.machine import Address
from agents.core.record import Record
from agents.diameter.dictionary import (
    APPLICATION_EAP,
    APPLICATION_RELAY,
    RedirectHostUsage,
)
from agents.diameter.values import IPAddress
from agents.diameter.wire import MAXIMUM_LENGTH

PORT = 3868
TLS_PORT = 5868


class DiameterTimers(Record, frozen=True):
    """Deadlines in seconds (RFC 6733 section 12, RFC 3539 section 3.4.1).

    `watchdog` is Twinit; the RFC wants at least 6. `reconnect` is Tc, to which the pauses between
    attempts to connect grow from `retry`; `startup` is the pause as long as a peer may not have
    started yet. `probe` is how long an open connection may take to show that it lives when its
    peer connects once more.
    """

    connect: float = 10.0
    capabilities: float = 10.0
    disconnect: float = 5.0
    reconnect: float = 30.0
    retry: float = 1.0
    startup: float = 0.1
    watchdog: float = 30.0
    duplicates: float = 240.0
    probe: float = 3.0


class PeerConfig(Record, frozen=True):
    """A peer by its Origin-Host. `address` None: it connects to us, not we to it.

    It may connect from `sources` alone; where there are none, from `address`, or with TLS from
    anywhere. It is trusted to relay what nodes of the realms `relays` say, and to say who serves
    the realms `redirects`; `*` stands for all realms.
    """

    host: str
    realm: str
    address: Address | None = None
    sources: tuple[IPAddress, ...] = ()
    relays: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()

    def origins(self, *, tls: bool) -> tuple[IPAddress, ...]:
        """Return the addresses that it may connect from, none with TLS if these do not matter."""
        if self.sources or tls or self.address is None:
            return self.sources
        try:
            return (ip_address(self.address[0]),)
        except ValueError:
            return ()

    def relays_for(self, realm: str) -> bool:
        """Tell whether the peer is trusted to relay for a realm."""
        return _covers(self.relays, realm)

    def redirects_for(self, realm: str) -> bool:
        """Tell whether the peer is trusted to say who serves a realm."""
        return _covers(self.redirects, realm)

    def serves_realm(self, realm: str) -> bool:
        """Tell whether a realm's requests may go to this peer: it is of that, or relays for it."""
        return same_identity(self.realm, realm) or self.relays_for(realm)


def _covers(realms: tuple[str, ...], realm: str) -> bool:
    return any(name == "*" or same_identity(name, realm) for name in realms)


class Route(Record, frozen=True):
    """Requests for `realm` go to the first usable one of `peers`; `*` is every other realm."""

    realm: str
    peers: tuple[str, ...]


class Redirect(Record, frozen=True):
    """Requests for `realm` are redirected to `hosts`; that counts for `usage`, so many seconds."""

    realm: str
    hosts: tuple[str, ...]
    usage: int = RedirectHostUsage.DONT_CACHE
    cache_time: int = 0


class NodeConfig(Record, frozen=True):
    """One Diameter node.

    A peer's own realm needs no route. `relay` makes the node forward requests for other realms,
    and with `redirects` it says who serves them.
    `accept_unknown` lets peers connect that are not in `peers`. With `tls` certificates say who
    they are. Of connections that have sent no CER a host may have `newcomers_per_host`, and hosts
    that are no peer's `strangers` altogether: a peer has one, and a second while it reconnects.
    """

    host: str
    realm: str
    peers: tuple[PeerConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    applications: tuple[int, ...] = (APPLICATION_EAP,)
    relay: bool = False
    redirects: tuple[Redirect, ...] = ()
    accept_unknown: bool = False
    tls: bool = False
    newcomers_per_host: int = 8
    strangers: int = 64
    vendor_id: int = 0
    product: str = "mip6lab"
    origin_state_id: int | None = None
    maximum_message: int = MAXIMUM_LENGTH
    timers: DiameterTimers = msgspec.field(default_factory=DiameterTimers)

    @property
    def advertised(self) -> tuple[int, ...]:
        """The applications for the capabilities exchange."""
        agent = self.relay or self.redirects
        return (*self.applications, APPLICATION_RELAY) if agent else self.applications


def same_identity(a: str, b: str) -> bool:
    """Compare two DiameterIdentity values (RFC 6733 section 4.3.1: as DNS names)."""
    return a == b or ascii_lower(a) == ascii_lower(b)
