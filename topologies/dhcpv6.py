"""The paper's testbed with a DHCPv6 server on a host of its own beside the access router.

D DHCPv6 server ---service--- B
A mobile node ---access--- B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies import paper
from topologies.model import Host, HostRole, Interface, Link

_NETWORK = IPv6Network("2001:db8:d::/64")
_SERVER = Host(
    "D", HostRole.DHCPV6_SERVER, routes=((IPv6Network("::/0"), IPv6Address("2001:db8:d::1")),)
)
_SERVICE = Link(
    "service",
    (
        Interface("B", (IPv6Interface("2001:db8:d::1/64"),)),
        Interface("D", (IPv6Interface("2001:db8:d::2/64"),)),
    ),
)

_ROUTED = paper.TOPOLOGY.with_route(HostRole.HOME_NETWORK, _NETWORK, paper.TO_VISITED)

TOPOLOGY = replace(
    _ROUTED,
    name="dhcpv6",
    hosts=(*_ROUTED.hosts, _SERVER),
    links=(*_ROUTED.links, _SERVICE),
)
