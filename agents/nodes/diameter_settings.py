"""Diameter peers in a role's configuration."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Annotated, TypeAlias

import msgspec

from agents.core.configuration import Configuration
from agents.core.documents import absent
from agents.diameter.config import (
    PORT,
    DiameterTimers,
    NodeConfig,
    PeerConfig,
    Route,
    same_identity,
)
from agents.diameter.dictionary import APPLICATION_EAP
from agents.nodes.tls import TlsSettings


class DiameterPeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A peer by its DiameterIdentity; without an address it connects to this host.

    It may connect from `sources`; where there are none, from its address, or with TLS from
    anywhere. It may relay for nodes of the realms `relays`, and say who serves the realms
    `redirects`; `*` stands for all.
    """

    host: str
    realm: str
    address: str | None = None
    port: int = PORT
    sources: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for source in self.sources:
            ip_address(source)  # Raises ValueError, which names the text.

    def config(self) -> PeerConfig:
        """Return the peer as the node knows it."""
        return PeerConfig(
            self.host,
            self.realm,
            (self.address, self.port) if self.address else None,
            tuple(map(ip_address, self.sources)),
            self.relays,
            self.redirects,
        )


class DiameterRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Requests for `realm` go to the first of `peers` that is there; `*` is every other realm.

    Without a route they go to peers of the realm, or else to those that relay for it.
    """

    realm: str
    peers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


Watchdog: TypeAlias = Annotated[float, msgspec.Meta(ge=6, le=3600)]
"""Twinit in seconds: a peer that says nothing for two of them is out of reach (RFC 3539 3.4.1)."""


def node_config(
    host: str,
    realm: str,
    peers: Iterable[DiameterPeer],
    *,
    tls: bool = False,
    applications: tuple[int, ...] = (APPLICATION_EAP,),
    watchdog: float = DiameterTimers().watchdog,
    routes: Iterable[DiameterRoute] = (),
    epoch: int | None = None,
) -> NodeConfig:
    """Return the configuration of a node that knows `peers`; with `tls` certificates say who.

    `epoch` is the time of day in seconds at the start, by which others tell that it has lost its
    state (RFC 6733 section 8.16).
    """
    return NodeConfig(
        host,
        realm,
        tuple(peer.config() for peer in peers),
        applications=applications,
        tls=tls,
        timers=DiameterTimers(watchdog=watchdog),
        routes=tuple(Route(route.realm, route.peers) for route in routes),
        origin_state_id=epoch,
    )


def check_routes(routes: Iterable[DiameterRoute], peers: Iterable[DiameterPeer]) -> None:
    """Raise ValueError for a route to nobody that is known."""
    known = [peer.host for peer in peers]
    for route in routes:
        for name in route.peers:
            if not any(same_identity(name, host) for host in known):
                raise ValueError(f"the route to {route.realm}: {absent('peer', name, known)}")


class AaaClientConfiguration(Configuration, frozen=True, kw_only=True):
    """The base of the configurations with an AAA client; `aaa_timeout` in seconds.

    `home` is the home AAA server, or a relay on the way to it, trusted to relay for `home_realm`;
    `peers` are others: those that stand in for it, and servers of other realms. Whose name has no
    realm is of `home_realm`. With `accounting` the sessions that they grant are accounted.
    """

    diameter_identity: str
    diameter_realm: str
    home: DiameterPeer
    peers: tuple[DiameterPeer, ...] = ()
    routes: tuple[DiameterRoute, ...] = ()
    home_realm: str | None = None
    diameter_tls: TlsSettings | None = None
    aaa_timeout: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 10.0
    diameter_watchdog: Watchdog = 30.0
    accounting: bool = False

    @property
    def all_peers(self) -> tuple[DiameterPeer, ...]:
        """The home AAA server and the others, in the order in which they are preferred."""
        return (self.home, *self.peers)

    def __post_init__(self) -> None:
        check_routes(self.routes, self.all_peers)
