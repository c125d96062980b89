"""The paper's testbed with home AAA server and home agent on hosts of their own.

                                                         .--- S home AAA server
A mobile node ---access--- B access router ---core------+
                                                         '--- H home agent ---home1--- CN
"""

from __future__ import annotations

from ipaddress import IPv6Interface, IPv6Network

from topologies import operator, paper
from topologies.model import Host, HostRole, Interface, Link, Topology

_ACCESS = paper.TOPOLOGY.link("access")
_VISITED, _HOME = operator.access_network(0), operator.home_network(1)
_CORE = IPv6Network("2001:db8:b::/64")
_TO_VISITED, _TO_HOME = (_VISITED, _CORE[1]), (_HOME, _CORE[3])


def _at(network: IPv6Network, number: int) -> tuple[IPv6Interface, ...]:
    return (IPv6Interface((network[number], network.prefixlen)),)


TOPOLOGY = Topology(
    name="apart",
    hosts=(
        Host("A", HostRole.MOBILE_NODE),
        Host("B", HostRole.ACCESS_ROUTER, forwards=True, routes=(_TO_HOME,)),
        Host("S", HostRole.HOME_AAA, routes=(_TO_VISITED, _TO_HOME)),
        Host("H", HostRole.HOME_AGENT, forwards=True, routes=(_TO_VISITED,)),
        Host(
            "CN",
            HostRole.CORRESPONDENT_NODE,
            routes=((IPv6Network("::/0"), _HOME[1]),),
        ),
    ),
    links=(
        _ACCESS,
        Link(
            "core",
            (
                Interface("B", _at(_CORE, 1)),
                Interface("S", _at(_CORE, 2)),
                Interface("H", _at(_CORE, 3)),
            ),
        ),
        Link("home1", (Interface("H", _at(_HOME, 1)), Interface("CN", _at(_HOME, 12)))),
    ),
)
