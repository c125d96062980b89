"""Diameter messages in captured TCP segments (RFC 6733 section 3), for counting them.

Like testbed.trace.dissect, it shares no code with the agents.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from testbed.trace.dissect import Packet

TCP = 6
PORTS = frozenset({3868, 5868, 5658})
HEADER = 20
LIMIT = 1 << 20
REQUEST = 0x80
EAP = 268
BETWEEN_NEIGHBOURS = frozenset({257, 280, 282})
"""Capabilities exchange, watchdog and disconnection: no part of any bootstrap."""
ACCOUNTING = 271
"""What nobody waits for."""
AGENT_INFO, AGENT_ADDRESS = 486, 334
SYN = 0x02


@dataclass(frozen=True, slots=True)
class Segment:
    """What a TCP segment of a Diameter connection carries.

    `messages` end in it: pairs of command code and whether it is a request, empty for half a
    message or a bare acknowledgement, and `whole` is their octets. `opaque` data is under TLS, and
    is what `data` has.
    """

    has_data: bool
    again: bool = False
    opaque: bool = False
    messages: tuple[tuple[int, bool], ...] = ()
    home_agents: tuple[IPv6Address, ...] = ()
    whole: tuple[bytes, ...] = ()
    data: bytes = b""

    @property
    def counts(self) -> int:
        """How many messages it counts for; under TLS a segment with data is one."""
        return int(self.has_data and not self.again) if self.opaque else len(self.messages)

    @property
    def matters(self) -> bool:
        """Whether it carries anything that belongs to a bootstrap."""
        codes = {code for code, _ in self.messages}
        unwaited = BETWEEN_NEIGHBOURS | {ACCOUNTING}
        return self.has_data and not self.again and (not codes or bool(codes - unwaited))


@dataclass(slots=True)
class _Direction:
    expected: int | None = None
    buffer: bytearray = field(default_factory=bytearray)
    opaque: bool = False


class Streams:
    """Follows the Diameter connections of one link."""

    def __init__(self) -> None:
        self._directions: dict[tuple[IPv6Address, int, IPv6Address, int], _Direction] = {}

    def segment(self, packet: Packet) -> Segment | None:
        """Return what a packet carries; None if it is no segment of a Diameter connection."""
        if packet.protocol != TCP or len(packet.payload) < HEADER:
            return None
        source, destination, sequence, offset, flags = struct.unpack_from(
            "!HHI4xBB", packet.payload
        )
        if not PORTS & {source, destination}:
            return None
        data = packet.payload[(offset >> 4) * 4 :]
        ends = (packet.source, source, packet.destination, destination)
        direction = self._directions.setdefault(ends, _Direction())
        if flags & SYN:
            self._directions[ends] = _Direction(sequence + 1 & 0xFFFFFFFF)
        if not data or flags & SYN:
            return Segment(False)
        if direction.expected is None:
            direction.expected = sequence
        # A segment that ends at or before what was seen is one again (serial arithmetic).
        new = (sequence + len(data) - direction.expected) & 0xFFFFFFFF
        if new == 0 or new >= 1 << 31:
            return Segment(True, again=True)
        direction.expected = (sequence + len(data)) & 0xFFFFFFFF
        return _read(direction, data)


def _read(direction: _Direction, data: bytes) -> Segment:
    if direction.opaque or (not direction.buffer and data[0] != 1):
        direction.opaque = True
        return Segment(True, opaque=True, data=data)
    direction.buffer += data
    messages: list[tuple[int, bool]] = []
    whole: list[bytes] = []
    home_agents: list[IPv6Address] = []
    while len(direction.buffer) >= HEADER:
        length = int.from_bytes(direction.buffer[1:4])
        if direction.buffer[0] != 1 or not HEADER <= length <= LIMIT:
            direction.opaque = True
            return Segment(True, opaque=True, data=data)
        if len(direction.buffer) < length:
            break
        message = bytes(direction.buffer[:length])
        del direction.buffer[:length]
        whole.append(message)
        code, request = int.from_bytes(message[5:8]), bool(message[4] & REQUEST)
        messages.append((code, request))
        if code == EAP and not request:
            home_agents += _home_agents(message[HEADER:])
    return Segment(
        True, messages=tuple(messages), home_agents=tuple(home_agents), whole=tuple(whole)
    )


def _home_agents(avps: bytes) -> Iterator[IPv6Address]:
    """Yield the addresses in MIP6-Agent-Info (RFC 5447 section 4.2.1)."""
    for code, value in _avps(avps):
        if code == AGENT_INFO:
            for inner, address in _avps(value):
                if inner == AGENT_ADDRESS and address[:2] == b"\x00\x02" and len(address) == 18:
                    yield IPv6Address(address[2:])


def _avps(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield code and value of the AVPs without a vendor, as far as they are well-formed."""
    while len(data) >= 8:
        code, flags = struct.unpack_from("!IB", data)
        length = int.from_bytes(data[5:8])
        header = 12 if flags & 0x80 else 8
        if not header <= length <= len(data):
            return
        if header == 8:
            yield code, data[header:length]
        data = data[length + -length % 4 :]
