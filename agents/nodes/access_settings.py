"""What access routers have in their configurations, however they grant access."""

from __future__ import annotations

import msgspec

from agents.core.settings import SessionLifetime
from agents.dhcpv6.wire import ALL_SERVERS
from agents.nodes.diameter_settings import AaaClientConfiguration
from agents.nodes.radius_settings import RadiusServerSettings


class RelaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The DHCPv6 relay agent: the server, and this host's own interface and address towards it.

    Without an address of a server the multicast group of all is asked (RFC 8415 section 19).
    `network` is the home domain, for which the AAA server's information is supplied (RFC 6611).
    """

    interface: str
    address: str
    network: str
    server: str = ALL_SERVERS


class AccessConfiguration(AaaClientConfiguration, frozen=True, kw_only=True):
    """The base of the configurations of access routers; times in seconds.

    `address` is this host's own on the access interface. With `mobility` mobile nodes get home
    agents, of which with `relay` the DHCPv6 relay agent tells. The home AAA server is asked by
    Diameter, or with `radius` by that.
    """

    access_interface: str
    access_prefix: str
    address: str
    keys: str | None = None
    mobility: bool = True
    relay: RelaySettings | None = None
    session_lifetime: SessionLifetime = 3600.0
    radius: RadiusServerSettings | None = None
