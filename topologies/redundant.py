"""The testbed with two home AAA servers, home agent apart: one server stands in for the other.

                                                         .--- S1 home AAA server
A mobile node ---access--- B access router ---core------+---- S2 home AAA server
                                                         '--- H home agent ---home1--- CN
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface

from topologies import apart
from topologies.model import Host, HostRole, Interface, Topology

SERVERS = {"S1": IPv6Address("2001:db8:b::2"), "S2": IPv6Address("2001:db8:b::4")}


def _build() -> Topology:
    """Return `apart` with two servers in the place of its one."""
    plain = apart.TOPOLOGY
    routes = next(host.routes for host in plain.hosts if host.role is HostRole.HOME_AAA)
    servers = tuple(Host(name, HostRole.HOME_AAA, routes=routes) for name in SERVERS)
    hosts = tuple(host for host in plain.hosts if host.role is not HostRole.HOME_AAA)
    core = plain.link("core")
    ends = tuple(end for end in core.ends if end.host in {host.name for host in hosts})
    ends += tuple(Interface(n, (IPv6Interface((a, 64)),)) for n, a in SERVERS.items())
    links = tuple(replace(link, ends=ends) if link is core else link for link in plain.links)
    return replace(plain, name="redundant", hosts=hosts[:2] + servers + hosts[2:], links=links)


TOPOLOGY = _build()
