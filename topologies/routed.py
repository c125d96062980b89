"""The paper's testbed with a router of the visited network before the access router.

A mobile node ---access--- R first-hop router ---backhaul--- B access router
B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies import paper
from topologies.model import Host, HostRole, Interface, Link, Topology

_ACCESS = IPv6Network("2001:db8:a::/64")
_BACKHAUL = IPv6Network("2001:db8:a:1::/64")
_NEAR, _FAR = IPv6Address("2001:db8:a:1::2"), IPv6Address("2001:db8:a:1::1")


def _at(address: IPv6Address) -> tuple[IPv6Interface, ...]:
    return (IPv6Interface((address, 64)),)


def with_router(base: Topology, name: str, role: HostRole) -> Topology:
    """Return the paper's testbed with host R, in this role, before the access router.

    R has taken over the access router's end of the access link.
    """
    router = Host("R", role, forwards=True, routes=((IPv6Network("::/0"), _FAR),))
    routed = base.with_route(HostRole.ACCESS_ROUTER, _ACCESS, _NEAR)
    routed = routed.with_route(HostRole.HOME_NETWORK, _BACKHAUL, paper.TO_VISITED)
    access, *others = base.links
    ends = tuple(replace(end, host=router.name) if end.advertise else end for end in access.ends)
    backhaul = Link(
        "backhaul",
        (
            Interface(router.name, _at(_NEAR)),
            Interface(base.host(HostRole.ACCESS_ROUTER), _at(_FAR)),
        ),
    )
    return Topology(name, (*routed.hosts, router), (replace(access, ends=ends), backhaul, *others))


TOPOLOGY = with_router(paper.TOPOLOGY, "routed", HostRole.FIRST_HOP_ROUTER)
