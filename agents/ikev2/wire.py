"""IKEv2 messages and the chain of payloads as octets (RFC 7296 sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple, Self

from agents.core.machine import PeerError
from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.ikev2.constants import Flag, NotifyType, PayloadType

HEADER_LENGTH = 28
_HEADER = Struct("!BBBBII")
"""What follows the SPIs."""

_ATTRIBUTE = Struct("!HH")
_GENERIC = Struct("!BBH")
GENERIC_HEADER = _GENERIC.size
SPI_LENGTH = 8
NO_SPI = bytes(SPI_LENGTH)
MAJOR_VERSION = 2
MAX_PAYLOADS = 64
_VERSION = MAJOR_VERSION << 4
_CRITICAL = 0x80
_KNOWN = frozenset(PayloadType)


class Header(Record, frozen=True):
    """The IKE header (section 3.1); the length of the message is computed when it is encoded."""

    spi_i: bytes
    spi_r: bytes
    exchange: int
    message_id: int
    initiator: bool
    """Whether the sender is the original initiator of the IKE SA."""

    response: bool

    @property
    def flags(self) -> int:
        """The octet of flags."""
        return (Flag.INITIATOR if self.initiator else 0) | (Flag.RESPONSE if self.response else 0)

    def encode(self, first: int, body_length: int) -> bytes:
        """Return the 28 octets in front of a body that starts with payload type `first`."""
        return (
            self.spi_i
            + self.spi_r
            + bytes((first, _VERSION, self.exchange, self.flags))
            + self.message_id.to_bytes(4)
            + (HEADER_LENGTH + body_length).to_bytes(4)
        )


class Message(NamedTuple):
    """A datagram: its header, the type of its first payload, what is behind, and all of it."""

    header: Header
    first: int
    body: bytes
    data: bytes


class LaterVersionError(WireError):
    """A message of a higher major version than this one; its header is all that is known of it."""

    def __init__(self, version: int, header: Header) -> None:
        super().__init__(f"major version {version}")
        self.header = header


def split_datagram(data: bytes) -> Message:
    """Return header and body of a datagram; raises WireError for another major version than 2."""
    r = Reader(data)
    spi_i, spi_r = r.take(SPI_LENGTH), r.take(SPI_LENGTH)
    first, octet, exchange, flags, message_id, length = r.fields(_HEADER)
    version = octet >> 4
    if version < MAJOR_VERSION:
        raise WireError(f"major version {version}")
    if length != len(data):
        raise WireError(f"the length field says {length}, the datagram has {len(data)}")
    if spi_i == NO_SPI:
        raise WireError("the initiator's SPI is zero")
    header = Header(
        spi_i,
        spi_r,
        exchange,
        message_id,
        initiator=bool(flags & Flag.INITIATOR),
        response=bool(flags & Flag.RESPONSE),
    )
    if version > MAJOR_VERSION:
        raise LaterVersionError(version, header)
    return Message(header, first, r.rest(), data)


class Payload(Record, frozen=True):
    """One payload: its type and what follows its generic header."""

    type: int
    body: bytes
    critical: bool = False

    def __repr__(self) -> str:
        """Show type and length alone, for a nonce or key is no matter of logs."""
        return f"Payload({self.type}, {len(self.body)} octets)"


def encode_chain(payloads: Sequence[Payload]) -> bytes:
    """Return payloads behind one another, each with its generic header (section 3.2)."""
    types = [p.type for p in payloads[1:]] + [0]
    return b"".join(
        _GENERIC.pack(following, _CRITICAL if p.critical else 0, len(p.body) + GENERIC_HEADER)
        + p.body
        for p, following in zip(payloads, types, strict=False)
    )


def decode_chain(first: int, data: bytes) -> tuple[Payload, ...]:
    """Return the payloads that start with type `first` and fill `data`.

    Raises PeerError for an unknown payload that is marked as critical (section 2.5).
    """
    r, following = Reader(data), first
    payloads: list[Payload] = []
    while following:
        if len(payloads) == MAX_PAYLOADS:
            raise WireError(f"more than {MAX_PAYLOADS} payloads")
        kind = following
        following, flags, length = r.fields(_GENERIC)
        if length < GENERIC_HEADER:
            raise WireError(f"a payload of {length} octets")
        critical = bool(flags & _CRITICAL)
        if critical and kind not in _KNOWN:
            code = NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD
            raise UnknownCriticalError(f"unknown critical payload {kind}", code, kind)
        payloads.append(Payload(kind, r.take(length - GENERIC_HEADER), critical))
    r.finish()
    return tuple(payloads)


class UnknownCriticalError(PeerError):
    """A payload of an unknown type that its sender holds for critical."""

    def __init__(self, reason: str, code: int, kind: int) -> None:
        super().__init__(reason, code)
        self.kind = kind


def encode_plain(header: Header, payloads: Sequence[Payload]) -> bytes:
    """Return a message in clear."""
    body = encode_chain(payloads)
    return header.encode(payloads[0].type if payloads else 0, len(body)) + body


def decode_list(r: Reader, kind: int) -> list[Reader]:
    """Return the bodies of substructures that say in front whether another one follows."""
    bodies: list[Reader] = []
    more = kind
    while more:
        if more != kind:
            raise WireError(f"substructure {more} among those of type {kind}")
        more, _, length = r.fields(_GENERIC)
        if length < GENERIC_HEADER:
            raise WireError(f"a substructure of {length} octets")
        bodies.append(r.sub(length - GENERIC_HEADER))
    r.finish()
    return bodies


def encode_list(bodies: Sequence[bytes], kind: int) -> bytes:
    """Return substructures behind one another."""
    last = len(bodies) - 1
    return b"".join(
        _GENERIC.pack(0 if number == last else kind, 0, len(b) + GENERIC_HEADER) + b
        for number, b in enumerate(bodies)
    )


class Attribute(Record, frozen=True):
    """A data attribute, short (type, value) or long (type, length, value) (section 3.3.5)."""

    type: int
    value: bytes
    short: bool = True

    @classmethod
    def decode(cls, r: Reader) -> Self:
        """Read one attribute."""
        kind, number = r.fields(_ATTRIBUTE)
        if kind & 0x8000:
            return cls(kind & 0x7FFF, number.to_bytes(2))
        return cls(kind, r.take(number), short=False)

    def encode(self) -> bytes:
        """Return the attribute's octets."""
        if self.short:
            return (self.type | 0x8000).to_bytes(2) + self.value
        return self.type.to_bytes(2) + len(self.value).to_bytes(2) + self.value
