"""Who plays in a topology: the nodes by their names, where they are, one or many of each."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Interface

from agents.core.record import Record, replace
from topologies.model import HostRole, Topology

HOME_REALM, VISITED_REALM = "home.test", "visited.test"
HOME_AAA, HOME_AGENT, ACCESS_ROUTER = "aaa.home.test", "ha.home.test", "ar.visited.test"
HOME_AGENT_ADDRESS = IPv6Address("2001:db8:100::1")
DIAMETER_RELAY, DIAMETER_REDIRECT = "relay.visited.test", "redirect.visited.test"
VISITED_HOME_AGENT = "ha.visited.test"
VISITED_HOME_AGENT_ADDRESS = IPv6Address("2001:db8:200::2")
HOME_ADDRESS = IPv6Address("2001:db8:100::1234")


def numbered(name: str, number: int) -> str:
    """Return the name of one of a fleet: mn0007@home.test of mn@home.test."""
    user, at, realm = name.partition("@")
    return f"{user}{number:04}{at}{realm}"


class Node(Record, frozen=True):
    """A host by its name in a role, and the link on which it has that role."""

    name: str
    host: str
    link: str


class Cast(Record, frozen=True):
    """Who plays in a topology: one of each, or several with numbers in their names."""

    topology: Topology

    @property
    def home_aaas(self) -> tuple[Node, ...]:
        """The home AAA servers, the one first that is asked first; there may be one."""
        role = HostRole.HOME_AAA if self.is_home_aaa_apart else HostRole.HOME_NETWORK
        hosts = self.topology.hosts_with(role)
        if len(hosts) == 1:
            return (Node(HOME_AAA, hosts[0], "core"),)
        first, _, domain = HOME_AAA.partition(".")
        return tuple(
            Node(f"{first}{number}.{domain}", host, "core") for number, host in enumerate(hosts, 1)
        )

    @property
    def home_aaa(self) -> Node:
        """The home AAA server, on a host of its own or beside a home agent; the first of two."""
        return self.home_aaas[0]

    @property
    def is_home_aaa_apart(self) -> bool:
        """Whether the home AAA server is on a host of its own."""
        return self.topology.has(HostRole.HOME_AAA)

    @property
    def home_agents(self) -> tuple[Node, ...]:
        """The home agents of the home network, each on its home link."""
        if hosts := self.topology.hosts_with(HostRole.HOME_AGENT):
            return self._numbered(HOME_AGENT, hosts, "home")
        return (Node(HOME_AGENT, self.topology.host(HostRole.HOME_NETWORK), "home"),)

    @property
    def home_agents_by_name(self) -> dict[str, Node]:
        """The same as the home AAA server calls them: ha1, ha2, ..."""
        return {f"ha{number}": agent for number, agent in enumerate(self.home_agents, 1)}

    @property
    def access_routers(self) -> tuple[Node, ...]:
        """The access routers, each on the link on which it hears mobile nodes."""
        hosts = self.topology.hosts_with(HostRole.ACCESS_ROUTER)
        if self.topology.is_fleet:
            return self._numbered(ACCESS_ROUTER, hosts, "access")
        if len(hosts) > 1:
            links = self.topology.links
            served = {end.host: link.name for link in links for end in link.ends if end.advertise}
            named = self._numbered(ACCESS_ROUTER, hosts, "access")
            return tuple(replace(router, link=served[router.host]) for router in named)
        (host,) = hosts
        ends = {end.host for end in self.topology.link("access").ends}
        return (Node(ACCESS_ROUTER, host, "access" if host in ends else "backhaul"),)

    def mobile_nodes(self, identity: str) -> tuple[Node, ...]:
        """Return the mobile nodes by their identities; those of a fleet have numbers in them."""
        hosts = self.topology.hosts_with(HostRole.MOBILE_NODE)
        if not self.topology.is_fleet:
            return (Node(identity, self.topology.host(HostRole.MOBILE_NODE), "access"),)
        return tuple(
            Node(numbered(identity, number), host, self.topology.at(host)[0][0].name)
            for number, host in enumerate(hosts, 1)
        )

    @staticmethod
    def _numbered(name: str, hosts: Sequence[str], link: str) -> tuple[Node, ...]:
        """Return ha1.home.test on its link home1, and so on."""
        first, _, domain = name.partition(".")
        return tuple(
            Node(f"{first}{number}.{domain}", host, f"{link}{number}")
            for number, host in enumerate(hosts, 1)
        )

    def address(self, node: Node) -> IPv6Interface:
        """Return the address of a node on its link, with the link's prefix."""
        return self.topology.end(node.host, node.link).addresses[0]
