"""The network stack of a simulated host: interfaces, routes, sockets, a model of its kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from agents.core.host import Receive
from agents.core.record import replace
from agents.kernel.model import TUNNEL, ModelKernel
from agents.kernel.packet import ICMPV6, TCP, UDP, Packet
from agents.simulation.world import Link, World

_EPHEMERAL = (32768, 61000)


class Interface:
    """One end of a link at a host."""

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
        self.addresses = list(addresses)
        self.prefixes = prefixes
        self.mac = mac
        link.attach(self)

    def receive(self, packet: Packet) -> None:
        """Take a packet off the link."""
        self.stack.arrive(packet, self)


@dataclass(eq=False)
class Socket:
    """A bound socket for datagrams; `address` None is any, `interface` None all."""

    stack: Stack
    protocol: int
    address: IPv6Address | None
    port: int
    receive: Receive
    interface: str | None = None
    group: IPv6Address | None = None
    hops: int = 1
    is_open: bool = field(default=True)

    def send(self, data: bytes, destination: tuple[str, int]) -> None:
        """Send one datagram; a zone in the destination names the interface."""
        if self.is_open:
            self.stack.world.carry(self._send, data, destination)

    def _send(self, data: bytes, destination: tuple[str, int]) -> None:
        host, _, zone = destination[0].partition("%")
        to = IPv6Address(host)
        source = self.address or self.stack.source_for(to, zone or self.interface)
        if source is None:
            return
        packet = Packet(
            source,
            to,
            self.protocol,
            self.port,
            destination[1],
            data,
            hop_limit=self.hops if to.is_multicast else 64,
        )
        self.stack.send(packet, zone or (self.interface if to.is_multicast else None))

    def takes(self, packet: Packet, incoming: Interface | None) -> bool:
        """Return whether a packet is for this socket."""
        if packet.protocol != self.protocol or packet.destination_port != self.port:
            return False
        if self.interface and incoming and incoming.name != self.interface:
            return False
        if packet.destination.is_multicast:
            return packet.destination == self.group
        return self.address in (None, packet.destination)

    def close(self) -> None:
        """Close the socket."""
        if self.is_open:
            self.is_open = False
            self.stack.sockets.remove(self)


class Stack:
    """One host's network: it outlives the programs that run over it, as a kernel does."""

    def __init__(self, world: World, name: str, *, forwards: bool = False) -> None:
        self.world = world
        self.name = name
        self.interfaces: dict[str, Interface] = {}
        self.routes: list[tuple[IPv6Network, IPv6Address]] = []
        self.sockets: list[Socket] = []
        self.link_listeners: list[tuple[str, Callable[[Packet], None]]] = []
        self.segments: Callable[[Packet], None] = lambda _: None
        """Who takes what comes in by TCP."""

        self.forwards = forwards
        self.kernel = ModelKernel(
            owns=self.owns, leads_away=self.leads_away, now=lambda: world.clock.now
        )

    # Addresses and routes

    def owns(self, address: IPv6Address) -> bool:
        """Return whether an address is this host's."""
        kernel = self.kernel
        return address == kernel.home_address or any(
            address in interface.addresses for interface in self.interfaces.values()
        )

    def leads_away(self, address: IPv6Address) -> bool:
        """Return whether packets to an address leave this host."""
        return not self.owns(address) and self._way(address) is not None

    def source_for(self, destination: IPv6Address, interface: str | None) -> IPv6Address | None:
        """Return the address from which this host speaks to another."""
        if destination.is_multicast or destination.is_link_local:
            addresses = self.interfaces[interface].addresses if interface else []
            return next((a for a in addresses if a.is_link_local), None)
        way = self._way(destination)
        return next((a for a in way[0].addresses if not a.is_link_local), None) if way else None

    def _way(self, destination: IPv6Address) -> tuple[Interface, IPv6Address] | None:
        """Return the interface and the next hop towards an address."""
        for interface in self.interfaces.values():
            if any(destination in prefix for prefix in interface.prefixes):
                return interface, destination
        for network, hop in sorted(self.routes, key=lambda r: -r[0].prefixlen):
            if destination in network:
                for interface in self.interfaces.values():
                    if any(hop in prefix for prefix in interface.prefixes):
                        return interface, hop
        return None

    # Sockets

    def open(self, socket: Socket) -> Socket:
        """Bind a socket; OSError if its address is not here, or taken."""
        if socket.address and not self.owns(socket.address):
            raise OSError(99, "Cannot assign requested address")
        if socket.protocol == UDP and socket.port == 0:
            socket.port = self._free_port()
        for other in self.sockets:
            same = (other.protocol, other.port, other.address, other.interface)
            if same == (socket.protocol, socket.port, socket.address, socket.interface):
                raise OSError(98, "Address already in use")
        self.sockets.append(socket)
        return socket

    def _free_port(self) -> int:
        """Return a port at random, as Linux chooses them."""
        taken = {socket.port for socket in self.sockets}
        while (port := self.world.rng.randrange(*_EPHEMERAL)) in taken:
            pass
        return port

    # Packets

    def send(self, packet: Packet, interface: str | None = None) -> bool:
        """Send what this host makes; return whether it went onto a link, or stays here."""
        made = self.kernel.output(packet, interface)
        return made is not None and self._emit(made, interface)

    def _emit(self, packet: Packet, interface: str | None = None) -> bool:
        if packet.destination.is_multicast or packet.destination.is_link_local:
            out = self.interfaces[interface] if interface else None
            return out is not None and self._transmit(packet, out, packet.destination)
        if self.owns(packet.destination):
            self.world.clock.at(self.world.clock.now, lambda: self._deliver(packet, None))
            return True
        way = self._way(packet.destination)
        return way is not None and self._transmit(packet, *way)

    def _transmit(self, packet: Packet, out: Interface, hop: IPv6Address) -> bool:
        if hop.is_multicast:
            return out.link.send(packet, out)
        for end in out.link.neighbours(out):
            if isinstance(end, Interface) and (hop in end.addresses or end.stack.proxies(hop)):
                return out.link.send(packet, out, end)
        return False

    def proxies(self, address: IPv6Address) -> bool:
        """Return whether this host answers for an address on its links (RFC 6275 10.4.1)."""
        return self.kernel.intercepts(address)

    def arrive(self, packet: Packet, incoming: Interface) -> None:
        """Take a packet off a link."""
        if packet.protocol == ICMPV6:
            for name, listener in tuple(self.link_listeners):
                if name == incoming.name:
                    listener(packet)
        if packet.destination.is_multicast or self.owns(packet.destination):
            if self.kernel.admits(packet, incoming.name):
                self._deliver(packet, incoming)
        elif self.forwards:
            self._forward(packet, incoming.name)

    def _forward(self, packet: Packet, incoming: str) -> None:
        way = self._way(packet.destination)
        if packet.hop_limit <= 1 or way is None:
            return
        passed = self.kernel.forward(replace(packet, hop_limit=packet.hop_limit - 1), incoming)
        if passed is not None:
            self._emit(passed)

    def _deliver(self, packet: Packet, incoming: Interface | None) -> None:
        taken = self.kernel.input(packet)
        if taken is None:
            return
        if not taken.destination.is_multicast and not self.owns(taken.destination):
            if self.forwards:
                self._forward(taken, TUNNEL)
            return
        if taken.protocol == TCP:
            self.segments(taken)
            return
        source = str(taken.source)
        if taken.source.is_link_local and incoming:
            source += f"%{incoming.name}"
        for socket in tuple(self.sockets):
            if socket.takes(taken, incoming):
                socket.receive(taken.payload, (source, taken.source_port))
                return
