"""The paper's testbed with a second home link, in the visited network: B can be a home agent too.

VN ---visited--- B
A mobile node ---access--- B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies import paper
from topologies.model import Host, HostRole, Interface, Link, Topology

_VISITED = IPv6Network("2001:db8:200::/64")
ROUTES = ((IPv6Network("::/0"), IPv6Address("2001:db8:200::1")),)
"""Of a host on the visited network's home link."""


def with_visited_link(base: Topology, name: str, host: Host, address: str) -> Topology:
    """Return a topology with one more link behind the access router, and a host on it."""
    link = Link(
        "visited",
        (
            Interface(base.host(HostRole.ACCESS_ROUTER), (IPv6Interface("2001:db8:200::1/64"),)),
            Interface(host.name, (IPv6Interface(address),)),
        ),
    )
    routed = base.with_route(HostRole.HOME_NETWORK, _VISITED, paper.TO_VISITED)
    return replace(routed, name=name, hosts=(*routed.hosts, host), links=(*base.links, link))


TOPOLOGY = with_visited_link(
    paper.TOPOLOGY,
    "visited",
    Host("VN", HostRole.VISITED_NEIGHBOUR, routes=ROUTES),
    "2001:db8:200::c/64",
)
