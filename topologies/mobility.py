"""The paper's Figure 1: two visited networks, between which the mobile node moves, and its home.

    A mobile node ---access---- B access router  ---core---+--- C home network ---home--- CN
    (or here)     ---access2--- B2 access router ----------'
                        V host

A has one interface, at first on `access`; a step attaches it to `access2`, where V is a neighbour.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies import paper
from topologies.model import Host, HostRole, Interface, Link, Topology

_ACCESS2 = IPv6Network("2001:db8:a2::/64")
_CORE2 = IPv6Address("2001:db8:b::3")
_access, _core, _home = (paper.TOPOLOGY.link(name) for name in ("access", "core", "home"))
_base = paper.TOPOLOGY.with_route(HostRole.HOME_NETWORK, _ACCESS2, _CORE2)
_router = next(host for host in _base.hosts if host.role is HostRole.ACCESS_ROUTER)

TOPOLOGY = Topology(
    name="mobility",
    hosts=(
        *_base.with_route(HostRole.ACCESS_ROUTER, _ACCESS2, _CORE2).hosts[:2],
        replace(_router, name="B2", routes=(*_router.routes, (paper.ACCESS, paper.TO_VISITED))),
        *_base.hosts[2:],
        Host("V", HostRole.VISITED_NEIGHBOUR),
    ),
    links=(
        replace(_access, roams=True),
        Link(
            "access2",
            (
                Interface("V", autoconfigure=True),
                Interface("B2", (IPv6Interface((_ACCESS2[1], 64)),), advertise=_ACCESS2),
            ),
            roams=True,
        ),
        replace(_core, ends=(*_core.ends, Interface("B2", (IPv6Interface((_CORE2, 64)),)))),
        _home,
    ),
)
