"""The hosts of mobile nodes, access router and home network on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from itertools import combinations
from typing import Any, cast

from agents.core.eventlog import EventLog
from agents.core.host import Receive
from agents.core.machine import Address
from agents.kernel.model_port import ModelEnforcementPoint, ModelHomeAgent, ModelMobileNode
from agents.kernel.packet import UDP, Packet
from agents.kernel.port import AccessLink
from agents.simulation.host import SimulatedHost
from agents.simulation.laboratory import Events
from agents.simulation.link import Link
from agents.simulation.neighbours import acquaint
from agents.simulation.stack import Interface, Stack
from agents.simulation.tcp import Tcp
from agents.simulation.world import World
from topologies.model import Shape

ACCESS, CORE, HOME = "2001:db8:a::/64", "2001:db8:c::/64", "2001:db8:100::/56"
VISITED = "2001:db8:b::/64"
COA, NEXT_COA, OTHER_COA = (IPv6Address(f"2001:db8:a::{n}") for n in (2, 3, 4))
ROUTER, NAS, AAA = "2001:db8:a::1", "2001:db8:c::1", "2001:db8:c::2"
HA, LOCAL_HA = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:b::1")
LINK = AccessLink("access", IPv6Network(ACCESS))


class Net:
    """Hosts A and D on the access link, B between that and the core, C before the home link.

    B has a link of its own beside these, for a home agent in the visited network.
    """

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.clock = self.world.clock
        self.events = Events()
        self.stacks: dict[str, Stack] = {}
        self._tcp: dict[str, Tcp] = {}
        names = ("access", "core", "home", "visited")
        access, core, home, visited = (
            Link(self.world, name, Shape(rate=0.0, delay=0.001)) for name in names
        )
        away = [("::/0", ROUTER)]
        self._host("A", away, (access, ACCESS, str(COA), str(NEXT_COA)))
        self._host("D", away, (access, ACCESS, str(OTHER_COA)))
        inward = (access, ACCESS, ROUTER), (visited, VISITED, str(LOCAL_HA))
        self._host("B", [(HOME, AAA)], *inward, (core, CORE, NAS))
        self._host("C", [("::/0", NAS)], (core, CORE, AAA), (home, HOME, str(HA)))
        acquaint_all(*(i for stack in self.stacks.values() for i in stack.interfaces.values()))

    def _host(self, name: str, routes: list[tuple[str, str]], *ends: tuple[Any, ...]) -> None:
        stack = self.stacks[name] = Stack(self.world, name, forwards=name in "BC")
        for to, hop in routes:
            stack.routes.add(IPv6Network(to), IPv6Address(hop))
        self._tcp[name] = Tcp(stack)
        for link, prefix, *addresses in ends:
            mac = bytes([2, 0, 0, 0, ord(name), len(stack.interfaces)])
            own = [IPv6Address(f"fe80::{ord(name):x}"), *map(IPv6Address, addresses)]
            networks = (IPv6Network(prefix), IPv6Network("fe80::/64"))
            Interface(stack, link.name, link, tuple(own), networks, mac)

    def program(self, name: str) -> SimulatedHost:
        """Return what a new program on a host runs in."""
        return SimulatedHost(self.stacks[name], self._tcp[name])

    def host_of(self, address: IPv6Address) -> str:
        """Return the host that has an address."""
        return next(name for name, stack in self.stacks.items() if stack.owns(address))

    def log(self, name: str) -> EventLog:
        return EventLog(name, "role", cast(Any, self.events), lambda: int(self.clock.now * 1e9))

    def told(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name."""
        return self.events.named(name)

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, or until it is done; return whether it is."""
        return self.clock.run(self.clock.now + seconds, done)

    # The one place that knows the kernels' names.

    def enforcement(self) -> ModelEnforcementPoint:
        return ModelEnforcementPoint(self.stacks["B"].kernel, LINK)

    def home_agent(self, address: IPv6Address = HA) -> ModelHomeAgent:
        return ModelHomeAgent(self.stacks[self.host_of(address)].kernel, address)

    def mobile_node(self, host: str = "A") -> ModelMobileNode:
        return ModelMobileNode(self.stacks[host].kernel)

    def forging(self, source: Address) -> Callable[[Receive], Forger]:
        """Return what opens a transport on the access link that sends from an address of others."""
        return lambda _receive: Forger(self.stacks["D"].interfaces["access"], source)


def acquaint_all(*interfaces: Interface) -> None:
    """Let those on the same link know each other, so that they need not ask."""
    for one, other in combinations(interfaces, 2):
        if one.link is other.link:
            acquaint(one, other)


class Forger:
    """A transport that hears nothing, and sends from whatever address it likes."""

    def __init__(self, interface: Interface, source: Address) -> None:
        self._interface = interface
        self._source = IPv6Address(source[0].partition("%")[0]), source[1]

    def send(self, data: bytes, destination: Address) -> None:
        host, port = destination
        packet = Packet(self._source[0], IPv6Address(host), UDP, self._source[1], port, data)
        self._interface.link.send(packet, self._interface)

    def close(self) -> None:
        """There is nothing to close."""
