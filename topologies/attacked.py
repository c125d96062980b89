"""The paper's testbed with a stranger on each link, who hears all that passes there.

    E stranger -----.                             X stranger ---.        N stranger ---.
    A mobile node ---access--- B access router ---core--- C home network ---home--- CN

All are plain hosts without credentials: E is in the network that the mobile node visits, X in the
one between that and its home, N at home.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies import paper
from topologies.model import Host, HostRole, Interface, Topology


def with_host(base: Topology, link: str, host: Host, address: str) -> Topology:
    """Return a topology with one more host on a link, which hears all that passes there."""
    end = Interface(host.name, (IPv6Interface(address),))
    links = tuple(
        replace(one, ends=(*one.ends, end), hub=True) if one.name == link else one
        for one in base.links
    )
    return replace(base, hosts=(*base.hosts, host), links=links)


def _stranger(name: str, role: HostRole, router: str) -> Host:
    return Host(name, role, routes=((IPv6Network("::/0"), IPv6Address(router)),))


_STRANGERS = (
    ("access", _stranger("E", HostRole.ACCESS_STRANGER, "2001:db8:a::1"), "2001:db8:a::e/64"),
    ("core", _stranger("X", HostRole.CORE_STRANGER, "2001:db8:b::2"), "2001:db8:b::e/64"),
    ("home", _stranger("N", HostRole.HOME_STRANGER, "2001:db8:100::1"), "2001:db8:100::e/64"),
)
TOPOLOGY = reduce(
    lambda base, one: with_host(base, *one), _STRANGERS, replace(paper.TOPOLOGY, name="attacked")
)
