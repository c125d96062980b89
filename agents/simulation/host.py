"""A node's host on the virtual clock (agents.core.host)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv6Address
from typing import Generic, ParamSpec, Protocol, TypeVar

from agents.core.host import (
    Closable,
    Host,
    LinkTransport,
    Receive,
    Streams,
    StreamUser,
    Transport,
)
from agents.core.machine import Address
from agents.kernel.packet import ICMPV6, MOBILITY_HEADER, UDP, Packet
from agents.simulation.stack import Socket, Stack
from agents.simulation.streams import SimulatedExchange, SimulatedStreams, Tcp

P = ParamSpec("P")
T = TypeVar("T")


class _Opened(Closable, Protocol):
    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""


class SimulatedHost(Host):
    """One program over a simulated stack; it can be killed, and another take its place."""

    def __init__(self, stack: Stack, tcp: Tcp, program: str | None = None) -> None:
        super().__init__(random.Random(stack.world.rng.getrandbits(64)))
        self._program = program or stack.name
        self._turn = stack.world.turn
        self._stack = stack
        self._tcp = tcp
        self._clock = stack.world.clock
        self._wake = 0
        self._open: list[_Opened] = []
        self._dead = False

    def enter(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what comes from outside (agents.core.host); it is this program's turn."""
        before = self._turn(self._program)
        try:
            return super().enter(function, *args, **kwargs)
        finally:
            self._turn(before)

    def kill(self) -> None:
        """End the program as SIGKILL does: nobody is told, its sockets are gone."""
        self._dead = True
        for one in self._open:
            one.close()

    def _entering(self, function: Callable[P, None]) -> Callable[P, None]:
        """Return a function that comes in from outside, as long as the program lives."""

        def entering(*args: P.args, **kwargs: P.kwargs) -> None:
            if not self._dead:
                self.enter(function, *args, **kwargs)

        return entering

    def _keep(self, opened: _Opened) -> None:
        """Close it when the program is killed, and forget what it has closed itself."""
        self._open = [one for one in self._open if one.is_open]
        self._open.append(opened)

    def now(self) -> float:
        """Return the virtual time."""
        return self._clock.now

    def wake_at(self, deadline: float | None) -> None:
        """Call `handle_timeout` at this time, and not when it was to be before."""
        self._wake += 1
        if deadline is not None:
            self._clock.at(deadline, partial(self._ring, self._wake))

    def _ring(self, wake: int) -> None:
        if wake == self._wake and not self._dead:
            self.handle_timeout(self._clock.now)

    def report(self, error: Exception, what: str) -> None:  # noqa: ARG002
        """Let a bug be seen."""
        raise error

    def open_datagrams(
        self,
        local: Address,
        receive: Receive,
        *,
        interface: str | None = None,
        multicast: str | None = None,
        multicast_hops: int = 1,
    ) -> Transport:
        """Open a UDP socket; it joins `multicast` on its interface."""
        address = IPv6Address(local[0].partition("%")[0])
        socket = Socket(
            self._stack,
            UDP,
            None if address.is_unspecified else address,
            local[1],
            self._entering(receive),
            interface,
            IPv6Address(multicast) if multicast else None,
            multicast_hops,
        )
        self._keep(socket)
        return self._stack.open(socket)

    def open_mobility_headers(self, local: IPv6Address, receive: Receive) -> Transport:
        """Open a socket for Mobility Headers."""
        socket = Socket(self._stack, MOBILITY_HEADER, local, 0, self._entering(receive))
        self._keep(socket)
        return self._stack.open(socket)

    def open_link(self, interface: str, receive: Callable[[bytes], None]) -> LinkTransport:
        """Hear the claims to addresses on a link, and send Neighbor Discovery there."""
        opened = _LinkSocket(self._stack, interface, self._entering(receive))
        self._keep(opened)
        return opened

    def open_streams(self, user: StreamUser, listen: Sequence[Address] = ()) -> Streams:
        """Open streams, and accept them at the addresses to listen on."""
        streams = SimulatedStreams(self._tcp, user, listen)
        self._keep(streams)
        return streams

    def exchange(
        self,
        query: bytes,
        local: Address,  # noqa: ARG002
        server: Address,
        answered: Callable[[bytes | OSError], None],
    ) -> Closable:
        """Put one question over a stream of its own."""
        exchange = SimulatedExchange(self._tcp, query, server, self._entering(answered))
        self._keep(exchange)
        return exchange

    def watch_sas(self, changed: Callable[[], None]) -> Closable:
        """Tell whenever a security association of this host changes."""
        news = _News(self, changed)
        news.source = self._stack.kernel.watch_sas(news.come)
        self._keep(news)
        return news

    def watch_acquires(self, wanted: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell from where to where the kernel wants a security association."""
        news = _News(self, wanted)
        news.source = self._stack.kernel.watch_acquires(news.come)
        self._keep(news)
        return news

    def has_address(self, address: IPv6Address) -> bool:
        """Return whether this host has an address."""
        return self._stack.owns(address)

    def duid(self, interface: str) -> bytes:
        """Return a DUID-LL (RFC 8415 section 11.4)."""
        return b"\x00\x03\x00\x01" + self._stack.interfaces[interface].mac


class _News(Generic[P]):
    """News of the kernel: they come after what is being sent, and not to who has closed this."""

    def __init__(self, host: Host, told: Callable[P, None]) -> None:
        self._host = host
        self._told = told
        self.source: Closable | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""
        return self.source is not None

    def come(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Take note of one."""
        self._host.later(partial(self._tell, *args, **kwargs))

    def _tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.source:
            self._told(*args, **kwargs)

    def close(self) -> None:
        """Hear no more."""
        if self.source:
            self.source.close()
            self.source = None


class _LinkSocket:
    """Whole packets of Neighbor Discovery on one interface."""

    def __init__(self, stack: Stack, interface: str, receive: Callable[[bytes], None]) -> None:
        self._stack = stack
        self._interface = stack.interfaces[interface]
        self.link_address = self._interface.mac
        self._entry = (interface, lambda packet: receive(packet.payload))
        stack.link_listeners.append(self._entry)

    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""
        return self._entry in self._stack.link_listeners

    def send(self, packet: bytes, group: IPv6Address) -> None:
        """Send one IPv6 packet, given with its header, to a group."""
        source = IPv6Address(packet[8:24])
        whole = Packet(source, group, ICMPV6, 0, 0, packet, hop_limit=255)
        self._stack.world.carry(self._interface.link.send, whole, self._interface)

    def close(self) -> None:
        """Hear no more."""
        if self._entry in self._stack.link_listeners:
            self._stack.link_listeners.remove(self._entry)
