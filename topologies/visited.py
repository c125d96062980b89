"""The paper's testbed with a second home link, in the visited network: B can be a home agent too.

VN ---visited--- B
A mobile node ---access--- B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from testbed.net import mininet_topology
from topologies import paper
from topologies.model import Host, Interface, Link

_VISITED = IPv6Network("2001:db8:200::/64")
_TO_B, _TO_VN = IPv6Address("2001:db8:b::1"), IPv6Address("2001:db8:200::1")
_NEIGHBOUR = Host("VN", "visited neighbour", routes=((IPv6Network("::/0"), _TO_VN),))
_LINK = Link(
    "visited",
    (
        Interface("B", (IPv6Interface("2001:db8:200::1/64"),)),
        Interface("VN", (IPv6Interface("2001:db8:200::c/64"),)),
    ),
)


def _with_route(host: Host) -> Host:
    if host.name != "C":
        return host
    return replace(host, routes=(*host.routes, (_VISITED, _TO_B)))


TOPOLOGY = replace(
    paper.TOPOLOGY,
    name="visited",
    hosts=(*(_with_route(host) for host in paper.TOPOLOGY.hosts), _NEIGHBOUR),
    links=(*paper.TOPOLOGY.links, _LINK),
)

topos = {TOPOLOGY.name: partial(mininet_topology, TOPOLOGY)}
