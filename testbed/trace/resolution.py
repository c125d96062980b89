"""Whether a message had to wait for a neighbour's link-layer address, and since when (RFC 4861)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress

from testbed.trace.dissect import ICMPV6, dissect, parse
from testbed.trace.frames import Frame

_SOLICITATION, _ADVERTISEMENT = 135, 136
_TARGET = slice(8, 24)
_DESTINATION, _SOURCE = slice(0, 6), slice(6, 12)


def asked(frames: Sequence[Frame], first: int, within: float) -> int:
    """Return when it was asked for the address that the message seen at `first` waited for.

    That leaves with the answer, or `within` so many seconds. If the address was known, or none is
    needed, this is `first`.
    """
    before = [frame for frame in frames if frame.time <= first]
    message = next(f for f in before if f.time == first and any(dissect([f])))
    neighbour, own = message.data[_DESTINATION], message.data[_SOURCE]
    open_since: dict[bytes, int] = {}
    found = first
    for frame in before:
        kind, target = _discovery(frame)
        ends = frame.data[_DESTINATION], frame.data[_SOURCE]
        if kind == _SOLICITATION and ends[1] == own:
            open_since.setdefault(target, frame.time)
        elif kind == _ADVERTISEMENT and ends == (own, neighbour):
            begun = open_since.pop(target, first)
            if first - frame.time <= within * 1e9:
                found = min(found, begun)
    return found


def _discovery(frame: Frame) -> tuple[int, bytes]:
    """Return type and target of an Advertisement, or of a Solicitation to a group; else 0."""
    with suppress(struct.error, LookupError, ValueError):
        packet = parse(frame)
        if packet and packet.protocol == ICMPV6:
            kind = packet.payload[0]
            if kind == _ADVERTISEMENT or packet.destination.is_multicast:
                return kind, packet.payload[_TARGET]
    return 0, b""
