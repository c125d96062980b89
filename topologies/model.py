"""The words in which a topology is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
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
    """What a link does to traffic: rate in Mbit/s, one-way delay in seconds, faults in percent.

    Faults are of packets, and independent in each direction. A burst (Gilbert and Elliott's model)
    begins behind a packet with the chance `burst_begins` and ends with `burst_ends`; in it
    `burst_loss` is lost, and `loss` outside: netem's `loss gemodel p r 1-h 1-k`. What is reordered
    overtakes all that is delayed. What is corrupted has one bit wrong.
    """

    rate: float = 100.0
    delay: float = 0.0
    loss: float = 0.0
    burst_begins: float = 0.0
    burst_ends: float = 100.0
    burst_loss: float = 100.0
    duplication: float = 0.0
    reordering: float = 0.0
    corruption: float = 0.0

    @property
    def calm(self) -> Shape:
        """The same link without faults."""
        return Shape(self.rate, self.delay)

    @property
    def mean_loss(self) -> float:
        """The percentage that is lost in the long run."""
        if not self.burst_begins:
            return self.loss
        bursting = self.burst_begins / (self.burst_begins + self.burst_ends)
        return self.loss + bursting * (self.burst_loss - self.loss)

    @property
    def is_faulty(self) -> bool:
        """Whether anything goes wrong."""
        return any(
            (self.loss, self.burst_begins, self.duplication, self.reordering, self.corruption)
        )


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two hosts; one with more ends is shared, as by a switch.

    What is measured of it, and counted on it, is between its first two ends. On a `hub` every end
    hears every frame, as on a radio link or on a cable that is tapped. Mobile nodes move between
    links where one `roams`.
    """

    name: str
    ends: tuple[Interface, ...]
    shape: Shape = Shape()
    hub: bool = False
    roams: bool = False

    @property
    def kind(self) -> str:
        """Its name without the number that it has where there are several of its kind."""
        return self.name.rstrip("0123456789")

    @property
    def is_shared(self) -> bool:
        """Whether it has more than two ends."""
        return len(self.ends) > 2

    @property
    def is_bridged(self) -> bool:
        """Whether a lab has a bridge between its ends: others may join, or things go wrong on it.

        What goes wrong does so behind the bridge, where each end's captures have what it has sent.
        """
        return self.hub or self.roams or self.is_shared or self.shape.is_faulty

    def end(self, host: str) -> Interface:
        """Return the end at `host`; KeyError if the link does not touch it."""
        for interface in self.ends:
            if interface.host == host:
                return interface
        raise KeyError(f"link {self.name} does not touch host {host}")


class HostRole(StrEnum):
    """What a host is in a network; several hosts of a topology may be the same."""

    MOBILE_NODE = "mobile node"
    FIRST_HOP_ROUTER = "first-hop router"
    PANA_RELAY = "PANA relay"
    ACCESS_ROUTER = "access router"
    HOME_NETWORK = "home network"
    HOME_AAA = "home AAA server"
    HOME_AGENT = "home agent"
    CORRESPONDENT_NODE = "correspondent node"
    DHCPV6_SERVER = "DHCPv6 server"
    VISITED_HOME_AGENT = "visited home agent"
    VISITED_NEIGHBOUR = "visited neighbour"
    ACCESS_STRANGER = "stranger on the access link"
    CORE_STRANGER = "stranger on the core link"
    HOME_STRANGER = "stranger on the home link"


@dataclass(frozen=True, slots=True)
class Host:
    """A host; `routes` maps a destination to the next hop."""

    name: str
    role: HostRole
    forwards: bool = False
    routes: tuple[tuple[IPv6Network, IPv6Address], ...] = ()


@dataclass(frozen=True)
class Topology:
    """Hosts and the links between them.

    The mobile nodes of a fleet, of which there may be any number, run in one program.
    """

    name: str
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]
    is_fleet: bool = False

    @cached_property
    def _roles(self) -> dict[HostRole, tuple[str, ...]]:
        named: dict[HostRole, list[str]] = {}
        for host in self.hosts:
            named.setdefault(host.role, []).append(host.name)
        return {role: tuple(names) for role, names in named.items()}

    def hosts_with(self, role: HostRole) -> tuple[str, ...]:
        """Return the names of the hosts with this role, in their order."""
        return self._roles.get(role, ())

    def host(self, role: HostRole) -> str:
        """Return the name of the one host with this role; KeyError if there is none, or several."""
        found = self.hosts_with(role)
        if len(found) == 1:
            return found[0]
        number = f"{len(found)} hosts that are" if found else "no"
        raise KeyError(f"topology {self.name} has {number} {role}")

    def has(self, role: HostRole) -> bool:
        """Return whether there is a host with this role."""
        return role in self._roles

    def at(self, host: str) -> tuple[tuple[Link, Interface], ...]:
        """Return the links of a host, each with the host's end, in their order."""
        return self._ends.get(host, ())

    @property
    def roaming(self) -> tuple[Link, ...]:
        """The links between which mobile nodes move; there may be none."""
        return tuple(link for link in self.links if link.roams)

    def roaming_at(self, host: str) -> Link | None:
        """Return the one of these on which a host is at first, None if it does not move."""
        return next((link for link, _ in self.at(host) if link.roams), None)

    def end(self, host: str, link: str) -> Interface:
        """Return the end of a link at a host; KeyError if there is none."""
        for of, end in self.at(host):
            if of.name == link:
                return end
        return self.link(link).end(host)  # Raises.

    @cached_property
    def _ends(self) -> dict[str, tuple[tuple[Link, Interface], ...]]:
        found: dict[str, list[tuple[Link, Interface]]] = {}
        for link in self.links:
            for end in link.ends:
                found.setdefault(end.host, []).append((link, end))
        return {host: tuple(ends) for host, ends in found.items()}

    def link(self, name: str) -> Link:
        """Return the link called `name`; KeyError if there is none."""
        for link in self.links:
            if link.name == name:
                return link
        raise KeyError(f"no link {name} in topology {self.name}")

    def interface_name(self, host: str, link: str) -> str:
        """Return the name of the network interface that joins `host` to `link`: A-access."""
        return f"{self.end(host, link).host}-{link}"

    def with_links(self, changes: Mapping[str, Shape]) -> Topology:
        """Return a copy whose links are shaped otherwise, by their names, or all of a kind.

        KeyError for an unknown link.
        """
        for name in changes.keys() - {link.kind for link in self.links}:
            self.link(name)

        def shape(link: Link) -> Shape:
            return changes.get(link.name) or changes.get(link.kind) or link.shape

        links = tuple(replace(link, shape=shape(link)) for link in self.links)
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
    return numbered_mac(topology.links.index(link), end)


def numbered_mac(link: int, end: int) -> str:
    """Return the MAC address of an end of a link, both counted from 0."""
    number, of_link = end + 1, link + 1
    high, middle = number >> 16, number >> 8 & 0xFF
    return f"02:00:{high:02x}:{middle:02x}:{of_link:02x}:{number & 0xFF:02x}"


def link_local_address(topology: Topology, link: Link, host: str) -> IPv6Address:
    """Return the link-local address of a host on a link (RFC 4291 appendix A)."""
    end = link.ends.index(link.end(host))
    return link_local_of(bytes.fromhex(mac_address(topology, link, end).replace(":", "")))


def link_local_of(octets: bytes) -> IPv6Address:
    """Return the link-local address of an interface by its MAC address."""
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return IPv6Address(b"\xfe\x80" + bytes(6) + identifier)


def autoconfigured(prefix: IPv6Network, link_local: IPv6Address) -> IPv6Address:
    """Return the address that a host makes for itself of a prefix (RFC 4862 section 5.5.3)."""
    return IPv6Address(int(prefix.network_address) | int(link_local) & (1 << 64) - 1)
