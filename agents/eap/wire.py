"""EAP packets (RFC 3748 section 4) and EAP-TLS data with its fragments (RFC 5216 section 3)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Self

from agents.core.reader import Reader, WireError
from agents.core.record import Record

MAXIMUM_MESSAGE = 65536
"""The largest TLS message, in octets, that is reassembled (RFC 5216 section 2.1.5)."""


_HEADER = Struct("!BBH")


class Code(IntEnum):
    """EAP codes (RFC 3748 section 4)."""

    REQUEST = 1
    RESPONSE = 2
    SUCCESS = 3
    FAILURE = 4


_CODES = {code.value: code for code in Code}


class Type(IntEnum):
    """EAP types (RFC 3748 section 5) that this package handles."""

    IDENTITY = 1
    NOTIFICATION = 2
    NAK = 3
    TLS = 13


FIRST_METHOD = 4
"""Types from here on are authentication methods (RFC 3748 section 5)."""


class Packet(Record, frozen=True):
    """One EAP packet (RFC 3748 section 4); `type` is None in Success and Failure."""

    code: Code
    identifier: int
    type: int | None = None
    data: bytes = b""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a packet; octets beyond the length field are padding of the lower layer."""
        if len(data) < 4:
            raise WireError(f"{len(data)} octets are no EAP packet")
        number, identifier, length = _HEADER.unpack_from(data)
        if not 4 <= length <= len(data):
            raise WireError(f"the EAP length is {length} in {len(data)} octets")
        code = _CODES.get(number)
        if code is None:
            raise WireError(f"unknown EAP code {number}")
        if code in (Code.REQUEST, Code.RESPONSE):
            if length == 4:
                raise WireError("an EAP packet without its type")
            return cls(code, identifier, data[4], data[5:length])
        if length > 4:
            raise WireError(f"an EAP packet of code {number} with {length} octets")
        return cls(code, identifier)

    def encode(self) -> bytes:
        """Return the packet's octets."""
        body = b"" if self.type is None else bytes([self.type]) + self.data
        length = 4 + len(body)
        return bytes([self.code, self.identifier]) + length.to_bytes(2) + body


LENGTH_FLAG = 0x80
MORE_FLAG = 0x40
START_FLAG = 0x20


class TlsData(Record, frozen=True):
    """What follows the type in an EAP-TLS packet (RFC 5216 section 3.1)."""

    data: bytes = b""
    length: int | None = None
    more: bool = False
    start: bool = False

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read flags, length if its flag is set, and TLS data; reserved flags are ignored."""
        r = Reader(data)
        flags = r.u8()
        length = r.u32() if flags & LENGTH_FLAG else None
        return cls(r.rest(), length, bool(flags & MORE_FLAG), bool(flags & START_FLAG))

    def encode(self) -> bytes:
        """Return the octets that follow the type."""
        flags = MORE_FLAG * self.more | START_FLAG * self.start
        if self.length is None:
            return bytes([flags]) + self.data
        return bytes([flags | LENGTH_FLAG]) + self.length.to_bytes(4) + self.data

    @property
    def is_empty(self) -> bool:
        """Whether this acknowledges: neither TLS data nor a promise of more."""
        return not self.data and not self.more and not self.start


def fragment(message: bytes, size: int) -> list[TlsData]:
    """Split a TLS message into packets with at most `size` octets of it each.

    The length is given in the first of several fragments only: a message in one piece
    must not carry it (RFC 9190 section 2.1.9).
    """
    if len(message) <= size:
        return [TlsData(message)]
    pieces = [message[i : i + size] for i in range(0, len(message), size)]
    last = len(pieces) - 1
    return [
        TlsData(piece, len(message) if i == 0 else None, more=i < last)
        for i, piece in enumerate(pieces)
    ]


class Reassembly:
    """Collects the fragments of one TLS message after another (RFC 5216 section 2.1.5)."""

    def __init__(self) -> None:
        self._buffer = b""
        self._length: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no message has begun."""
        return not self._buffer

    def add(self, part: TlsData) -> bytes | None:
        """Return the message if `part` completes it, else None.

        Raises WireError, and keeps what was collected, if `part` does not fit.
        """
        collected = self._buffer + part.data
        length = self._length if self._length is not None else part.length
        if part.length is not None and part.length != length:
            raise WireError(f"the TLS message length changed from {length} to {part.length}")
        if part.more and not part.data:
            raise WireError("a fragment without data")
        if part.more and length is None:
            raise WireError("the first fragment does not give the TLS message length")
        if max(len(collected), length or 0) > MAXIMUM_MESSAGE:
            raise WireError(f"a TLS message of more than {MAXIMUM_MESSAGE} octets")
        if length is not None and not self._fits(len(collected), length, part.more):
            raise WireError(f"{len(collected)} octets of a TLS message of {length}")
        if part.more:
            self._buffer, self._length = collected, length
            return None
        self._buffer, self._length = b"", None
        return collected

    @staticmethod
    def _fits(collected: int, length: int, more: bool) -> bool:
        return collected < length if more else collected == length
