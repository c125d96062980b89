"""The Diameter agent's configuration."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from agents.core.configuration import Configuration
from agents.diameter.config import PORT, Redirect
from agents.diameter.dictionary import RedirectHostUsage
from agents.nodes.diameter_settings import DiameterPeer, DiameterRoute, Watchdog, check_routes
from agents.nodes.tls import TlsSettings

Usage: TypeAlias = Literal[
    "dont-cache",
    "all-session",
    "all-realm",
    "realm-and-application",
    "all-application",
    "all-host",
    "all-user",
]


class RedirectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Requests for `realm` are to go to `hosts`; that counts for `usage`, `cache_time` seconds."""

    realm: str
    hosts: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    usage: Usage = "dont-cache"
    cache_time: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 0

    def __post_init__(self) -> None:
        if (self.usage != "dont-cache") != (self.cache_time > 0):
            raise ValueError("usage and cache_time belong together (RFC 6733 section 6.14)")

    def config(self) -> Redirect:
        """Return it as the node knows it."""
        usage = RedirectHostUsage[self.usage.replace("-", "_").upper()]
        return Redirect(self.realm, self.hosts, usage, self.cache_time)


class DiameterAgentConfiguration(Configuration, frozen=True, kw_only=True):
    """The agent's configuration; times in seconds.

    It relays between its `peers`, by `routes` where the peers' realms do not say it; with
    `redirects` it tells them whom to ask, and relays nothing.
    """

    diameter_identity: str
    diameter_realm: str
    address: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = PORT
    peers: Annotated[tuple[DiameterPeer, ...], msgspec.Meta(min_length=1)]
    routes: tuple[DiameterRoute, ...] = ()
    redirects: tuple[RedirectSettings, ...] = ()
    tls: TlsSettings | None = None
    diameter_watchdog: Watchdog = 30.0

    def __post_init__(self) -> None:
        check_routes(self.routes, self.peers)
