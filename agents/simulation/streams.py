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
from agents.kernel.packet import Packet
from agents.simulation.stack import TCP, Stack

_RETRANSMIT = 0.2
_ATTEMPTS = 6
_FIRST_PORT = 32768


class Kind(Enum):
    """What a segment does."""

    OPEN = auto()
    ACCEPT = auto()
    DATA = auto()
    END = auto()
    RESET = auto()


@dataclass(frozen=True, slots=True)
class Segment:
    """The payload of a simulated TCP packet: `number` counts those of one direction."""

    kind: Kind
    number: int
    data: bytes = b""


@dataclass(eq=False)
class _Stream:
    """One end of a stream."""

    streams: SimulatedStreams
    number: int
    here: Address
    there: Address
    sent: int = 0
    taken: int = 0
    early: dict[int, Segment] = field(default_factory=dict)
    ended: bool = False


class Tcp:
    """The streams of one stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ports = count(_FIRST_PORT)
        self.listeners: dict[Address, SimulatedStreams] = {}
        self.open: dict[tuple[Address, Address], _Stream] = {}
        stack.segments = self._take

    def emit(self, stream: _Stream, kind: Kind, data: bytes = b"") -> None:
        """Send the next segment of a stream, again and again if it is lost."""
        segment = Segment(kind, stream.sent, data)
        stream.sent += 1
        self._try(stream.here, stream.there, segment, _ATTEMPTS)

    def _try(self, here: Address, there: Address, segment: Segment, attempts: int) -> None:
        packet = Packet(
            IPv6Address(here[0]),
            IPv6Address(there[0]),
            TCP,
            here[1],
            there[1],
            segment.data,
            segment=segment,
        )
        if self.stack.send(packet) or segment.kind is Kind.RESET:
            return
        if attempts > 1:
            clock = self.stack.world.clock
            again = partial(self._try, here, there, segment, attempts - 1)
            clock.at(clock.now + _RETRANSMIT, again)
        elif stream := self.open.get((here, there)):
            self.lose(stream, "Connection timed out")

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
        if stream is None and segment.kind is Kind.OPEN:
            self._accept(here, there)
            return
        if stream is None:
            if segment.kind is not Kind.RESET:
                self._try(here, there, Segment(Kind.RESET, 0), 1)
            return
        if segment.kind is Kind.RESET:
            self.lose(stream, "Connection refused" if stream.taken == 0 else "Connection reset")
            return
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

    def _accept(self, here: Address, there: Address) -> None:
        listener = self.listeners.get(here)
        number = None
        if listener:
            number = listener.user.accepted(IPv6Address(there[0]), IPv6Address(here[0]))
        if listener is None or number is None:
            self._try(here, there, Segment(Kind.RESET, 0), 1)
            return
        stream = _Stream(listener, number, here, there, taken=1)
        self.open[here, there] = stream
        listener.streams[number] = stream
        self.emit(stream, Kind.ACCEPT)


class SimulatedStreams:
    """agents.core.host.Streams on a simulated stack; what its user is told goes through `enter`."""

    def __init__(self, tcp: Tcp, user: StreamUser, listen: Sequence[Address]) -> None:
        self._tcp = tcp
        self.user = user
        self.streams: dict[int, _Stream] = {}
        self._listen = tuple(listen)
        for address in self._listen:
            if not tcp.stack.owns(IPv6Address(address[0])):
                raise OSError(99, "Cannot assign requested address")
            tcp.listeners[address] = self

    def connect(self, number: int, name: str, address: Address) -> None:  # noqa: ARG002
        """Open a stream to a host."""
        source = self._tcp.stack.source_for(IPv6Address(address[0]), None)
        if source is None:
            clock = self._tcp.stack.world.clock
            refused = partial(self.user.closed, number, "Network is unreachable")
            clock.at(clock.now, refused)
            return
        here = str(source), next(self._tcp.ports)
        stream = _Stream(self, number, here, address)
        self._tcp.open[here, address] = stream
        self.streams[number] = stream
        self._tcp.emit(stream, Kind.OPEN)

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
            self._tcp.emit(stream, Kind.DATA, data)

    def end(self, number: int, *, reset: bool = False) -> None:
        """End a stream after what was sent before, or by RST."""
        if stream := self.streams.pop(number, None):
            self._tcp.emit(stream, Kind.RESET if reset else Kind.END)
            self._tcp.open.pop((stream.here, stream.there), None)

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
        """Accept no more, and cut what is open, as the kernel does when a program dies."""
        self.stop_listening()
        for number in tuple(self.streams):
            self.end(number, reset=True)


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
