"""The topology dhcpv6 with a home agent in the visited network, on a link of its own behind B.

V visited home agent ---visited--- B
D DHCPv6 server -------service---- B
A mobile node -------access------- B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from testbed.net import mininet_topology
from topologies import dhcpv6
from topologies.model import Host, Interface, Link

_VISITED = IPv6Network("2001:db8:200::/64")
_HOME_AGENT = Host(
    "V",
    "visited home agent",
    forwards=True,
    routes=((IPv6Network("::/0"), IPv6Address("2001:db8:200::1")),),
)
_LINK = Link(
    "visited",
    (
        Interface("B", (IPv6Interface("2001:db8:200::1/64"),)),
        Interface("V", (IPv6Interface("2001:db8:200::2/64"),)),
    ),
)


def _with_route(host: Host) -> Host:
    if host.name != "C":
        return host
    return replace(host, routes=(*host.routes, (_VISITED, IPv6Address("2001:db8:b::1"))))


TOPOLOGY = replace(
    dhcpv6.TOPOLOGY,
    name="dhcpv6-visited",
    hosts=(*(_with_route(host) for host in dhcpv6.TOPOLOGY.hosts), _HOME_AGENT),
    links=(*dhcpv6.TOPOLOGY.links, _LINK),
)

topos = {TOPOLOGY.name: partial(mininet_topology, TOPOLOGY)}
