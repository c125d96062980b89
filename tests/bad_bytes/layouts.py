"""How formats are built of values with a type and a length: read, altered and written again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Item = tuple[bytes, bytes]
"""The head and the value of one."""

Fix = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Layout:
    """Values behind one another, each with a head of `head` octets that has the value's length.

    That is at `at`, `width` octets wide, and `counted` octets of the head count too; values are
    padded to a multiple of `align`. What a list may begin behind is in `behind`: octets.
    """

    head: int
    at: int
    width: int
    counted: int = 0
    align: int = 1
    order: str = "big"
    behind: tuple[int, ...] = (0,)

    def split(self, data: bytes) -> list[Item] | None:
        """Return the values in `data`, None if it is anything else."""
        items, start = [], 0
        while start < len(data):
            head = data[start : start + self.head]
            length = int.from_bytes(head[self.at : self.at + self.width], self.order)
            end = start + self.head + length - self.counted
            if len(head) < self.head or end < start + self.head or end > len(data):
                return None
            items.append((head, data[start + self.head : end]))
            start = end + (start - end) % self.align
        return items or None

    def join(self, items: Sequence[Item]) -> bytes:
        """Return the octets of values, with their right lengths."""
        return b"".join(map(self._one, items))

    def _one(self, item: Item) -> bytes:
        head, value = item
        length = (len(value) + self.counted) % (1 << 8 * self.width)
        octets = length.to_bytes(self.width, self.order)
        whole = head[: self.at] + octets + head[self.at + self.width :] + value
        return whole + bytes(-len(whole) % self.align)


class _Der:
    """Values in DER (X.690), whose lengths have lengths."""

    behind = (0,)

    def split(self, data: bytes) -> list[Item] | None:
        items, start = [], 0
        while start < len(data):
            if len(data) < start + 2:
                return None
            length, body = data[start + 1], start + 2
            if length > 0x80:
                body += length - 0x80
                length = int.from_bytes(data[start + 2 : body])
            if length == 0x80 or body + length > len(data):
                return None
            items.append((data[start : start + 1], data[body : body + length]))
            start = body + length
        return items or None

    def join(self, items: Sequence[Item]) -> bytes:
        return b"".join(map(self._one, items))

    def _one(self, item: Item) -> bytes:
        tag, value = item
        size = len(value)
        octets = size.to_bytes((size.bit_length() + 7) // 8 or 1)
        length = bytes([size]) if size < 0x80 else bytes([0x80 + len(octets)]) + octets
        return tag[:1] + length + value


class _Blocks:
    """Blocks of pcapng, which have their length in front and behind."""

    behind = (0,)

    def split(self, data: bytes) -> list[Item] | None:
        items, start = [], 0
        while start < len(data):
            length = int.from_bytes(data[start + 4 : start + 8], "little")
            if length < 12 or start + length > len(data):
                return None
            items.append((data[start : start + 4], data[start + 8 : start + length - 4]))
            start += length
        return items or None

    def join(self, items: Sequence[Item]) -> bytes:
        return b"".join(map(self._one, items))

    def _one(self, item: Item) -> bytes:
        kind, body = item[0], item[1] + bytes(-len(item[1]) % 4)
        length = (12 + len(body)).to_bytes(4, "little")
        return kind.ljust(4, b"\0")[:4] + length + body + length


DER = _Der()
BLOCKS = _Blocks()
AVPS_OF_PANA = Layout(8, 4, 2, align=4)
AVPS_OF_DRAFT = Layout(8, 4, 2, counted=8, align=4)
AVPS = Layout(8, 5, 3, counted=8, align=4)
ATTRIBUTES_OF_RADIUS = Layout(2, 1, 1, counted=2, behind=(0, 4))
PAYLOADS = Layout(4, 2, 2, counted=4, behind=(0, 4, 8, 12))
TYPED = Layout(3, 1, 2)
"""Payloads of IKE as the targets have them: type, length, body."""
ATTRIBUTES_OF_IKE = Layout(4, 2, 2, behind=(0, 4))
OPTIONS = Layout(4, 2, 2, behind=(0, 4, 12))
MOBILITY_OPTIONS = Layout(2, 1, 1, behind=(0, 4, 6, 10, 12))
NETLINK = Layout(4, 0, 2, counted=4, align=4, order="little", behind=(0, 8, 12, 16, 20))
RECORDS = Layout(5, 3, 2, behind=(0, 6, 10))
HANDSHAKE = Layout(4, 1, 3)

_VALUES = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, 0x20, 0x40, 4, 8, 16, 32, 64)


def scratch(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """Return octets altered without any knowledge of what they are."""
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 1, 1, 2, 4, 8, 16)))
    match rng.randrange(8):
        case 0 if at < len(data):
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1 | 2 if at < len(data):
            return data[:at] + bytes([rng.choice(_VALUES)]) + data[at + 1 :]
        case 3:
            return data[:at] + rng.randbytes(end - at) + data[end:]
        case 4:
            return data[:at] + data[end:]
        case 5:
            return data[:at] + data[at:end] * rng.choice((2, 2, 3, 17, 300)) + data[end:]
        case 6 if other:
            cut = rng.randrange(len(other))
            return data[:at] + other[cut : cut + rng.choice((1, 4, 16, 64))] + data[end:]
        case 7:
            return data[:at]
    return (
        data[:at] + rng.choice((b"\xff", b"\0", b"\0\0\0\0", b"\xff" * 4, b"\x7f\xff")) + data[at:]
    )


def rebuild(
    data: bytes, rng: random.Random, layouts: Sequence[Layout], other: bytes = b""
) -> bytes:
    """Return octets of which one value is altered, left out, doubled or moved; lengths are right.

    What no layout fits is scratched.
    """
    found = [
        (layout, start, items)
        for layout in layouts
        for start in layout.behind
        if start < len(data) and (items := layout.split(data[start:]))
    ]
    if not found or rng.random() < 0.1:
        return scratch(data, rng, other)
    layout, start, items = rng.choice(found)
    at = rng.randrange(len(items))
    head, value = items[at]
    match rng.randrange(8):
        case 0:
            del items[at]
        case 1:
            items[at:at] = [items[at]] * rng.choice((1, 1, 2, 40))
        case 2:
            items.insert(rng.randrange(len(items)), items.pop(at))
        case 3:
            items[at] = (scratch(head, rng).ljust(len(head), b"\0")[: len(head)], value)
        case 4:
            items[at] = (head, value * rng.choice((0, 2, 50)))
        case _:
            items[at] = (head, rebuild(value, rng, layouts, other))
    return data[:start] + layout.join(items)


def length_at(at: int, width: int, behind: int = 0) -> Fix:
    """Return what puts the length of all but the first octets into a header."""

    def fix(data: bytes) -> bytes:
        if len(data) < at + width:
            return data
        return (
            data[:at]
            + ((len(data) - behind) % (1 << 8 * width)).to_bytes(width)
            + data[at + width :]
        )

    return fix
