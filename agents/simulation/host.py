"""A node's host on the virtual clock (agents.core.host)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv6Address
from typing import Generic, ParamSpec, Protocol, TypeVar

from agents.core.host import (
    Anycast,
    Attachment,
    Closable,
    Host,
    LinkTransport,
    Receive,
    Streams,
    StreamUser,
    Transport,
)
from agents.core.machine import Address
from agents.kernel.packet import ICMPV6, MOBILITY_HEADER, TCP, UDP, Packet
from agents.simulation.attachment import SimulatedAttachment
from agents.simulation.processor import Thread
from agents.simulation.services import Service, Took
from agents.simulation.stack import AnycastSocket, Socket, Stack
from agents.simulation.streams import SimulatedExchange, SimulatedStreams
from agents.simulation.tcp import Tcp
from agents.simulation.world import Appointment

P = ParamSpec("P")
T = TypeVar("T")

_HEADER = 40
EPOCH = 1_000_000_000
"""The time of day in seconds when a simulation begins."""

_OVERHEAD = 640
"""Octets that Linux counts for a datagram beside its own."""

TIMER = 0
"""In place of a protocol: nothing has come in, but a deadline has."""


class _Opened(Closable, Protocol):
    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""


class SimulatedHost(Host):
    """One program over a simulated stack; it can be killed, and another take its place.

    What it does takes as long as `service` tells, on the host's processors, and what it sends
    leaves in that time; what comes meanwhile waits. Without it nothing takes any time.
    On a host with several processors it has as many threads, which share its work as several
    servers behind a balancer would that know the same.
    """

    def __init__(
        self, stack: Stack, tcp: Tcp, program: str | None = None, service: Service | None = None
    ) -> None:
        self._program = program or stack.name
        stack.programs += 1
        super().__init__(stack.world.random("program", stack.name, self._program, stack.programs))
        self._turn = stack.world.turn
        self._stack = stack
        self._tcp = tcp
        self._clock = stack.world.clock
        self._service = service
        self._threads = tuple(Thread() for _ in range(stack.processors))
        self._alarm_clock: Appointment | None = None
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

    def serve(self, protocol: int, port: int, data: bytes, action: Callable[[], None]) -> None:
        """Do what comes from outside when its turn has come, if the program still lives."""
        if self._dead:
            return
        serve = self._stack.processor.serve
        took = self._service(protocol, port, data) if self._service else Took()
        first = took.sends[0] if took.sends else took.total
        lags = tuple(sent - first for sent in took.sends)
        thread = self._threads[0]
        if len(self._threads) > 1:
            thread = min(self._threads, key=Thread.__len__)
        serve(thread, first, partial(self._act, action, lags))
        if rest := took.total - first:
            serve(thread, rest, _nothing)

    def _act(self, action: Callable[[], None], lags: tuple[float, ...]) -> None:
        if self._dead:
            return
        with self._stack.world.lagging(lags):
            self.enter(action)

    def _receiving(self, protocol: int, port: int, receive: Receive) -> Receive:
        """Return what takes the datagrams of a socket."""
        room = self._stack.receive_buffer
        if not room:

            def receiving(data: bytes, source: Address) -> None:
                self.serve(protocol, port, data, partial(receive, data, source))

            return receiving
        waiting = 0

        def take(data: bytes, source: Address) -> None:
            nonlocal waiting
            waiting -= _OVERHEAD + len(data)
            receive(data, source)

        def queueing(data: bytes, source: Address) -> None:
            nonlocal waiting
            if waiting + _OVERHEAD + len(data) > room:
                if tally := self._stack.world.tally:
                    tally.dropped[self._stack.name] += 1
                return
            waiting += _OVERHEAD + len(data)
            self.serve(protocol, port, data, partial(take, data, source))

        return queueing

    def _keep(self, opened: _Opened) -> None:
        """Close it when the program is killed, and forget what it has closed itself."""
        self._open = [one for one in self._open if one.is_open]
        self._open.append(opened)

    def now(self) -> float:
        """Return the virtual time."""
        return self._clock.now

    def time_of_day(self, at: float) -> float:
        """Return seconds since 1970."""
        return EPOCH + at

    def wake_at(self, deadline: float) -> None:
        """Call `handle_timeout` at this time, and not when it was to be before."""
        if self._alarm_clock:
            self._clock.cancel(self._alarm_clock)
        self._alarm_clock = self._clock.at(deadline, self._ring)

    def _ring(self) -> None:
        alarm = self._alarm_clock
        self.serve(TIMER, 0, b"", partial(self._wake, alarm))

    def _wake(self, alarm: Appointment | None) -> None:
        if alarm is self._alarm_clock:
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
            receive,
            interface,
            IPv6Address(multicast) if multicast else None,
            multicast_hops,
        )
        self._stack.open(socket)
        socket.receive = self._receiving(UDP, socket.port, receive)
        self._keep(socket)
        return socket

    def open_mobility_headers(self, local: IPv6Address, receive: Receive) -> Transport:
        """Open a socket for Mobility Headers."""
        receiving = self._receiving(MOBILITY_HEADER, 0, receive)
        return self._opened(Socket(self._stack, MOBILITY_HEADER, local, 0, receiving))

    def open_prefix_discovery(self, local: IPv6Address, kind: int, receive: Receive) -> Transport:
        """Open a socket for prefix discovery's messages of type `kind`."""
        return self._opened(Socket(self._stack, ICMPV6, local, 0, self._hearing(kind, receive)))

    def open_home_agent_discovery(
        self, local: IPv6Address, kind: int, receive: Receive, *, anycast: Anycast | None = None
    ) -> Transport:
        """Open a socket for home agent discovery's messages of type `kind`."""
        heard = self._hearing(kind, receive)
        if anycast is None:
            return self._opened(Socket(self._stack, ICMPV6, local, 0, heard))
        return self._opened(AnycastSocket(self._stack, ICMPV6, anycast[0], 0, heard, sender=local))

    def _hearing(self, kind: int, receive: Receive) -> Receive:
        """Return what takes ICMPv6 messages of one type alone."""
        receiving = self._receiving(ICMPV6, 0, receive)

        def heard(data: bytes, source: Address) -> None:
            if data[:1] == bytes((kind,)):
                receiving(data, source)

        return heard

    def _opened(self, socket: Socket) -> Transport:
        self._stack.open(socket)
        self._keep(socket)
        return socket

    def open_link(self, interface: str, receive: Callable[[bytes], None]) -> LinkTransport:
        """Hear the claims to addresses on a link, and send Neighbor Discovery there."""

        def receiving(packet: bytes) -> None:
            self.serve(ICMPV6, 0, packet, partial(receive, packet))

        opened = _LinkSocket(self._stack, interface, receiving)
        self._keep(opened)
        return opened

    def attachment(
        self,
        interface: str,
        receive: Receive,
        linked: Callable[[bool], None],
        changed: Callable[[], None],  # noqa: ARG002  # What changes does so with what is received.
    ) -> Attachment:
        """Hear of what becomes of an interface's link, and of the routers there."""
        attachment = SimulatedAttachment(
            self._stack.interfaces[interface],
            self._receiving(ICMPV6, 0, receive),
            lambda up: self.serve(ICMPV6, 0, b"", partial(linked, up)),
        )
        self._keep(attachment)
        return attachment

    def open_streams(self, user: StreamUser, listen: Sequence[Address] = ()) -> Streams:
        """Open streams, and accept them at the addresses to listen on."""
        streams = SimulatedStreams(self._tcp, user, listen, partial(self.serve, TCP))
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
        serve = partial(self.serve, TCP)
        exchange = SimulatedExchange(self._tcp, query, server, answered, serve)
        self._keep(exchange)
        return exchange

    def watch_sas(self, changed: Callable[[], None]) -> Closable:
        """Tell whenever a security association of this host changes."""
        return self._news(self._stack.kernel.watch_sas, changed)

    def watch_acquires(self, wanted: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell from where to where the kernel wants a security association."""
        return self._news(self._stack.kernel.watch_acquires, wanted)

    def watch_routes(self, wanted: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell from which home address to whom packets go that could go directly."""
        return self._news(self._stack.kernel.routes.wanted.add, wanted)

    def watch_refused(self, refused: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell of packets, by home and care-of address, that no binding allows."""
        return self._news(self._stack.kernel.routes.refused.add, refused)

    def _news(
        self, watch: Callable[[Callable[P, None]], Closable], told: Callable[P, None]
    ) -> Closable:
        news = _News(self, told)
        news.source = watch(news.come)
        self._keep(news)
        return news

    def has_address(self, address: IPv6Address) -> bool:
        """Return whether this host has an address."""
        return self._stack.owns(address)

    def duid(self, interface: str) -> bytes:
        """Return a DUID-LL (RFC 8415 section 11.4)."""
        return b"\x00\x03\x00\x01" + self._stack.interfaces[interface].mac


def _nothing() -> None:
    """Only take time."""


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
        self._entry = (interface, receive)
        stack.link_listeners.append(self._entry)

    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""
        return self._entry in self._stack.link_listeners

    def send(self, packet: bytes, group: IPv6Address) -> None:
        """Send one IPv6 packet, given with its header, to a group."""
        source, hops = IPv6Address(packet[8:24]), packet[7]
        whole = Packet(source, group, ICMPV6, payload=packet[_HEADER:], hop_limit=hops)
        self._stack.world.carry(self._interface.link.send, whole, self._interface)

    def close(self) -> None:
        """Hear no more."""
        if self._entry in self._stack.link_listeners:
            self._stack.link_listeners.remove(self._entry)
