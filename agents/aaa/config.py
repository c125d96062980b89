"""How the home AAA server is set up."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from agents.aaa.conversations import Limits
from agents.aaa.selection import Strategy
from agents.bootstrap.assignment import Protection
from agents.bootstrap.keys import PskSource
from agents.core.record import Record
from agents.eap.tls import TlsServerConfig


class HomeAaaConfig(Record, frozen=True, kw_only=True):
    """How the home AAA server is set up; times in seconds.

    `fragment_size` is in octets of an EAP-TLS packet's data. `session_timeout` is how long an
    authorisation lasts; `exchange_timeout` how long a conversation may take, which is as long as
    IKEv2's negotiation may, and how long the answer to its last request is kept for duplicates.
    With `protection` "sealed" the NAS is not told the home agent and home address, but gets them
    sealed for the mobile node (`agents.bootstrap.sealed`). `psk_source` matters to local home
    agents only, whose key is in the answer. With `early` a sealed assignment goes out as soon as
    TLS has verified the subscriber, a round of EAP before the end (TLS 1.3 only); with `pick_up`
    the NAS may have started EAP-TLS. `home_agents` are the Diameter identities of those that ask
    for themselves (RFC 5778): if there are any, they are told the home address, and a NAS the home
    agent only (RFC 5447). Home agents whose hosts are among `peers`, Diameter identities, ask for
    the keys of IKE (RFC 6738); the others have them from whoever runs this server. `selection` is
    how home agents are chosen. With `accounting` records of sessions are kept, and wanted every
    `interim_interval` seconds, 0 for at their ends alone.
    """

    origin_host: str
    origin_realm: str
    tls: TlsServerConfig
    fragment_size: int
    session_timeout: float
    protection: Protection
    psk_source: PskSource
    early: bool
    pick_up: bool
    home_agents: Collection[str]
    peers: Collection[str] = ()
    selection: Strategy = "least-loaded"
    accounting: bool = False
    interim_interval: int = 0
    exchange_timeout: float = 120.0
    limits: Limits = msgspec.field(default_factory=Limits)
