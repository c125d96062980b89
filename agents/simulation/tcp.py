"""TCP as Linux does it (RFC 9293, 5681, 6298), as far as packets on the wire and their times go.

There is no flow control, for who receives takes all at once, no selective acknowledgement, and a
stream that is over leaves no TIME-WAIT.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from ipaddress import IPv6Address
from itertools import cycle
from typing import Protocol, TypeAlias

from agents.core.machine import Address
from agents.kernel.packet import TCP, Packet, Segment
from agents.simulation.frames import MSS, SYN, TIMESTAMPS
from agents.simulation.stack import Interface, Stack, address_of
from agents.simulation.world import Appointment, Clock

FIN, RST, PSH, ACK = 0x01, 0x04, 0x08, 0x10
REFUSED, RESET, TIMED_OUT = "Connection refused", "Connection reset", "Connection timed out"

_FIRST_TIMEOUT = 1.0
"""Seconds until a segment is sent again; the round trip is not known (RFC 6298 section 2.1)."""

_MARGIN = 0.2
"""Seconds beyond the round trip, once that is known; what Linux waits at least."""

_LONGEST_TIMEOUT = 120.0
"""Seconds; the timeout doubles, and a stream on which it gets longer is given up."""

_DELAYED_ACK = 0.04
"""Seconds that an acknowledgement waits for something to go with."""

_QUICK_ACKS = 16
"""Acknowledgements that wait for nothing, until this end has answered soon (Linux)."""

_HALF_OPEN = 60.0
"""Seconds that the other end has to close after this one (tcp_fin_timeout)."""

_INITIAL_WINDOW = 10
_DUPLICATES = 3
_HEADERS = 14 + 40 + 20 + TIMESTAMPS
"""Octets before a segment's own in its frame."""

_SEGMENT_SIZE = MSS - TIMESTAMPS
_WINDOW = 64800
_MOST_EARLY = 6 << 20
"""Octets behind a gap that a receiver keeps at most: what Linux lets its window grow to."""

_MASK = 0xFFFFFFFF
_PORTS = range(32768, 61000)

Key: TypeAlias = tuple[int, int, int, int]


class User(Protocol):
    """Who has a stream, and hears of it."""

    def opened(self, stream: Stream) -> None:
        """Take note that it is open."""

    def received(self, stream: Stream, data: bytes) -> None:
        """Take octets."""

    def ended(self, stream: Stream, reason: str) -> None:
        """Take note that it has ended, or was not to be had."""


class State(Enum):
    """How far a stream has come (RFC 9293 section 3.3.2)."""

    SYN_SENT = auto()
    SYN_RECEIVED = auto()
    ESTABLISHED = auto()


@dataclass(eq=False, slots=True)
class _Piece:
    """A part of the stream that is not acknowledged; `start` counts octets, SYN and FIN from 0.

    `sent_at` is None if it was sent again, for then an acknowledgement tells no round trip.
    """

    start: int
    flags: int
    data: bytes
    sent_at: float | None
    under_way: bool = True

    @property
    def end(self) -> int:
        return self.start + len(self.data) + bool(self.flags & (SYN | FIN))


@dataclass(frozen=True, slots=True)
class _Pipe:
    """A way to the other end of a stream for octets without segments, over one link."""

    near: Interface
    far: Interface
    peer: Stream

    @property
    def is_whole(self) -> bool:
        """Whether the link connects both ends."""
        return self.near.link.connects(self.near) and self.near.link.connects(self.far)

    def carry(self, data: bytes, clock: Clock) -> None:
        """Have octets arrive."""
        segments = -(-len(data) // _SEGMENT_SIZE)
        arrives = self.near.link.book(self.near, len(data) + segments * _HEADERS)
        clock.at(arrives, partial(self._bring, data))

    def _bring(self, data: bytes) -> None:
        if self.is_whole and self.peer.user:
            self.peer.user.received(self.peer, data)


class Stream:
    """One end of a stream. Numbers are relative to the initial sequence numbers."""

    def __init__(
        self, tcp: Tcp, here: tuple[IPv6Address, int], there: tuple[IPv6Address, int], user: User
    ) -> None:
        self.here, self.there = here, there
        self.user: User | None = user
        self.state = State.SYN_SENT
        self._tcp = tcp
        self._clock = tcp.stack.world.clock
        self._first = tcp.stack.rng.getrandbits(32)
        self._sent = self._acknowledged = 0
        self._flight: deque[_Piece] = deque()
        self._piped: _Pipe | None = None
        self._lost = 0
        """How many of them are taken for lost."""

        self._pending = bytearray()
        self._ends = self._ended = self._peer_ended = False
        self._timer: Appointment | None = None
        self._timeout = _FIRST_TIMEOUT
        self._round_trip: tuple[float, float] | None = None
        self._window, self._threshold = float(_INITIAL_WINDOW), float("inf")
        self._duplicates = 0

        self._first_there = self._taken = 0
        self._early: dict[int, tuple[bytes, bool]] = {}
        self._echo = 0
        self._heard_at = float("-inf")
        self._unacknowledged = 0
        self._largest = _SEGMENT_SIZE // 2
        self._quick = _QUICK_ACKS
        self._acknowledging: Appointment | None = None

    @property
    def key(self) -> Key:
        """What its packets are known by."""
        return int(self.there[0]), self.there[1], int(self.here[0]), self.here[1]

    # What its user does

    def open(self) -> None:
        """Begin."""
        self._put(SYN, b"")

    def send(self, data: bytes) -> None:
        """Send octets."""
        if self._tcp.stack.world.pipes and (pipe := self._pipe()):
            pipe.carry(data, self._clock)
            return
        self._pending += data
        self._push()

    def _pipe(self) -> _Pipe | None:
        """Return the way to the other end, if it is open and on the same link, without faults."""
        if self._piped is None and self.state is State.ESTABLISHED and not self._flight:
            way = self._tcp.stack.routes.way(self.there[0])
            peer = self._tcp.stack.world.streams.get((*self.key[2:], *self.key[:2]))
            back = peer and peer.way_back()
            whole = back and not back.link.is_faulty
            if way and peer and back and way[1] == self.there[0] and whole:
                self._piped = _Pipe(way[0], back, peer)
        return self._piped if self._piped and self._piped.is_whole else None

    def way_back(self) -> Interface | None:
        """Return the interface towards the other end."""
        way = self._tcp.stack.routes.way(self.there[0])
        return way[0] if way else None

    def end(self) -> None:
        """End it after what was sent before; its user hears no more."""
        self.user = None
        if self.state is State.SYN_SENT:
            self._forget()
            return
        self._ends = True
        self._push()

    def reset(self) -> None:
        """End it by RST."""
        self._transmit(RST | ACK, self._sent, b"")
        self._forget()

    def lose(self, reason: str) -> None:
        """Give it up, and tell its user."""
        self._forget()
        user, self.user = self.user, None
        if user:
            user.ended(self, reason)

    def _forget(self) -> None:
        self._tcp.streams.pop(self.key, None)
        self._tcp.stack.world.streams.pop(self.key, None)
        for appointment in (self._timer, self._acknowledging):
            if appointment:
                self._clock.cancel(appointment)
        self._timer = self._acknowledging = None
        self._flight.clear()
        self._lost = 0
        self._pending.clear()

    # Sending

    def _push(self) -> None:
        """Send what the window allows: first what was lost, then what is new."""
        under_way = len(self._flight) - self._lost
        for piece in self._flight if self._lost else ():
            if under_way < self._window and not piece.under_way:
                self._repeat(piece)
                under_way += 1
        if self.state is not State.ESTABLISHED:
            return
        while self._pending and under_way < self._window:
            data = bytes(self._pending[:_SEGMENT_SIZE])
            del self._pending[:_SEGMENT_SIZE]
            if self._clock.now - self._heard_at < _DELAYED_ACK:
                self._quick = 0  # It is a conversation: answers bring acknowledgements along.
            self._put(ACK if self._pending else PSH | ACK, data)
            under_way += 1
        if self._ends and not self._ended and not self._pending:
            self._ended = True
            self._put(FIN | ACK, b"")

    def _put(self, flags: int, data: bytes) -> None:
        piece = _Piece(self._sent, flags, data, self._clock.now)
        self._flight.append(piece)
        self._sent = piece.end
        self._transmit(flags, piece.start, data)
        if self._timer is None:
            self._arm()

    def _repeat(self, piece: _Piece) -> None:
        self._lost -= not piece.under_way
        piece.under_way, piece.sent_at = True, None
        self._transmit(piece.flags, piece.start, piece.data)

    def _transmit(self, flags: int, number: int, data: bytes) -> None:
        acknowledges = bool(flags & ACK)
        if acknowledges:
            self._unacknowledged = 0
            if self._acknowledging:
                self._clock.cancel(self._acknowledging)
                self._acknowledging = None
        segment = Segment(
            flags,
            (self._first + number) & _MASK,
            (self._first_there + self._taken) & _MASK if acknowledges else 0,
            _WINDOW,
            self._tcp.milliseconds(),
            self._echo,
        )
        self._tcp.transmit(self.here, self.there, segment, data)

    def _arm(self) -> None:
        if self._timer:
            self._clock.cancel(self._timer)
        self._timer = None
        if self._flight:
            self._timer = self._clock.at(self._clock.now + self._timeout, self._expire)

    def _expire(self) -> None:
        """Take all that is under way for lost (RFC 6298 section 5.4, RFC 5681 section 3.1)."""
        self._timer = None
        self._timeout *= 2
        if self._timeout > _LONGEST_TIMEOUT:
            self.lose(TIMED_OUT)
            return
        self._threshold, self._window = max(len(self._flight) / 2, 2.0), 1.0
        for piece in self._flight:
            piece.under_way = False
        self._lost = len(self._flight)
        self._push()
        self._arm()

    def _acknowledge(self, upto: int, *, is_bare: bool) -> None:
        """Take an acknowledgement."""
        if upto <= self._acknowledged or upto > self._sent:
            self._duplicates += is_bare and upto == self._acknowledged and bool(self._flight)
            if self._duplicates == _DUPLICATES and self._flight:
                self._threshold = self._window = max(len(self._flight) / 2, 2.0)
                self._repeat(self._flight[0])
            return
        self._acknowledged, self._duplicates = upto, 0
        while self._flight and self._flight[0].end <= upto:
            piece = self._flight.popleft()
            self._lost -= not piece.under_way
            if piece.data:
                slow = self._window < self._threshold
                self._window += 1 if slow else 1 / self._window
            if piece.sent_at is not None:
                self._measure(self._clock.now - piece.sent_at)
        self._timeout = self._usual_timeout()
        self._arm()
        self._push()
        if self._ended and not self._flight and self.user is None:
            if self._peer_ended:
                self._forget()
            else:
                self._timer = self._clock.at(self._clock.now + _HALF_OPEN, self._forget)

    def _measure(self, sample: float) -> None:
        """Learn the round trip (RFC 6298 section 2); the margin is Linux'."""
        if self._round_trip is None:
            smoothed, variation = sample, sample / 2
        else:
            smoothed, variation = self._round_trip
            variation += (abs(smoothed - sample) - variation) / 4
            smoothed += (sample - smoothed) / 8
        self._round_trip = smoothed, variation

    def _usual_timeout(self) -> float:
        if self._round_trip is None:
            return _FIRST_TIMEOUT
        smoothed, variation = self._round_trip
        return smoothed + max(_MARGIN, 4 * variation)

    # Receiving

    def take(self, packet: Packet, segment: Segment) -> None:
        """Take a segment, if it can be the other end's (RFC 9293 section 3.10.7, RFC 5961)."""
        flags = segment.flags
        acknowledged = (segment.acknowledgement - self._first) & _MASK
        if self.state is State.SYN_SENT:
            if flags & ACK and acknowledged == 1:
                self._take_first(segment)
            return
        if flags & RST:
            self._take_reset(segment)
            return
        if flags & SYN:
            self._answer_again()
            return
        if not flags & ACK:
            return
        if acknowledged > self._sent:
            self._transmit(ACK, self._sent, b"")
            return
        self._echo = segment.sent_at
        if self.state is State.SYN_RECEIVED:
            if acknowledged != 1:
                return
            self.state = State.ESTABLISHED
            self._acknowledge(1, is_bare=False)
            if self.user:
                self.user.opened(self)
        else:
            self._acknowledge(acknowledged, is_bare=not packet.payload and not flags & FIN)
        if packet.payload or flags & FIN:
            self._take_octets(segment, packet.payload, bool(flags & FIN))

    def _take_first(self, segment: Segment) -> None:
        """Take what answers the SYN."""
        if segment.flags & RST:
            self.lose(REFUSED)
        elif segment.flags & SYN:
            self.begin(segment)
            self.state = State.ESTABLISHED
            self._acknowledge(1, is_bare=False)
            self._transmit(ACK, self._sent, b"")
            if self.user:
                self.user.opened(self)

    def _take_reset(self, segment: Segment) -> None:
        """End, if the RST is where the stream is; who means it says so again when he is asked."""
        ahead = (segment.sequence - self._first_there - self._taken) & _MASK
        if ahead == 0:
            self.lose(RESET)
        elif ahead < _MOST_EARLY:
            self._transmit(ACK, self._sent, b"")

    def begin(self, segment: Segment) -> None:
        """Take the other end's SYN."""
        self._first_there, self._taken = segment.sequence, 1
        self._echo = segment.sent_at

    def accept(self) -> None:
        """Answer a SYN."""
        self.state = State.SYN_RECEIVED
        self._put(SYN | ACK, b"")

    def _answer_again(self) -> None:
        """Acknowledge a SYN that has come again."""
        if self.state is State.SYN_RECEIVED and self._flight:
            self._repeat(self._flight[0])
        else:
            self._transmit(ACK, self._sent, b"")

    def _take_octets(self, segment: Segment, data: bytes, ends: bool) -> None:
        start = (segment.sequence - self._first_there) & _MASK
        if start > self._taken and start - self._taken < _MASK >> 1:
            if start - self._taken + len(data) <= _MOST_EARLY:
                self._early[start] = data, ends
            self._transmit(ACK, self._sent, b"")
            return
        known = (self._taken - start) & _MASK
        if known >= len(data) + ends:
            self._transmit(ACK, self._sent, b"")
            return
        if self.user is None and data:
            self.reset()
            return
        had_gap = bool(self._early)
        came, ends = self._join(data[known:], ends)
        self._peer_ended = self._peer_ended or ends
        if ends:
            self._quick = 0  # This end's own FIN is expected to go with it.
        self._unacknowledged += len(came) + ends
        self._largest = max(self._largest, len(data))
        self._plan_acknowledgement(at_once=had_gap or (ends and self._ended))
        self._heard_at = self._clock.now
        if came and self.user:
            self.user.received(self, came)
        if ends:
            self._closed_there()

    def _join(self, data: bytes, ends: bool) -> tuple[bytes, bool]:
        """Return what has come in order with what came early, and whether it ends there."""
        self._taken += len(data) + ends
        while not ends and (found := self._early.pop(self._taken, None)):
            more, ends = found
            data += more
            self._taken += len(more) + ends
        for start in [start for start in self._early if start < self._taken]:
            del self._early[start]
        return data, ends

    def _plan_acknowledgement(self, *, at_once: bool) -> None:
        if at_once or self._quick or self._unacknowledged > self._largest:
            self._quick = max(0, self._quick - 1)
            self._transmit(ACK, self._sent, b"")
        elif self._acknowledging is None:
            self._acknowledging = self._clock.at(
                self._clock.now + _DELAYED_ACK, self._acknowledge_late
            )

    def _acknowledge_late(self) -> None:
        self._acknowledging = None
        self._transmit(ACK, self._sent, b"")

    def _closed_there(self) -> None:
        """Close this end too, as programs do."""
        user, self.user = self.user, None
        if not self._ends:
            self._ends = True
            if user:
                user.ended(self, "the peer closed the connection")
            self._push()
        elif self._ended and not self._flight:
            self._forget()


class Tcp:
    """The streams of one stack, by the numbers of those who send to them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.listeners: dict[Address, User] = {}
        self.streams: dict[Key, Stream] = {}
        self._ports = cycle(_PORTS)
        self._epoch = stack.rng.getrandbits(31)
        stack.segments = self._take

    def milliseconds(self) -> int:
        """Return the time as segments carry it."""
        return (self._epoch + int(self.stack.world.clock.now * 1000)) & _MASK

    def connect(self, address: Address, user: User) -> Stream:
        """Begin a stream; it is lost at once if no way leads there."""
        there = address_of(address[0]), address[1]
        source = self.stack.source_for(there[0], None)
        here = source or IPv6Address(0), next(self._ports)
        stream = Stream(self, here, there, user)
        self._keep(stream)
        if source:
            stream.open()
        else:
            clock = self.stack.world.clock
            clock.at(clock.now, partial(stream.lose, "Network is unreachable"))
        return stream

    def _keep(self, stream: Stream) -> None:
        self.streams[stream.key] = stream
        self.stack.world.streams[stream.key] = stream

    def transmit(
        self,
        here: tuple[IPv6Address, int],
        there: tuple[IPv6Address, int],
        segment: Segment,
        data: bytes = b"",
    ) -> None:
        """Send a segment."""
        self.stack.send(Packet(here[0], there[0], TCP, here[1], there[1], data, segment=segment))

    def _take(self, packet: Packet) -> None:
        segment = packet.segment
        if segment is None:
            return
        key = (
            int(packet.source),
            packet.source_port,
            int(packet.destination),
            packet.destination_port,
        )
        stream = self.streams.get(key)
        if stream:
            stream.take(packet, segment)
        elif segment.flags & SYN and not segment.flags & ACK:
            self._accept(packet, segment)
        elif not segment.flags & RST:
            self._refuse(packet, segment)

    def _accept(self, packet: Packet, segment: Segment) -> None:
        here = packet.destination, packet.destination_port
        user = self.listeners.get((str(here[0]), here[1]))
        if user is None:
            self._refuse(packet, segment)
            return
        stream = Stream(self, here, (packet.source, packet.source_port), user)
        self._keep(stream)
        stream.begin(segment)
        stream.accept()

    def _refuse(self, packet: Packet, segment: Segment) -> None:
        """Answer what belongs to no stream (RFC 9293 section 3.5.2)."""
        here = packet.destination, packet.destination_port
        there = packet.source, packet.source_port
        if segment.flags & ACK:
            answer = Segment(RST, segment.acknowledgement)
        else:
            length = len(packet.payload) + bool(segment.flags & (SYN | FIN))
            answer = Segment(RST | ACK, 0, (segment.sequence + length) & _MASK)
        self.transmit(here, there, answer)
