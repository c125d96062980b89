"""Diameter peers in a role's configuration."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Annotated, TypeAlias

import msgspec

from agents.core.configuration import Configuration
from agents.diameter.config import PORT, DiameterTimers, NodeConfig, PeerConfig
from agents.diameter.dictionary import APPLICATION_EAP
from agents.nodes.tls import TlsSettings


class DiameterPeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A peer by its DiameterIdentity; without an address it connects to this host.

    It may connect from `sources`; where there are none, from its address, or with TLS from
    anywhere. It may relay for nodes of the realms `relays`, `*` for all.
    """

    host: str
    realm: str
    address: str | None = None
    port: int = PORT
    sources: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()

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
        )


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
) -> NodeConfig:
    """Return the configuration of a node that knows `peers`; with `tls` certificates say who."""
    return NodeConfig(
        host,
        realm,
        tuple(peer.config() for peer in peers),
        applications=applications,
        tls=tls,
        timers=DiameterTimers(watchdog=watchdog),
    )


class AaaClientConfiguration(Configuration, frozen=True, kw_only=True):
    """The base of the configurations with an AAA client; `aaa_timeout` in seconds.

    `home` is the home AAA server, or a relay on the way to it, trusted to relay for `home_realm`.
    """

    diameter_identity: str
    diameter_realm: str
    home: DiameterPeer
    home_realm: str | None = None
    diameter_tls: TlsSettings | None = None
    aaa_timeout: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 10.0
    diameter_watchdog: Watchdog = 30.0
