"""The paper's testbed (its Figure 6): three hosts, and a correspondent node on the home link.

A mobile node ---access--- B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies.model import Host, HostRole, Interface, Link, Topology

ACCESS = IPv6Network("2001:db8:a::/64")
_HOME = IPv6Network("2001:db8:100::/64")
_ANYWHERE = IPv6Network("::/0")
TO_VISITED = IPv6Address("2001:db8:b::1")
"""The home network's next hop to all networks behind the access router."""


def _at(address: str) -> tuple[IPv6Interface, ...]:
    return (IPv6Interface(address),)


TOPOLOGY = Topology(
    name="paper",
    hosts=(
        Host("A", HostRole.MOBILE_NODE),
        Host(
            "B",
            HostRole.ACCESS_ROUTER,
            forwards=True,
            routes=((_ANYWHERE, IPv6Address("2001:db8:b::2")),),
        ),
        Host(
            "C",
            HostRole.HOME_NETWORK,
            forwards=True,
            routes=((ACCESS, TO_VISITED),),
        ),
        Host(
            "CN",
            HostRole.CORRESPONDENT_NODE,
            routes=((_ANYWHERE, IPv6Address("2001:db8:100::1")),),
        ),
    ),
    links=(
        Link(
            "access",
            (
                Interface("A", autoconfigure=True),
                Interface("B", _at("2001:db8:a::1/64"), advertise=ACCESS),
            ),
        ),
        Link(
            "core",
            (Interface("B", _at("2001:db8:b::1/64")), Interface("C", _at("2001:db8:b::2/64"))),
        ),
        Link(
            "home",
            (Interface("C", _at("2001:db8:100::1/64")), Interface("CN", _at("2001:db8:100::c/64"))),
        ),
    ),
)
