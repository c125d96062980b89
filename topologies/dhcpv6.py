"""The paper's testbed with a DHCPv6 server on a host of its own beside the access router.

D DHCPv6 server ---service--- B
A mobile node ---access--- B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies import paper
from topologies.model import Host, HostRole, Interface, Link

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

TOPOLOGY = replace(
    paper.TOPOLOGY,
    name="dhcpv6",
    hosts=(*paper.TOPOLOGY.hosts, _SERVER),
    links=(*paper.TOPOLOGY.links, _SERVICE),
)
