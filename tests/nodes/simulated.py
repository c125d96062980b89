"""Nodes of one link on a virtual clock: hosts, their kernels, and what their programs tell."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from typing import Any, TextIO, cast

from agents.core.eventlog import EventLog
from agents.kernel.model_port import ModelHomeAgent, ModelMobileNode
from agents.simulation.host import SimulatedHost
from agents.simulation.laboratory import Events
from agents.simulation.link import Link
from agents.simulation.stack import Interface, Stack
from agents.simulation.tcp import Tcp
from agents.simulation.world import World
from tests.nodes.net import acquaint_all
from topologies.model import Shape

INTERFACE = "eth0"
DELAY = 0.001
"""Seconds that a packet is under way."""

_ON_LINK = IPv6Network("2001:db8::/32"), IPv6Network("fe80::/64")


class Network:
    """A link; time passes only while `run` or `until` wait."""

    def __init__(self) -> None:
        self.world = World()
        self.link = Link(self.world, "link", Shape(rate=0.0, delay=DELAY))
        self.interfaces: list[Interface] = []

    @property
    def now(self) -> float:
        return self.world.clock.now

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self.world.clock.run(self.now + seconds)

    def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Let time pass until a condition holds, which it must within so many seconds."""
        assert self.world.clock.run(self.now + seconds, lambda: bool(condition()))

    def lose(self, *ports: int) -> None:
        """Lose what goes to these UDP ports from now on."""
        self.world.loses = lambda _number, packet: packet.destination_port in ports


class Node:
    """A host on the link, with one program and its log."""

    def __init__(self, network: Network, name: str, *addresses: IPv6Address) -> None:
        self.name = name
        self.network = network
        self.stack = Stack(network.world, name)
        own = IPv6Address("fe80::") + len(network.interfaces) + 1
        mac = bytes([2, 0, 0, 0, 0, len(network.interfaces) + 1])
        self._interface = Interface(
            self.stack, INTERFACE, network.link, (own, *addresses), _ON_LINK, mac
        )
        network.interfaces.append(self._interface)
        acquaint_all(*network.interfaces)
        self.host = SimulatedHost(self.stack, Tcp(self.stack))
        self._events = Events()
        clock = network.world.clock
        stream = cast(TextIO, self._events)
        self.log = EventLog(name, "role", stream, lambda: int(clock.now * 1e9))

    def add(self, address: IPv6Address) -> None:
        """Give the host another address."""
        self._interface.add(address)
        acquaint_all(*self.network.interfaces)

    def remove(self, address: IPv6Address) -> None:
        """Take an address from the host."""
        self._interface.remove(address)

    def mobile_node_kernel(self) -> Any:
        """Return the kernel's part in a mobile node; it keeps `calls`, and refuses `failures`."""
        return ModelMobileNode(self.stack.kernel)

    def home_agent_kernel(self, address: IPv6Address) -> Any:
        """Return the kernel's part in a home agent; it keeps `calls`, and refuses `failures`."""
        return ModelHomeAgent(self.stack.kernel, address)

    def told(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what the log has, or the events of one name."""
        return self._events.told if name is None else self._events.named(name)

    def names(self, agent: str | None = None) -> list[str]:
        """Return the names of the events, of one agent if given."""
        return [e["event"] for e in self.told() if agent in (None, e["agent"])]

    def logged(self, name: str, times: int = 1) -> None:
        """Let time pass until an event has been logged so often."""
        self.network.until(lambda: len(self.told(name)) >= times)
