"""What a node stands on: one loop for its machines, and the transports that it opens.

A node knows neither sockets nor a clock of its own: it is given a Host. The real one is
agents.shell.host, the one on a virtual clock agents.simulation.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar

from agents.core.machine import Address, Event, Machine, Timed
from agents.core.timers import Timers, earliest

P = ParamSpec("P")
T = TypeVar("T")
IPAddress: TypeAlias = IPv4Address | IPv6Address
Receive: TypeAlias = Callable[[bytes, Address], None]
Anycast: TypeAlias = tuple[IPv6Address, str]
"""An anycast address, and the interface of its link."""


class Closable(Protocol):
    """What is open until it is closed."""

    def close(self) -> None:
        """Close it; nothing comes from it any more. Twice is no error."""


class Transport(Closable, Protocol):
    """What carries datagrams; one that cannot be sent counts as lost on the wire."""

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram."""


class LinkTransport(Closable, Protocol):
    """What carries whole IPv6 packets to multicast groups of one link."""

    link_address: bytes
    """This host's link-layer address there."""

    def send(self, packet: bytes, group: IPv6Address) -> None:
        """Send one packet to a group."""


class Attachment(Transport, Protocol):
    """An interface whose link may become another one; it carries what is said to routers there."""

    link_address: bytes
    """This host's link-layer address there."""

    def address(self, prefix: IPv6Network) -> IPv6Address | None:
        """Return an address of the interface in a prefix that can be used, if there is one."""

    def leave_others(self, prefixes: Sequence[IPv6Network], router: IPv6Address) -> None:
        """Forget addresses that were made of other prefixes, and other default routers."""


class StreamUser(Protocol):
    """Who has streams, numbered by itself, as a Diameter node has connections.

    `names` are the DNS names in the other end's certificate, None without TLS.
    """

    def accepted(self, source: IPAddress, local: IPAddress) -> int | None:
        """Number a stream that another host has opened, or refuse it."""

    def connected(self, number: int, local: IPAddress, names: frozenset[str] | None) -> None:
        """Take note that a stream which connect() asked for is open."""

    def secured(self, number: int, names: frozenset[str]) -> None:
        """Take note of who has opened an accepted stream."""

    def received(self, number: int, data: bytes) -> None:
        """Take octets."""

    def closed(self, number: int, reason: str) -> None:
        """Take note that a stream has ended, or was not to be had."""

    def troubled(self, reason: str) -> None:
        """Take note that for a while no stream can be accepted."""


class Streams(Closable, Protocol):
    """Streams to and from other hosts, under the numbers of their user."""

    def connect(self, number: int, name: str, address: Address) -> None:
        """Open a stream to a host; with TLS `name` must be in its certificate."""

    def send(self, number: int, data: bytes) -> None:
        """Send octets, if the stream is still there."""

    def end(self, number: int, *, reset: bool = False) -> None:
        """End a stream after what was sent before, or by RST; its user hears `closed` at most."""

    def stop_listening(self) -> None:
        """Accept no more."""

    @property
    def idle(self) -> bool:
        """Whether no stream is open any more."""


class Endpoint:
    """A machine in its host's loop, and what it sends through.

    Events come first, then the outbox (see agents.core.machine.Machine). Whoever handles an event
    may call the machine again: what follows from that is done by the call under way. A machine is
    called only through here if that may bring its next timeout forward: it is asked for it then.
    """

    def __init__(
        self,
        host: Host,
        machine: Timed,
        send: Callable[[Any], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self.machine = machine
        self.deadline = machine.next_timeout()
        """When the machine wants to be called next, as it said after its last call."""

        self._host = host
        self._send = send
        self._on_event = on_event
        self._busy = False
        self._closed = False

    def call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the machine, do what follows from it, and return its result."""
        return self._host.enter(self._call, partial(method, *args, **kwargs))

    def _call(self, bound: Callable[[], T]) -> T:
        try:
            return bound()
        finally:
            self._follow()

    def _follow(self) -> None:
        if self._busy or self._closed:
            return
        self._busy = True
        machine = self.machine
        try:
            while machine.events or machine.outbox:
                while machine.events:
                    self._on_event(machine.events.popleft())
                if machine.outbox:
                    self._host.before_sending()
                while machine.outbox:
                    self._send(machine.outbox.popleft())
        finally:
            self._busy = False
            self.deadline = machine.next_timeout()

    def close(self) -> None:
        """Stop the machine's timer; nothing is sent any more."""
        self._closed = True
        self._host.detach(self)


class DatagramEndpoint(Endpoint):
    """A machine on a transport of its own, which it may change for another.

    It is in the loop while that is open; what the machine sends at other times is lost.
    """

    machine: Machine

    def __init__(
        self,
        host: Host,
        machine: Machine,
        on_event: Callable[[Event], None],
        opened: Callable[[Receive], Transport],
    ) -> None:
        super().__init__(host, machine, self._carry, on_event)
        self._opened = opened
        self._transport: Transport | None = None

    def open(self) -> None:
        """Open the transport, if that is not done yet; raises OSError if it is not to be had."""
        if self._transport is None:
            self._transport = self._opened(self.receive)
            self._closed = False
            self._host.attach(self)

    def _carry(self, datagram: tuple[bytes, Address]) -> None:
        if self._transport:
            self._transport.send(*datagram)

    def receive(self, data: bytes, source: Address) -> None:
        """Hand a datagram to the machine."""
        self.call(self.machine.handle_message, data, source, self._host.now())

    def rebind(self, opened: Callable[[Receive], Transport]) -> None:
        """Go on over another transport; if that is not to be had, over the present one."""
        before, self._transport = self._transport, opened(self.receive)
        if before:
            before.close()

    def close(self) -> None:
        """Close the transport and stop the machine's timer; nothing is sent any more."""
        super().close()
        if self._transport:
            self._transport.close()
            self._transport = None


class Timer:
    """One deadline of a node's own; starting it again moves it."""

    def __init__(self, host: Host, action: Callable[[], None]) -> None:
        self._host = host
        self.action = action
        self.running = False

    def start(self, seconds: float) -> None:
        """Act in so many seconds from now."""
        self.start_at(self._host.now() + seconds)

    def start_at(self, deadline: float) -> None:
        """Act at a time of the host's clock."""
        self.running = True
        self._host.set_timer(self, deadline)

    def stop(self) -> None:
        """Do not act."""
        if self.running:
            self.running = False
            self._host.set_timer(self, None)


class Host(ABC):
    """The loop of one program on one host: clock, randomness, timers, and transports by name.

    Whatever comes from outside goes through `enter`. A subclass supplies the clock, one alarm and
    the transports; those raise OSError if an address cannot be had.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._endpoints: dict[Endpoint, None] = {}
        self._timers: Timers[Timer] = Timers()
        self._put_off: deque[Callable[[], None]] = deque()
        self.entered = False
        """Whether it is this program's turn."""

        self._alarm: float | None = None

    # The loop

    def enter(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what comes from outside, then what was put off meanwhile, then set the alarm."""
        if self.entered:
            return function(*args, **kwargs)
        self.entered = True
        try:
            result = function(*args, **kwargs)
            while self._put_off:
                self._put_off.popleft()()
            return result
        finally:
            self.entered = False
            self._set_alarm()

    def later(self, action: Callable[[], None]) -> None:
        """Act when everything that is to be sent now has been sent."""
        self._put_off.append(action)
        self._set_alarm()

    def after_turn(self, action: Callable[[], None]) -> None:
        """Act when all that has come by now has been handled, whomever it came from."""
        self.later(action)

    def when_idle(self, action: Callable[[], None]) -> None:  # noqa: B027
        """Act when nothing else is to be expected, perhaps never: to be ahead of need."""

    def timer(self, action: Callable[[], None]) -> Timer:
        """Return a timer that is not running."""
        return Timer(self, action)

    def set_timer(self, timer: Timer, deadline: float | None) -> None:
        """Start, move or stop a timer."""
        if deadline is None:
            self._timers.cancel(timer)
        else:
            self._timers.set(timer, deadline)
        self._set_alarm()

    def run(
        self, machine: Timed, send: Callable[[Any], None], on_event: Callable[[Event], None]
    ) -> Endpoint:
        """Take a machine into the loop; `send` gets what is in its outbox, item by item."""
        endpoint = Endpoint(self, machine, send, on_event)
        self.attach(endpoint)
        return endpoint

    def attach(self, endpoint: Endpoint) -> None:
        """Take an endpoint into the loop."""
        self._endpoints[endpoint] = None
        self._set_alarm()

    def detach(self, endpoint: Endpoint) -> None:
        """Take an endpoint out of the loop."""
        self._endpoints.pop(endpoint, None)
        self._set_alarm()

    def close_endpoints(self) -> None:
        """Close what a node has opened that could not be made whole."""
        for endpoint in tuple(self._endpoints):
            endpoint.close()

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of all machines and timers."""
        if self._put_off:
            return self.now()
        return earliest(self._timers.next(), *[e.deadline for e in self._endpoints])

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""
        self._alarm = None
        self.enter(self._expire, now)

    def _expire(self, now: float) -> None:
        for endpoint in tuple(self._endpoints):
            deadline = endpoint.deadline = endpoint.machine.next_timeout()
            if deadline is not None and deadline <= now:
                endpoint.call(endpoint.machine.handle_timeout, now)
        while timer := self._timers.pop(now):
            timer.running = False
            timer.action()

    def _set_alarm(self) -> None:
        if self.entered:
            return
        deadline = self.next_timeout()
        # To be called once too early costs less than to move the alarm with every message.
        if deadline is not None and (self._alarm is None or deadline < self._alarm):
            self._alarm = deadline
            self.wake_at(deadline)

    # Machines on transports

    def datagrams(
        self,
        machine: Machine,
        local: Address,
        on_event: Callable[[Event], None],
        *,
        interface: str | None = None,
    ) -> DatagramEndpoint:
        """Run a machine on a UDP socket bound to `local`; `interface` ties it to an interface."""
        opened = partial(self.open_datagrams, local, interface=interface)
        return self._running(machine, on_event, opened)

    def mobility_headers(
        self, machine: Machine, local: IPv6Address, on_event: Callable[[Event], None]
    ) -> DatagramEndpoint:
        """Run a machine on a socket for Mobility Headers bound to an address of this host."""
        return self._running(machine, on_event, partial(self.open_mobility_headers, local))

    def prefix_discovery(
        self, machine: Machine, local: IPv6Address, kind: int, on_event: Callable[[Event], None]
    ) -> DatagramEndpoint:
        """Run a machine on a socket for one type of prefix discovery's messages."""
        return self._running(machine, on_event, partial(self.open_prefix_discovery, local, kind))

    def home_agent_discovery(
        self,
        machine: Machine,
        local: IPv6Address,
        kind: int,
        on_event: Callable[[Event], None],
    ) -> DatagramEndpoint:
        """Run a machine on a socket for one type of home agent discovery's messages."""
        opened = partial(self.open_home_agent_discovery, local, kind)
        return self._running(machine, on_event, opened)

    def _running(
        self,
        machine: Machine,
        on_event: Callable[[Event], None],
        opened: Callable[[Receive], Transport],
    ) -> DatagramEndpoint:
        endpoint = DatagramEndpoint(self, machine, on_event, opened)
        endpoint.open()
        return endpoint

    def before_sending(self) -> None:  # noqa: B027
        """Take note that others will hear of what has happened: it is told by then."""

    # What a subclass supplies

    @abstractmethod
    def now(self) -> float:
        """Return the time in seconds, of a clock that only goes forward."""

    @abstractmethod
    def time_of_day(self, at: float) -> float:
        """Return seconds since 1970 of a time of this clock, by the time of day at the start."""

    @abstractmethod
    def wake_at(self, deadline: float) -> None:
        """Call `handle_timeout` at this time, and not when it was to be before."""

    @abstractmethod
    def report(self, error: Exception, what: str) -> None:
        """Tell of a bug that this program outlives."""

    @abstractmethod
    def open_datagrams(
        self,
        local: Address,
        receive: Receive,
        *,
        interface: str | None = None,
        multicast: str | None = None,
        multicast_hops: int = 1,
    ) -> Transport:
        """Open a UDP socket; it joins `multicast` on its interface. Port 0 is any free one."""

    @abstractmethod
    def open_mobility_headers(self, local: IPv6Address, receive: Receive) -> Transport:
        """Open a socket for Mobility Headers (ports are 0)."""

    @abstractmethod
    def open_prefix_discovery(self, local: IPv6Address, kind: int, receive: Receive) -> Transport:
        """Open a socket for prefix discovery's ICMPv6 messages of type `kind` (ports are 0)."""

    @abstractmethod
    def open_home_agent_discovery(
        self, local: IPv6Address, kind: int, receive: Receive, *, anycast: Anycast | None = None
    ) -> Transport:
        """Open a socket for home agent discovery's ICMPv6 messages of type `kind` (ports are 0).

        With `anycast` it hears those to that address of its own, and sends from `local`.
        """

    @abstractmethod
    def open_link(self, interface: str, receive: Callable[[bytes], None]) -> LinkTransport:
        """Hear the claims to addresses on a link, and send Neighbor Discovery there."""

    @abstractmethod
    def attachment(
        self,
        interface: str,
        receive: Receive,
        linked: Callable[[bool], None],
        changed: Callable[[], None],
    ) -> Attachment:
        """Hear of what becomes of an interface's link, and of the routers there.

        `receive` gets Router Advertisements. `linked` hears whether the link is up, when that has
        changed or it may be another link, `changed` of all news. OSError without the interface.
        """

    @abstractmethod
    def open_streams(self, user: StreamUser, listen: Sequence[Address] = ()) -> Streams:
        """Open streams, and accept them at the addresses to listen on."""

    @abstractmethod
    def exchange(
        self,
        query: bytes,
        local: Address,
        server: Address,
        answered: Callable[[bytes | OSError], None],
    ) -> Closable:
        """Put one question over a stream of its own, a length before it (RFC 7766 section 8)."""

    @abstractmethod
    def watch_sas(self, changed: Callable[[], None]) -> Closable:
        """Tell whenever a security association of this host changes, whoever installed it."""

    @abstractmethod
    def watch_acquires(self, wanted: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell from where to where the kernel wants a security association."""

    @abstractmethod
    def watch_routes(self, wanted: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell from which home address to whom packets go that could go directly."""

    @abstractmethod
    def watch_refused(self, refused: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell of packets, by home and care-of address, that no binding allows (RFC 6275 9.3.1)."""

    @abstractmethod
    def has_address(self, address: IPv6Address) -> bool:
        """Return whether this host has an address and can bind it."""

    @abstractmethod
    def duid(self, interface: str) -> bytes:
        """Return who this host is to DHCPv6 servers (RFC 8415 section 11)."""
