"""The paper's testbed with the correspondent node near the access router, far from home.

    A mobile node ---access--- B access router ---core--- C home network ---home--- N
                               |
                               '------near--- CN

What goes by way of the home agent goes round two sides of a triangle, the core link twice; N is a
host at home that has no part in it.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies import paper
from topologies.model import Host, HostRole, Interface, Link, Topology

_NEAR = IPv6Network("2001:db8:c::/64")
_ANYWHERE = IPv6Network("::/0")


def _at(network: IPv6Network, number: int) -> tuple[IPv6Interface, ...]:
    return (IPv6Interface((network[number], network.prefixlen)),)


def _host(host: Host) -> Host:
    if host.role is not HostRole.CORRESPONDENT_NODE:
        return host
    return replace(host, routes=((_ANYWHERE, _NEAR[1]),))


_access, _core, _home = (paper.TOPOLOGY.link(name) for name in ("access", "core", "home"))
_base = paper.TOPOLOGY.with_route(HostRole.HOME_NETWORK, _NEAR, paper.TO_VISITED)
TOPOLOGY = Topology(
    name="triangle",
    hosts=(
        *map(_host, _base.hosts),
        Host("N", HostRole.HOME_STRANGER, routes=((_ANYWHERE, IPv6Address("2001:db8:100::1")),)),
    ),
    links=(
        _access,
        _core,
        replace(
            _home, ends=tuple(replace(e, host="N") if e.host == "CN" else e for e in _home.ends)
        ),
        Link("near", (Interface("B", _at(_NEAR, 1)), Interface("CN", _at(_NEAR, 12)))),
    ),
)
