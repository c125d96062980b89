"""What a mobile node hears while it moves: echo requests at a steady pace, and TCP's payload.

It is read from the capture at its interface, through the tunnel or without one.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from ipaddress import IPv6Address

from testbed.trace.dissect import ICMPV6, IPV6, TCP, Mobility, Packet, parse, recognise
from testbed.trace.frames import Frame

_ECHO_REQUEST = 128
_ETHERNET = bytes(12) + b"\x86\xdd"
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class Segment:
    """Payload of TCP: when it came, and from where to where in the stream it goes, in octets."""

    time: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Movement:
    """From the first Binding Update with another care-of address to what acknowledges it."""

    begin: int
    end: int


@dataclass(slots=True)
class _Stream:
    first: int
    segments: list[Segment] = field(default_factory=list)

    def take(self, time: int, sequence: int, length: int) -> None:
        """Note payload from a sequence number on; these begin anew after 2^32."""
        last = self.segments[-1].start if self.segments else 0
        ahead = (sequence - self.first - last + _WRAP // 2) % _WRAP - _WRAP // 2
        self.segments.append(Segment(time, last + ahead, last + ahead + length))


@dataclass(slots=True)
class Heard:
    """What a capture shows; times are wall-clock times in nanoseconds."""

    echoes: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)


def hear(frames: Iterable[Frame], port: int) -> Heard:
    """Return the echo requests, the largest transfer to a TCP port, and the movements."""
    found = Heard()
    transfers: dict[int, _Stream] = {}
    care_of: IPv6Address | None = None
    begin: int | None = None
    for frame, packet, message in recognise(frames):
        if isinstance(message, Mobility) and message.update and message.source != care_of:
            begin = None if care_of is None else message.time  # The first is the bootstrap's.
            care_of = message.source
        elif isinstance(message, Mobility) and not message.update and begin is not None:
            found.movements.append(Movement(begin, message.time))
            begin = None
        with suppress(struct.error, LookupError, ValueError):
            inner = _inner(frame, packet)
            if inner and inner.protocol == ICMPV6 and inner.payload[0] == _ECHO_REQUEST:
                found.echoes.append(frame.time)
            elif inner and inner.protocol == TCP:
                _take(transfers, inner, port)
    found.segments = max((one.segments for one in transfers.values()), key=len, default=[])
    return found


def _inner(frame: Frame, packet: Packet | None) -> Packet | None:
    """Return the packet in a tunnelled one, or itself."""
    if packet and packet.protocol == IPV6:
        return parse(Frame(frame.time, _ETHERNET + packet.payload))
    return packet


def _take(transfers: dict[int, _Stream], packet: Packet, port: int) -> None:
    """Note payload for a port, by who sends; a stream begins with its first segment."""
    source, destination, sequence = struct.unpack_from("!HHI", packet.payload)
    length = len(packet.payload) - 4 * (packet.payload[12] >> 4)
    if destination == port and length > 0:
        stream = transfers.setdefault(source, _Stream(sequence))
        stream.take(packet.time, sequence, length)


def delivered(segments: Iterable[Segment]) -> list[tuple[int, int]]:
    """Return when more of a stream could be delivered, and up to where: all before has come."""
    early: list[tuple[int, int]] = []
    found, whole = list[tuple[int, int]](), 0
    for segment in segments:
        heappush(early, (segment.start, segment.end))
        before = whole
        while early and early[0][0] <= whole:
            whole = max(whole, heappop(early)[1])
        if whole > before:
            found.append((segment.time, whole))
    return found


def gap(times: Sequence[int], movement: Movement) -> tuple[int, int] | None:
    """Return the longest silence that a movement is a part of; None if nothing comes after it."""
    first = max(bisect_right(times, movement.begin) - 1, 0)
    last = bisect_right(times, movement.end)
    if last >= len(times) or times[first] > movement.begin:
        return None
    pairs = zip(times[first:last], times[first + 1 : last + 1], strict=True)
    return max(pairs, key=lambda pair: pair[1] - pair[0])
