"""The words in which a topology is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Interface, IPv6Network


@dataclass(frozen=True, slots=True)
class Interface:
    """One end of a link.

    `addresses` are fixed; `advertise` is the prefix that a router announces by router
    advertisements; `autoconfigure` makes the host take its address from them (RFC 4862).
    """

    host: str
    addresses: tuple[IPv6Interface, ...] = ()
    advertise: IPv6Network | None = None
    autoconfigure: bool = False

    @property
    def address(self) -> IPv6Address:
        """The first fixed address."""
        return self.addresses[0].ip


@dataclass(frozen=True, slots=True)
class Shape:
    """What a link does to traffic: rate in Mbit/s, one-way delay in seconds, loss in percent."""

    rate: float = 100.0
    delay: float = 0.0
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two hosts; one with more ends is shared, as by a switch.

    What is measured of it, and counted on it, is between its first two ends.
    """

    name: str
    ends: tuple[Interface, ...]
    shape: Shape = Shape()

    @property
    def is_shared(self) -> bool:
        """Whether it has more than two ends."""
        return len(self.ends) > 2

    def end(self, host: str) -> Interface:
        """Return the end at `host`; KeyError if the link does not touch it."""
        for interface in self.ends:
            if interface.host == host:
                return interface
        raise KeyError(f"link {self.name} does not touch host {host}")


class HostRole(StrEnum):
    """What a host is in a network; no two hosts of a topology have the same role."""

    MOBILE_NODE = "mobile node"
    FIRST_HOP_ROUTER = "first-hop router"
    PANA_RELAY = "PANA relay"
    ACCESS_ROUTER = "access router"
    HOME_NETWORK = "home network"
    CORRESPONDENT_NODE = "correspondent node"
    DHCPV6_SERVER = "DHCPv6 server"
    VISITED_HOME_AGENT = "visited home agent"
    VISITED_NEIGHBOUR = "visited neighbour"
    ACCESS_STRANGER = "stranger on the access link"
    CORE_STRANGER = "stranger on the core link"


@dataclass(frozen=True, slots=True)
class Host:
    """A host; `routes` maps a destination to the next hop."""

    name: str
    role: HostRole
    forwards: bool = False
    routes: tuple[tuple[IPv6Network, IPv6Address], ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """Hosts and the links between them."""

    name: str
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]

    def host(self, role: HostRole) -> str:
        """Return the name of the host with this role; KeyError if there is none."""
        for host in self.hosts:
            if host.role is role:
                return host.name
        raise KeyError(f"topology {self.name} has no {role}")

    def has(self, role: HostRole) -> bool:
        """Return whether there is a host with this role."""
        return any(host.role is role for host in self.hosts)

    def link(self, name: str) -> Link:
        """Return the link called `name`; KeyError if there is none."""
        for link in self.links:
            if link.name == name:
                return link
        raise KeyError(f"no link {name} in topology {self.name}")

    def interface_name(self, host: str, link: str) -> str:
        """Return the name of the network interface that joins `host` to `link`: A-access."""
        return f"{self.link(link).end(host).host}-{link}"

    def with_links(self, changes: Mapping[str, Shape]) -> Topology:
        """Return a copy whose named links are shaped otherwise; KeyError for an unknown link."""
        for name in changes:
            self.link(name)
        links = tuple(
            replace(link, shape=changes[link.name]) if link.name in changes else link
            for link in self.links
        )
        return replace(self, links=links)

    def with_route(self, role: HostRole, network: IPv6Network, next_hop: IPv6Address) -> Topology:
        """Return a copy in which the host with this role has one more route."""
        hosts = tuple(
            replace(host, routes=(*host.routes, (network, next_hop))) if host.role is role else host
            for host in self.hosts
        )
        return replace(self, hosts=hosts)


def mac_address(topology: Topology, link: Link, end: int) -> str:
    """Return the MAC address of one of a link's ends, counted from 0: locally administered."""
    return f"02:00:00:00:{topology.links.index(link) + 1:02x}:{end + 1:02x}"


def link_local_address(topology: Topology, link: Link, host: str) -> IPv6Address:
    """Return the link-local address of a host on a link (RFC 4291 appendix A)."""
    end = link.ends.index(link.end(host))
    octets = bytes.fromhex(mac_address(topology, link, end).replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return IPv6Address(b"\xfe\x80" + bytes(6) + identifier)
