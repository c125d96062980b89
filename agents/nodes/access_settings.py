"""What access routers have in their configurations, however they grant access."""

from __future__ import annotations

import msgspec

from agents.dhcpv6.wire import ALL_SERVERS


class RelaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The DHCPv6 relay agent: the server, and this host's own interface and address towards it.

    Without an address of a server the multicast group of all is asked (RFC 8415 section 19).
    `network` is the home domain, for which the AAA server's information is supplied (RFC 6611).
    """

    interface: str
    address: str
    network: str
    server: str = ALL_SERVERS
