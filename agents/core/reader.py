"""Bounded reading of wire formats."""

from __future__ import annotations

from struct import Struct


class WireError(ValueError):
    """Bytes that do not follow the format they claim."""


class Reader:
    """Reads big-endian fields from a byte string and never past its end.

    Every method that reads raises WireError when too few octets are left.
    """

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._end = len(data)

    @property
    def remaining(self) -> int:
        """The number of octets not yet read."""
        return self._end - self._position

    def _advance(self, length: int) -> int:
        start, end = self._position, self._position + length
        if length < 0 or end > self._end:
            raise WireError(f"{length} octets wanted at offset {start}, {self.remaining} left")
        self._position = end
        return start

    def take(self, length: int) -> bytes:
        """Return the next `length` octets."""
        start = self._advance(length)
        return self._data[start : start + length]

    def fields(self, layout: Struct) -> tuple[int, ...]:
        """Return the next fields, laid out so."""
        return layout.unpack_from(self._data, self._advance(layout.size))

    def u8(self) -> int:
        """Return an unsigned integer of 8 bits."""
        return self._data[self._advance(1)]

    def u16(self) -> int:
        """Return an unsigned integer of 16 bits."""
        return int.from_bytes(self.take(2))

    def u24(self) -> int:
        """Return an unsigned integer of 24 bits."""
        return int.from_bytes(self.take(3))

    def u32(self) -> int:
        """Return an unsigned integer of 32 bits."""
        return int.from_bytes(self.take(4))

    def rest(self) -> bytes:
        """Return all octets that are left."""
        return self.take(self.remaining)

    def sub(self, length: int) -> Reader:
        """Return a reader over the next `length` octets only."""
        return Reader(self.take(length))

    def finish(self) -> None:
        """Raise WireError if octets are left."""
        if self.remaining:
            raise WireError(f"{self.remaining} octets left over at offset {self._position}")
