"""An operator's network: many mobile nodes behind several access routers, and several home agents.

    MN0001, MN0003, ... ---access1--- AR1 ---.
    MN0002, MN0004, ... ---access2--- AR2 ---+--core--- AAA home AAA server
                                             |--------- HA1 home agent ---home1--- CN1
                                             '--------- HA2 home agent ---home2--- CN2

An access link is a switch with its router and its mobile nodes, the core network one with all
routers, home agents and the home AAA server. How many there are of each is a parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from topologies.model import Host, HostRole, Interface, Link, Topology

MOST: Mapping[str, int] = {"mobile_nodes": 1_000_000, "access_routers": 99, "home_agents": 99}
"""The parameters, each with its greatest value."""

MOST_REAL = 9999
"""Mobile nodes for which names of a kernel's interfaces have room (IFNAMSIZ)."""

AAA = IPv6Address("2001:db8:b::2")
_CORE = IPv6Network("2001:db8:b::/64")
_ANYWHERE = IPv6Network("::/0")


def access_network(router: int) -> IPv6Network:
    """Return the prefix of an access link, by its router's number from 1."""
    return IPv6Network((IPv6Address("2001:db8:a::") + (router << 64), 64))


def home_network(agent: int) -> IPv6Network:
    """Return the prefix of a home link, by its home agent's number from 1."""
    return IPv6Network((IPv6Address("2001:db8:100::") + (agent - 1 << 80), 64))


def _router_in_core(router: int) -> IPv6Address:
    return _CORE.network_address + (0xA0000 + router)


def _agent_in_core(agent: int) -> IPv6Address:
    return _CORE.network_address + (0x1000000 + agent)


def _at(address: IPv6Address) -> tuple[IPv6Interface, ...]:
    return (IPv6Interface((address, 64)),)


def build(mobile_nodes: int = 10, access_routers: int = 1, home_agents: int = 1) -> Topology:
    """Return the network with so many of each; mobile nodes take turns at the access routers.

    There is no access router without a mobile node.
    """
    access_routers = min(access_routers, mobile_nodes)
    nodes = [f"MN{number:04}" for number in range(1, mobile_nodes + 1)]
    routers, agents = range(1, access_routers + 1), range(1, home_agents + 1)
    networks = {access_network(i): _router_in_core(i) for i in routers}
    networks |= {home_network(i): _agent_in_core(i) for i in agents}

    def others(own: IPv6Network | None) -> tuple[tuple[IPv6Network, IPv6Address], ...]:
        return tuple((to, via) for to, via in networks.items() if to != own)

    return Topology(
        name="operator",
        hosts=(
            *(Host(name, HostRole.MOBILE_NODE) for name in nodes),
            *(
                _router(f"AR{i}", HostRole.ACCESS_ROUTER, others(access_network(i)))
                for i in routers
            ),
            Host("AAA", HostRole.HOME_AAA, routes=others(None)),
            *(_router(f"HA{i}", HostRole.HOME_AGENT, others(home_network(i))) for i in agents),
            *(
                Host(
                    f"CN{i}",
                    HostRole.CORRESPONDENT_NODE,
                    routes=((_ANYWHERE, home_network(i)[1]),),
                )
                for i in agents
            ),
        ),
        links=(
            *(_access_link(i, nodes[i - 1 :: access_routers]) for i in routers),
            Link(
                "core",
                (
                    *(Interface(f"AR{i}", _at(_router_in_core(i))) for i in routers),
                    Interface("AAA", _at(AAA)),
                    *(Interface(f"HA{i}", _at(_agent_in_core(i))) for i in agents),
                ),
            ),
            *(_home_link(i) for i in agents),
        ),
        is_fleet=True,
    )


def _router(name: str, role: HostRole, routes: tuple[tuple[IPv6Network, IPv6Address], ...]) -> Host:
    return Host(name, role, forwards=True, routes=routes)


def _access_link(number: int, nodes: Iterable[str]) -> Link:
    """Return an access link, its router first: the link's name is its router's number."""
    network = access_network(number)
    router = Interface(f"AR{number}", _at(network[1]), advertise=network)
    ends = (router, *(Interface(name, autoconfigure=True) for name in nodes))
    return Link(f"access{number}", ends)


def _home_link(number: int) -> Link:
    network = home_network(number)
    return Link(
        f"home{number}",
        (Interface(f"HA{number}", _at(network[1])), Interface(f"CN{number}", _at(network[12]))),
    )


TOPOLOGY = build()
