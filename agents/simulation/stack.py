"""The network stack of a simulated host: interfaces, routes, sockets, a model of its kernel."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from ipaddress import IPv6Address, IPv6Network
from typing import TypeAlias

from agents.core.host import Receive
from agents.core.machine import Carried
from agents.core.record import replace
from agents.kernel.model import TUNNEL, ModelKernel
from agents.kernel.packet import (
    ICMPV6,
    MOBILITY_HEADER,
    TCP,
    UDP,
    Packet,
    is_link_local,
    is_multicast,
)
from agents.mip6.neighbour import ALL_NODES, solicited_node
from agents.simulation import frames
from agents.simulation.frames import ipv6
from agents.simulation.link import Link, Tap
from agents.simulation.neighbours import Neighbours
from agents.simulation.processor import Processor
from agents.simulation.world import World

_ECHO_REQUEST, _ECHO_REPLY = bytes([128]), bytes([129])
_RAW = (ICMPV6, MOBILITY_HEADER)
_EPHEMERAL = (32768, 61000)
_BITS = 128
_MANY = 1 << 16

address_of = lru_cache(_MANY)(IPv6Address)
text_of: Callable[[IPv6Address], str] = lru_cache(_MANY)(str)


_NAMES = {
    53: "DNS",
    500: "IKE",
    546: "DHCPv6",
    547: "DHCPv6",
    716: "PANA",
    1812: "RADIUS",
    1813: "RADIUS",
}
"""Protocols by their ports."""


class Interface:
    """One end of a link at a host; it is the host's when it is made.

    What passes it is heard by `tap`, if there is one.
    """

    def __init__(
        self,
        stack: Stack,
        name: str,
        link: Link,
        addresses: tuple[IPv6Address, ...],
        prefixes: tuple[IPv6Network, ...],
        mac: bytes,
    ) -> None:
        self.stack = stack
        self.name = name
        self.link = link
        self.addresses: tuple[IPv6Address, ...] = ()
        self.prefixes = prefixes
        self.mac = mac
        self.tap: Tap | None = None
        self.watchers: list[Callable[[bool], None]] = []
        """Who hears that its link is up, which may be another one."""

        self.neighbours = Neighbours(self)
        self.join()
        stack.interfaces[name] = self
        for prefix in prefixes:
            stack.routes.add(prefix, self)
        for address in addresses:
            self.add(address)

    def join(self) -> None:
        """Be on its link, with the addresses that it has."""
        self.link.attach(self, hears_all=self.stack.forwards)
        for group in (ALL_NODES, *map(solicited_node, self.addresses)):
            self.link.listen(self, group)

    def move(self, link: Link) -> None:
        """Be on another link, with the same addresses; what cuts it off comes along."""
        before = self.link
        before.detach(self)
        if self in before.cut_off:
            before.cut_off.discard(self)
            link.cut_off.add(self)
        self.neighbours.forget()
        self.link = link
        self.join()
        for watcher in tuple(self.watchers):
            watcher(True)

    def add(self, address: IPv6Address) -> None:
        """Have one more address."""
        self.addresses += (address,)
        self.stack.addresses.add(int(address))
        self.link.listen(self, solicited_node(address))

    def remove(self, address: IPv6Address) -> None:
        """Have an address no more."""
        self.addresses = tuple(a for a in self.addresses if a != address)
        self.stack.addresses.discard(int(address))
        if solicited_node(address) not in map(solicited_node, self.addresses):
            self.link.leave(self, solicited_node(address))

    def receive(self, packet: Packet) -> None:
        """Take a packet off the link."""
        self.stack.arrive(packet, self)


class Routes:
    """Ways by prefix: over an interface, or by a next hop to be looked up again."""

    def __init__(self) -> None:
        self._by_length: dict[int, dict[int, Interface | IPv6Address]] = {}
        self.hops: list[tuple[IPv6Network, IPv6Address]] = []
        """The next hops as they were added."""

        self._interfaces: dict[int, Interface | IPv6Address | None] = {}
        """What leads to a next hop, by that as a number."""

    def add(self, network: IPv6Network, way: Interface | IPv6Address) -> None:
        """Add one; the first of a prefix stays, unless the other one is on a link."""
        self._interfaces.clear()
        length = network.prefixlen
        ways = self._by_length.setdefault(length, {})
        prefix = int(network.network_address) >> _BITS - length
        if isinstance(way, Interface) and isinstance(ways.get(prefix), IPv6Address):
            del ways[prefix]
        ways.setdefault(prefix, way)
        if isinstance(way, IPv6Address):
            self.hops.append((network, way))
        self._by_length = dict(sorted(self._by_length.items(), reverse=True))

    def clear(self) -> None:
        """Forget all next hops; what is on the links stays reachable."""
        self.hops.clear()
        self._interfaces.clear()
        for ways in self._by_length.values():
            for prefix in [p for p, way in ways.items() if isinstance(way, IPv6Address)]:
                del ways[prefix]

    def leave(self, interface: Interface, but: Sequence[IPv6Network]) -> None:
        """Forget an interface's prefixes but for these, and next hops to which nothing leads."""
        kept = {(p.prefixlen, int(p.network_address) >> _BITS - p.prefixlen) for p in but}
        hops = tuple(self.hops)
        for length, ways in self._by_length.items():
            for one in [one for one, way in ways.items() if way is interface]:
                if (length, one) not in kept:
                    del ways[one]
        self.clear()
        for network, hop in hops:
            if isinstance(self._longest(hop), Interface):
                self.add(network, hop)

    def _longest(self, destination: IPv6Address) -> Interface | IPv6Address | None:
        number = int(destination)
        for length, ways in self._by_length.items():
            if found := ways.get(number >> _BITS - length):
                return found
        return None

    def way(self, destination: IPv6Address) -> tuple[Interface, IPv6Address] | None:
        """Return the interface and the next hop towards an address, by the longest prefix."""
        found = self._longest(destination)
        if isinstance(found, Interface):
            return found, destination
        if found is None:
            return None
        known = self._interfaces.get(int(found))
        if known is None:
            known = self._interfaces[int(found)] = self._longest(found)
        return (known, found) if isinstance(known, Interface) else None


@dataclass(eq=False)
class Socket:
    """A bound socket for datagrams; `address` None is any, `interface` None all.

    It sends from `sender`, if there is one.
    """

    stack: Stack
    protocol: int
    address: IPv6Address | None
    port: int
    receive: Receive
    interface: str | None = None
    group: IPv6Address | None = None
    hops: int = 1
    sender: IPv6Address | None = None
    is_open: bool = field(default=True)

    def send(self, data: bytes, destination: tuple[str, int]) -> None:
        """Send one datagram; a zone in the destination names the interface."""
        if self.is_open:
            self.stack.world.carry(self._send, data, destination)

    def _send(self, data: bytes, destination: tuple[str, int]) -> None:
        host, _, zone = destination[0].partition("%")
        to = address_of(host)
        source = self.sender or self.address or self.stack.source_for(to, zone or self.interface)
        if source is None:
            return
        if tally := self.stack.world.tally:
            tally.note(self._protocol(destination[1]), (int(source), self.port, int(to)), data)
        to_group = is_multicast(to)
        hops = self.hops if to_group else 64
        packet = Packet(source, to, self.protocol, self.port, destination[1], data, hop_limit=hops)
        self.stack.send(packet, zone or (self.interface if to_group else None))

    def _protocol(self, port: int) -> str:
        if self.protocol == MOBILITY_HEADER:
            return "MIPv6"
        return _NAMES.get(port) or _NAMES.get(self.port) or "other"

    def takes(self, packet: Packet, incoming: Interface | None) -> bool:
        """Return whether a packet of its protocol for its port is for this socket."""
        if self.interface and incoming and incoming.name != self.interface:
            return False
        if is_multicast(packet.destination):
            return packet.destination == self.group
        return self.address in (None, packet.destination)

    def close(self) -> None:
        """Close the socket."""
        if self.is_open:
            self.is_open = False
            self.stack.sockets.remove(self)


@dataclass(eq=False)
class AnycastSocket(Socket):
    """A socket at an anycast address, which is this host's while it is open."""

    def __post_init__(self) -> None:
        """Have the host take what is for the address."""
        if self.address:
            self.stack.addresses.add(int(self.address))

    def close(self) -> None:
        """Close the socket, and leave the address to others."""
        if self.is_open and self.address:
            self.stack.addresses.discard(int(self.address))
        super().close()


class Sockets:
    """The sockets of a stack, by protocol and port."""

    def __init__(self) -> None:
        self._bound: dict[tuple[int, int], list[Socket]] = {}

    def __iter__(self) -> Iterator[Socket]:
        return (socket for sockets in self._bound.values() for socket in sockets)

    def __len__(self) -> int:
        return sum(map(len, self._bound.values()))

    def at(self, protocol: int, port: int) -> list[Socket]:
        """Return those of a port."""
        return self._bound.get((protocol, port), [])

    def add(self, socket: Socket) -> None:
        """Bind one; OSError if another one has the same, unless they are raw: those hear alike."""
        for other in self.at(socket.protocol, socket.port):
            if socket.protocol in _RAW:
                break
            if (other.address, other.interface) == (socket.address, socket.interface):
                raise OSError(98, "Address already in use")
        self._bound.setdefault((socket.protocol, socket.port), []).append(socket)
        self._listen(socket)

    def remove(self, socket: Socket) -> None:
        """Unbind one."""
        key = socket.protocol, socket.port
        self._bound[key].remove(socket)
        if not self._bound[key]:
            del self._bound[key]
        for interface in self._joined(socket):
            if not any(
                other.group == socket.group and interface in self._joined(other) for other in self
            ):
                interface.link.leave(interface, socket.group)

    def _listen(self, socket: Socket) -> None:
        for interface in self._joined(socket):
            interface.link.listen(interface, socket.group)

    @staticmethod
    def _joined(socket: Socket) -> list[Interface]:
        if socket.group is None:
            return []
        interfaces = socket.stack.interfaces
        return [interfaces[socket.interface]] if socket.interface else [*interfaces.values()]


Listener: TypeAlias = Callable[[bytes], None]


class Stack:
    """One host's network: it outlives the programs that run over it, as a kernel does."""

    def __init__(
        self, world: World, name: str, *, forwards: bool = False, processors: int = 1
    ) -> None:
        self.world = world
        self.name = name
        self.processor = Processor(world.clock, processors)
        self.processors = processors
        self.receive_buffer = 0
        """Octets that wait for a program at one of its sockets at most; 0: any number."""

        self.programs = 0
        """How many have been on this host so far."""

        self.interfaces: dict[str, Interface] = {}
        self.addresses: set[int] = set()
        """As numbers, which are found in a fifth of the time."""

        self.routes = Routes()
        self.sockets = Sockets()
        self.link_listeners: list[tuple[str, Listener]] = []
        """Who hears whole packets of ICMPv6, and on which interface."""

        self.segments: Callable[[Packet], None] = lambda _: None
        """Who takes what comes in by TCP."""

        self.forwards = forwards
        self.forwarding = 0.0
        """Seconds that it takes to forward a packet."""

        self.kernel = self._new_kernel()
        self.is_off = False

    @cached_property
    def rng(self) -> random.Random:
        """Its kernel's randomness."""
        return self.world.random("stack", self.name)

    # Addresses and routes

    def owns(self, address: IPv6Address) -> bool:
        """Return whether an address is this host's."""
        home = self.kernel.home
        if int(address) in self.addresses:
            return True
        return home is not None and address == home.home_address

    def leads_away(self, address: IPv6Address) -> bool:
        """Return whether packets to an address leave this host."""
        return not self.owns(address) and self.routes.way(address) is not None

    def source_for(self, destination: IPv6Address, interface: str | None) -> IPv6Address | None:
        """Return the address from which this host speaks to another."""
        if is_multicast(destination) or is_link_local(destination):
            addresses = self.interfaces[interface].addresses if interface else ()
            return next((a for a in addresses if is_link_local(a)), None)
        way = self.routes.way(destination)
        return next((a for a in way[0].addresses if not is_link_local(a)), None) if way else None

    def power_off(self) -> None:
        """Leave all links, and have a kernel that knows of nothing."""
        for interface in self.interfaces.values():
            interface.link.detach(interface)
            interface.neighbours.forget()
        self.kernel = self._new_kernel()
        self.is_off = True

    def power_on(self) -> None:
        """Undo power_off(), if that was: join the links again."""
        if self.is_off:
            self.is_off = False
            for interface in self.interfaces.values():
                interface.join()

    def _new_kernel(self) -> ModelKernel:
        clock = self.world.clock
        return ModelKernel(
            owns=self.owns, leads_away=self.leads_away, now=lambda: clock.now, size=frames.length
        )

    def proxies(self, address: IPv6Address) -> bool:
        """Return whether this host answers for an address on its links (RFC 6275 10.4.1)."""
        return self.kernel.intercepts(address)

    # Sockets

    def open(self, socket: Socket) -> Socket:
        """Bind a socket; OSError if its address is not here, or taken."""
        if socket.address and not self.owns(socket.address):
            raise OSError(99, "Cannot assign requested address")
        if socket.protocol == UDP and socket.port == 0:
            socket.port = self._free_port()
        self.sockets.add(socket)
        return socket

    def _free_port(self) -> int:
        """Return a port at random, as Linux chooses them."""
        while self.sockets.at(UDP, port := self.rng.randrange(*_EPHEMERAL)):
            pass
        return port

    # Packets

    def send(self, packet: Packet, interface: str | None = None) -> bool:
        """Send what this host makes; return whether it is on its way, or stays here."""
        made = self.kernel.output(packet, interface)
        if made is None:
            return False
        if lag := self.world.lag:
            clock = self.world.clock
            clock.at(clock.now + lag, partial(self._emit, made, interface))
            return True
        return self._emit(made, interface)

    def _emit(self, packet: Packet, interface: str | None = None) -> bool:
        destination = packet.destination
        if is_multicast(destination):
            out = self.interfaces[interface] if interface else None
            return out is not None and out.link.send(packet, out)
        if is_link_local(destination):
            out = self.interfaces[interface] if interface else None
            return out is not None and out.neighbours.send(packet, destination)
        if self.owns(destination):
            self.world.clock.at(self.world.clock.now, partial(self._deliver, packet, None))
            return True
        way = self.routes.way(destination)
        return way is not None and way[0].neighbours.send(packet, way[1])

    def arrive(self, packet: Packet, incoming: Interface) -> None:
        """Take a packet off a link."""
        if packet.protocol == ICMPV6:
            if self.link_listeners:
                octets = ipv6(packet)
                for name, listener in tuple(self.link_listeners):
                    if name == incoming.name:
                        listener(octets)
            incoming.neighbours.hear(packet)
        if self.owns(packet.destination) or is_multicast(packet.destination):
            if self.kernel.admits(packet, incoming.name):
                self._deliver(packet, incoming)
        elif self.forwards:
            self._forward(packet, incoming.name)

    def _forward(self, packet: Packet, incoming: str) -> None:
        if packet.hop_limit <= 1:
            return
        passed = self.kernel.forward(replace(packet, hop_limit=packet.hop_limit - 1), incoming)
        if passed is None:
            return
        if self.forwarding:
            clock = self.world.clock
            clock.at(clock.now + self.forwarding, partial(self._emit, passed))
        else:
            self._emit(passed)

    def _answer(self, request: Packet, incoming: Interface | None) -> None:
        """Answer an echo request, as the kernel does (RFC 4443 section 4.2)."""
        if not is_multicast(request.destination):
            reply = _ECHO_REPLY + request.payload[1:]
            answer = Packet(request.destination, request.source, ICMPV6, payload=reply)
            self.send(answer, incoming.name if incoming else None)

    def _deliver(self, packet: Packet, incoming: Interface | None) -> None:
        taken = self.kernel.input(packet)
        if taken is None:
            return
        destination = taken.destination
        if taken is not packet and not (self.owns(destination) or is_multicast(destination)):
            if self.forwards:
                self._forward(taken, TUNNEL)
            return
        if taken.protocol == TCP:
            self.segments(taken)
            return
        if taken.protocol == ICMPV6 and taken.payload[:1] == _ECHO_REQUEST:
            self._answer(taken, incoming)
            return
        source = text_of(taken.source)
        if incoming and is_link_local(taken.source):
            source += f"%{incoming.name}"
        if packet.home_address:
            source = Carried.by(source, text_of(packet.source))
        for socket in tuple(self.sockets.at(taken.protocol, taken.destination_port)):
            if socket.takes(taken, incoming):
                socket.receive(taken.payload, (source, taken.source_port))
                if taken.protocol not in _RAW:
                    return
