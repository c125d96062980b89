"""TCP as far as a simulation needs it: streams that lose nothing, but time and peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from ipaddress import IPv6Address
from itertools import count

from agents.core.host import StreamUser
from agents.core.machine import Address
from agents.kernel.packet import TCP, Packet
from agents.simulation.stack import Stack

_FIRST_TIMEOUT = 1.0
"""Seconds until a segment is sent again; the round trip is not known (RFC 6298 section 2.1)."""

_MARGIN = 0.2
"""Seconds beyond the round trip, once that is known; what Linux waits at least."""

_LONGEST_TIMEOUT = 120.0
"""Seconds; the timeout doubles, and a stream on which it gets longer is given up."""

_FIRST_PORT = 32768


class Kind(Enum):
    """What a segment does."""

    OPEN = auto()
    ACCEPT = auto()
    DATA = auto()
    END = auto()
    RESET = auto()


@dataclass(eq=False)
class Segment:
    """The payload of a simulated TCP packet: `number` counts those of one direction."""

    kind: Kind
    number: int = 0
    data: bytes = b""
    stream: _Stream | None = None
    sent_at: float | None = None
    acknowledged: bool = False

    def acknowledge(self, now: float) -> None:
        """Note that it has arrived; an acknowledgement is no packet here, and never lost."""
        if self.acknowledged or self.stream is None:
            return
        self.acknowledged = True
        self.stream.waiting -= 1
        if self.sent_at is not None:
            self.stream.timeout = 2 * (now - self.sent_at) + _MARGIN


@dataclass(eq=False)
class _Stream:
    """One end of a stream; `ended` when its user hears no more of it.

    `waiting` is how many segments have not arrived yet.
    """

    streams: SimulatedStreams
    number: int
    here: Address
    there: Address
    sent: int = 0
    taken: int = 0
    early: dict[int, Segment] = field(default_factory=dict)
    ended: bool = False
    waiting: int = 0
    timeout: float = _FIRST_TIMEOUT


class Tcp:
    """The streams of one stack; one that its user has ended stays until the other end knows."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ports = count(_FIRST_PORT)
        self.listeners: dict[Address, SimulatedStreams] = {}
        self.open: dict[tuple[Address, Address], _Stream] = {}
        stack.segments = self._take

    def emit(self, stream: _Stream, kind: Kind, data: bytes = b"") -> None:
        """Send the next segment of a stream, again and again until it arrives."""
        segment = Segment(kind, stream.sent, data, stream, self.stack.world.clock.now)
        stream.sent += 1
        stream.waiting += 1
        self._try(stream, segment, stream.timeout)

    def _try(self, stream: _Stream, segment: Segment, timeout: float) -> None:
        if self.open.get((stream.here, stream.there)) is not stream:
            return
        if segment.acknowledged:
            if stream.ended and not stream.waiting:
                del self.open[stream.here, stream.there]
            return
        if timeout > _LONGEST_TIMEOUT:
            self.lose(stream, "Connection timed out")
            return
        self._send(stream.here, stream.there, segment)
        clock = self.stack.world.clock
        clock.at(clock.now + timeout, partial(self._try_again, stream, segment, 2 * timeout))

    def _try_again(self, stream: _Stream, segment: Segment, timeout: float) -> None:
        segment.sent_at = None  # Which of them arrives says nothing of the round trip.
        self._try(stream, segment, timeout)

    def _send(self, here: Address, there: Address, segment: Segment) -> None:
        source, destination = IPv6Address(here[0]), IPv6Address(there[0])
        ports = here[1], there[1]
        self.stack.send(Packet(source, destination, TCP, *ports, segment.data, segment=segment))

    def reset(self, here: Address, there: Address) -> None:
        """End by RST what there is between two ends, or is not."""
        self.open.pop((here, there), None)
        self._send(here, there, Segment(Kind.RESET))

    def lose(self, stream: _Stream, reason: str) -> None:
        """End a stream, and tell its user."""
        if self.open.pop((stream.here, stream.there), None):
            stream.ended = True
            stream.streams.lost(stream, reason)

    def _take(self, packet: Packet) -> None:
        segment = packet.segment
        if not isinstance(segment, Segment):
            return
        here = str(packet.destination), packet.destination_port
        there = str(packet.source), packet.source_port
        stream = self.open.get((here, there))
        if segment.kind is Kind.RESET:
            if stream:
                self.lose(stream, "Connection reset" if stream.taken else "Connection refused")
        elif stream is None and segment.kind is Kind.OPEN:
            self._accept(here, there, segment)
        elif stream is None or (stream.ended and segment.kind is Kind.DATA):
            self.reset(here, there)
        else:
            segment.acknowledge(self.stack.world.clock.now)
            if segment.number >= stream.taken:
                stream.early[segment.number] = segment
            while not stream.ended and (due := stream.early.pop(stream.taken, None)):
                stream.taken += 1
                self._handle(stream, due)

    def _handle(self, stream: _Stream, segment: Segment) -> None:
        match segment.kind:
            case Kind.ACCEPT:
                stream.streams.opened(stream)
            case Kind.DATA:
                stream.streams.user.received(stream.number, segment.data)
            case Kind.END:
                self.lose(stream, "the peer closed the connection")
            case _:
                pass

    def _accept(self, here: Address, there: Address, segment: Segment) -> None:
        listener = self.listeners.get(here)
        number = None
        if listener:
            number = listener.user.accepted(IPv6Address(there[0]), IPv6Address(here[0]))
        if listener is None or number is None:
            self.reset(here, there)
            return
        segment.acknowledge(self.stack.world.clock.now)
        stream = _Stream(listener, number, here, there, taken=1)
        self.open[here, there] = stream
        listener.streams[number] = stream
        self.emit(stream, Kind.ACCEPT)


class SimulatedStreams:
    """agents.core.host.Streams on a simulated stack."""

    def __init__(self, tcp: Tcp, user: StreamUser, listen: Sequence[Address]) -> None:
        self._tcp = tcp
        self.user = user
        self.streams: dict[int, _Stream] = {}
        self.is_open = True
        self._listen = tuple(listen)
        for address in self._listen:
            if not tcp.stack.owns(IPv6Address(address[0])):
                raise OSError(99, "Cannot assign requested address")
            if address in tcp.listeners:
                raise OSError(98, "Address already in use")
        tcp.listeners.update(dict.fromkeys(self._listen, self))

    def connect(self, number: int, name: str, address: Address) -> None:  # noqa: ARG002
        """Open a stream to a host."""
        self._tcp.stack.world.carry(self._connect, number, address)

    def _connect(self, number: int, address: Address) -> None:
        tcp = self._tcp
        source = tcp.stack.source_for(IPv6Address(address[0]), None)
        here = str(source or "::"), next(tcp.ports)
        stream = self.streams[number] = _Stream(self, number, here, address)
        tcp.open[here, address] = stream
        if source is None:
            clock = tcp.stack.world.clock
            clock.at(clock.now, partial(tcp.lose, stream, "Network is unreachable"))
        else:
            tcp.emit(stream, Kind.OPEN)

    def opened(self, stream: _Stream) -> None:
        """Tell the user that a stream is open."""
        self.user.connected(stream.number, IPv6Address(stream.here[0]), None)

    def lost(self, stream: _Stream, reason: str) -> None:
        """Tell the user that a stream has ended."""
        if self.streams.pop(stream.number, None):
            self.user.closed(stream.number, reason)

    def send(self, number: int, data: bytes) -> None:
        """Send octets, if the stream is still there."""
        if stream := self.streams.get(number):
            self._tcp.stack.world.carry(self._tcp.emit, stream, Kind.DATA, data)

    def end(self, number: int, *, reset: bool = False) -> None:
        """End a stream after what was sent before, or by RST."""
        stream = self.streams.pop(number, None)
        if stream is None:
            return
        stream.ended = True
        if reset:
            self._tcp.reset(stream.here, stream.there)
        elif stream.taken:
            self._tcp.emit(stream, Kind.END)
        else:  # It was not open yet.
            del self._tcp.open[stream.here, stream.there]

    def stop_listening(self) -> None:
        """Accept no more."""
        for address in self._listen:
            if self._tcp.listeners.get(address) is self:
                del self._tcp.listeners[address]

    @property
    def idle(self) -> bool:
        """Whether no stream is open any more."""
        return not self.streams

    def close(self) -> None:
        """Accept no more, and end what is open, as the kernel does when a program dies."""
        self.is_open = False
        self.stop_listening()
        for number in tuple(self.streams):
            self.end(number)


class SimulatedExchange:
    """One question and its answer over a stream of its own."""

    def __init__(
        self,
        tcp: Tcp,
        query: bytes,
        server: Address,
        answered: Callable[[bytes | OSError], None],
    ) -> None:
        self._query = len(query).to_bytes(2) + query
        self._answered = answered
        self._got = b""
        self._streams = SimulatedStreams(tcp, self, ())
        self._streams.connect(0, "", server)

    @property
    def is_open(self) -> bool:
        """Whether the answer is waited for."""
        return not self._streams.idle

    def connected(self, number: int, _local: object, _names: object) -> None:
        """Send the question."""
        self._streams.send(number, self._query)

    def received(self, number: int, data: bytes) -> None:
        """Take a part of the answer."""
        self._got += data
        if len(self._got) >= 2 and len(self._got) >= 2 + int.from_bytes(self._got[:2]):
            self._streams.end(number)
            self._answered(self._got[2:])

    def closed(self, _number: int, reason: str) -> None:
        """Give up."""
        self._answered(ConnectionError(reason))

    def accepted(self, _source: object, _local: object) -> int | None:
        """Refuse: this listens nowhere."""
        return None

    def secured(self, _number: int, _names: frozenset[str]) -> None:
        """Ignore it: there is no TLS here."""

    def troubled(self, _reason: str) -> None:
        """Ignore it: this listens nowhere."""

    def close(self) -> None:
        """Wait for the answer no longer."""
        self._streams.close()
