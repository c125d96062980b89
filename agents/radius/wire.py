"""RADIUS packets and attributes (RFC 2865 sections 3 and 5)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import Self

from agents.core.reader import WireError
from agents.core.record import Record, Secret

PORT = 1812
ACCOUNTING_PORT = 1813

HEADER_LENGTH = 20
AUTHENTICATOR_LENGTH = 16
MAXIMUM_LENGTH = 4096
LONGEST_VALUE = 253
VENDOR_SPECIFIC = 26

_VENDOR_HEADER = 6
"""Octets of a vendor's number, type and length, which counts itself and the type."""

_HEADER = Struct("!BBH16s")


class Code(IntEnum):
    """What a packet is (RFC 2865 section 3, RFC 2866 section 3)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11


class Attribute(Record, frozen=True):
    """One attribute, or one of a vendor's in a Vendor-Specific attribute of its own."""

    type: int
    value: Secret[bytes]
    vendor: int | None = None

    def encode(self) -> bytes:
        """Return the attribute; ValueError if it is too long."""
        if self.vendor is None:
            return _tlv(self.type, self.value)
        inner = _tlv(self.type, self.value)
        return _tlv(VENDOR_SPECIFIC, self.vendor.to_bytes(4) + inner)


def _tlv(kind: int, value: bytes) -> bytes:
    if len(value) > LONGEST_VALUE:
        raise ValueError(f"attribute {kind} is too long: {len(value)} octets")
    return bytes((kind, len(value) + 2)) + value


def room(vendor: int | None) -> int:
    """Return how many octets a value can have."""
    return LONGEST_VALUE if vendor is None else LONGEST_VALUE - _VENDOR_HEADER


class Packet(Record, frozen=True):
    """A RADIUS packet; an answer's `authenticator` is the Response Authenticator."""

    code: int
    identifier: int
    authenticator: bytes
    attributes: tuple[Attribute, ...] = ()

    def encode(self) -> bytes:
        """Return the packet; ValueError if it is too long."""
        body = b"".join([attribute.encode() for attribute in self.attributes])
        length = HEADER_LENGTH + len(body)
        if length > MAXIMUM_LENGTH:
            raise ValueError(f"a packet of {length} octets; at most {MAXIMUM_LENGTH} may be sent")
        return _HEADER.pack(self.code, self.identifier, length, self.authenticator) + body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a packet, without what is behind its end; raises WireError."""
        if len(data) < HEADER_LENGTH:
            raise WireError(f"{len(data)} octets are no packet")
        code, identifier, length, authenticator = _HEADER.unpack_from(data)
        if not HEADER_LENGTH <= length <= min(len(data), MAXIMUM_LENGTH):
            raise WireError(f"a packet of {len(data)} octets gives {length} as its length")
        attributes = tuple(_attributes(data, HEADER_LENGTH, length))
        return cls(code, identifier, authenticator, attributes)

    def value(self, kind: int) -> bytes | None:
        """Return the value of the first attribute of a type, None if there is none."""
        for attribute in self.attributes:
            if attribute.type == kind and attribute.vendor is None:
                return attribute.value
        return None


def _attributes(data: bytes, start: int, end: int) -> Iterable[Attribute]:
    while start < end:
        kind, value, following = _next(data, start, end)
        start = following
        if kind == VENDOR_SPECIFIC and (inner := _of_vendor(value)):
            yield from inner
        else:
            yield Attribute(kind, value)


def _next(data: bytes, start: int, end: int) -> tuple[int, bytes, int]:
    """Return type and value of the attribute at `start`, and where the next one is."""
    if end - start < 2:
        raise WireError(f"{end - start} octet is no attribute")
    kind, length = data[start], data[start + 1]
    following = start + length
    if length < 2 or following > end:
        raise WireError(f"attribute {kind}: length {length} with {end - start} octets left")
    return kind, data[start + 2 : following], following


def _of_vendor(value: bytes) -> list[Attribute]:
    """Return the attributes in a Vendor-Specific one; none if it is not laid out as usual."""
    vendor, found, start = int.from_bytes(value[:4]), list[Attribute](), 4
    try:
        while start < len(value):
            kind, inner, start = _next(value, start, len(value))
            found.append(Attribute(kind, inner, vendor))
    except WireError:
        return []
    return found
