"""The home network's configuration."""

from __future__ import annotations

from typing import Literal

import msgspec

from agents.aaa.selection import Strategy
from agents.aaa.share import WHOLE, Share
from agents.bootstrap.assignment import DEFAULT_PROTECTION, Protection
from agents.bootstrap.keys import PskSource
from agents.core.configuration import CommandNames, Configuration
from agents.core.settings import (
    FragmentSize,
    IkeImplementation,
    InterimInterval,
    SessionLifetime,
)
from agents.diameter.config import PORT
from agents.nodes.diameter_settings import DiameterPeer, Watchdog
from agents.nodes.home_agent.settings import HomeAgentSettings
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.radius_settings import RadiusListenerSettings, RadiusServerSettings
from agents.nodes.tls import TlsSettings


class PresharedPeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mobile node whose key and home address are preconfigured."""

    identity: str
    home_address: str
    psk_file: str


class HomeNetworkConfiguration(Configuration, frozen=True, kw_only=True):
    """The home network's configuration; times in seconds.

    Without `home_agent` the AAA server is alone; `diameter_home_agents` are the peers that ask for
    home addresses themselves. `ikev2` here authenticates by pre-shared keys: those of `preshared`,
    and those that the AAA server derives. With `early` a mobile node that TLS has verified may
    begin IKE before EAP ends; with `pick_up` the NAS may have started EAP-TLS. Home agents whose
    hosts are among the peers ask for the keys of IKE; `selection` is how home agents are chosen.
    With `radius` access routers may ask by that too. `eap_server` authenticates in this server's
    place: it is asked by RADIUS, and gives the MSK only. Several servers read one file of
    subscribers; those that have lists of `leases` of their own have each a `share` of the pools.
    With `accounting` records of sessions are kept, and wanted every `interim_interval` seconds, 0
    for at their ends alone.
    """

    diameter_identity: str
    diameter_realm: str
    diameter_address: str
    diameter_port: int = PORT
    diameter_tls: TlsSettings | None = None
    diameter_peers: tuple[DiameterPeer, ...]
    diameter_home_agents: tuple[str, ...] = ()
    diameter_watchdog: Watchdog = 30.0
    selection: Strategy = "least-loaded"
    subscribers: str
    leases: str
    share: Share = WHOLE
    tls: TlsSettings
    work: str
    home_agent: HomeAgentSettings | None = None
    ikev1: Ikev1Settings | None = None
    ikev2: Ikev2Settings | None = None
    preshared: tuple[PresharedPeer, ...] = ()
    psk_source: PskSource = "msk"
    protection: Protection = DEFAULT_PROTECTION
    eap_fragment_size: FragmentSize = 1000
    session_lifetime: SessionLifetime = 3600.0
    ike_daemon: IkeImplementation = "agent"
    launch: Literal["resident", "script"] = "resident"
    early: bool = False
    pick_up: bool = False
    radius: RadiusListenerSettings | None = None
    eap_server: RadiusServerSettings | None = None
    accounting: bool = False
    interim_interval: InterimInterval = 0

    @property
    def commands(self) -> CommandNames:
        """Home agents by their names, subscribers by their identities."""
        return {"drain": (str,), "undrain": (str,), "withdraw": (str,), "reauthenticate": (str,)}

    def __post_init__(self) -> None:
        resident = self.launch == "resident" and self.psk_source == "emsk"
        if self.early and not (resident and self.protection == "sealed"):
            raise ValueError("early IKE needs resident agents, keys from the EMSK, and sealing")
        if self.eap_server:
            check_msk_suffices(self.psk_source, self.protection)
            if self.pick_up:
                raise ValueError(
                    "another EAP server begins with an Identity: leave out pick_up, and have "
                    "access routers ask for the identity first"
                )


def check_msk_suffices(psk_source: PskSource, protection: Protection) -> None:
    """Raise ValueError for settings that need the EMSK, which another EAP server keeps."""
    keeps = "another EAP server keeps the EMSK"
    instead = "or let roles.aaa.server be 'agent'"
    if psk_source == "emsk":
        raise ValueError(
            f"psk_source = 'emsk': {keeps}; use 'msk', {instead} (pana-fast does not go without)"
        )
    if protection == "sealed":
        raise ValueError(f"protection = 'sealed': {keeps}, which seals; use 'none', {instead}")
