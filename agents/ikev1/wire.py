"""ISAKMP messages and payloads as octets (RFC 2408 section 3, RFC 2407 section 4.6)."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple, Self

from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.ikev1.constants import DOI_IPSEC, SITUATION_IDENTITY_ONLY, Flag, PayloadType

HEADER_LENGTH = 28
COOKIE_LENGTH = 8
NO_COOKIE = bytes(COOKIE_LENGTH)
VERSION = 0x10
MAX_PAYLOADS = 64
MAX_PADDING = 32
"""More octets behind the last payload of a decrypted message are an error, not padding."""

_HEADER = Struct("!8s8sBBBBII")
_GENERIC = Struct("!BxH")
_GENERIC_HEADER = _GENERIC.size
_SHORT = 0x8000
_PROPOSAL, _TRANSFORM, _ATTRIBUTE = Struct("!BBBB"), Struct("!BBH"), Struct("!HH")


class Header(Record, frozen=True):
    """The ISAKMP header (RFC 2408 section 3.1); `length` counts the header too."""

    initiator_cookie: bytes
    responder_cookie: bytes
    next_payload: int
    exchange: int
    flags: int
    message_id: int
    length: int

    @property
    def encrypted(self) -> bool:
        """Whether the payloads are encrypted."""
        return bool(self.flags & Flag.ENCRYPTED)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a header; raises WireError for another major version than 1."""
        if len(data) < HEADER_LENGTH:
            raise WireError(f"{len(data)} octets are no header")
        initiator, responder, following, version, *others = _HEADER.unpack_from(data)
        if version >> 4 != VERSION >> 4:
            raise WireError(f"major version {version >> 4}")
        return cls(initiator, responder, following, *others)

    def encode(self) -> bytes:
        """Return the 28 octets of the header."""
        return _HEADER.pack(
            self.initiator_cookie,
            self.responder_cookie,
            self.next_payload,
            VERSION,
            self.exchange,
            self.flags,
            self.message_id,
            self.length,
        )


class Message(NamedTuple):
    """A datagram: its header, the octets behind it, and all of it."""

    header: Header
    body: bytes
    data: bytes


def split_datagram(data: bytes) -> Message:
    """Return the header and the octets behind it; the length field must fit the datagram."""
    header = Header.decode(data)
    if header.length != len(data):
        raise WireError(f"the length field says {header.length}, the datagram has {len(data)}")
    if header.initiator_cookie == NO_COOKIE:
        raise WireError("the initiator cookie is zero")
    return Message(header, data[HEADER_LENGTH:], data)


class Payload(Record, frozen=True):
    """One payload: its type and what follows its generic header."""

    type: int
    body: bytes

    def __repr__(self) -> str:
        """Show type and length alone, for a nonce or hash is no matter of logs."""
        return f"Payload({self.type}, {len(self.body)} octets)"


def encode_chain(payloads: Sequence[Payload]) -> bytes:
    """Return payloads behind one another, each with its generic header (section 3.2)."""
    types = [p.type for p in payloads[1:]] + [0]
    return b"".join(
        [
            _GENERIC.pack(following, len(p.body) + _GENERIC_HEADER) + p.body
            for p, following in zip(payloads, types, strict=True)
        ]
    )


def decode_chain(first: int, data: bytes) -> tuple[tuple[Payload, ...], int]:
    """Return the payloads that start with type `first` and the number of octets they take."""
    current, start = first, 0
    payloads: list[Payload] = []
    while current:
        if len(payloads) == MAX_PAYLOADS:
            raise WireError(f"more than {MAX_PAYLOADS} payloads")
        following, body, end = _payload_at(data, start)
        payloads.append(Payload(current, data[body:end]))
        current, start = following, end
    return tuple(payloads), start


def _payload_at(data: bytes, start: int) -> tuple[int, int, int]:
    """Return the type of the payload behind the one at `start`, and where this one's body lies."""
    body = start + _GENERIC_HEADER
    if len(data) < body:
        raise WireError(f"{len(data) - start} octets are no payload")
    following, length = _GENERIC.unpack_from(data, start)
    if not body <= start + length <= len(data):
        raise WireError(f"a payload of {length} octets with {len(data) - start} left")
    return following, body, start + length


def decode_plain(first: int, data: bytes) -> tuple[Payload, ...]:
    """Return the payloads of a message that is not encrypted; leftovers are an error."""
    payloads, used = decode_chain(first, data)
    if used != len(data):
        raise WireError(f"{len(data) - used} octets behind the last payload")
    return payloads


def decode_padded(first: int, data: bytes) -> tuple[tuple[Payload, ...], bytes]:
    """Return the payloads of a decrypted message and their octets without the padding."""
    payloads, used = decode_chain(first, data)
    if len(data) - used > MAX_PADDING:
        raise WireError(f"{len(data) - used} octets behind the last payload")
    return payloads, data[:used]


class Attribute(Record, frozen=True):
    """A data attribute, short (type, value) or long (type, length, value) (section 3.3)."""

    type: int
    value: bytes
    short: bool

    @property
    def number(self) -> int:
        """The value as an unsigned integer."""
        return int.from_bytes(self.value)

    @property
    def seconds(self) -> float:
        """The value as a duration, which may have any length; from 2^32 s on it is for ever."""
        return float(min(self.number, 1 << 32))

    @classmethod
    def of(cls, kind: int, number: int) -> Self:
        """Return an attribute in the shortest form that its number allows."""
        short = number < 1 << 16
        return cls(kind, number.to_bytes(2 if short else 4), short)

    @classmethod
    def decode(cls, data: bytes, start: int) -> tuple[Self, int]:
        """Return the attribute that starts there, and where the next one does."""
        value = start + _ATTRIBUTE.size
        if len(data) < value:
            raise WireError(f"{len(data) - start} octets are no attribute")
        kind, number = _ATTRIBUTE.unpack_from(data, start)
        if kind & _SHORT:
            return cls(kind & ~_SHORT, data[start + 2 : value], True), value
        if len(data) < value + number:
            raise WireError(f"an attribute of {number} octets with {len(data) - value} left")
        return cls(kind, data[value : value + number], False), value + number

    def encode(self) -> bytes:
        """Return the attribute's octets."""
        if self.short:
            return (self.type | _SHORT).to_bytes(2) + self.value
        return self.type.to_bytes(2) + len(self.value).to_bytes(2) + self.value


def decode_attributes(data: bytes, start: int) -> tuple[Attribute, ...]:
    """Return the attributes from `start` to the end."""
    attributes = []
    while start < len(data):
        attribute, start = Attribute.decode(data, start)
        attributes.append(attribute)
    return tuple(attributes)


def _decode_list(kind: int, data: bytes) -> list[bytes]:
    """Return the bodies of proposals or transforms, each of which names the next one's type."""
    following, start = kind, 0
    bodies = []
    while following:
        if following != kind:
            raise WireError(f"payload type {following} among those of type {kind}")
        following, body, end = _payload_at(data, start)
        bodies.append(data[body:end])
        start = end
    if start != len(data):
        raise WireError(f"{len(data) - start} octets behind the last payload")
    return bodies


class Transform(Record, frozen=True):
    """A transform of a proposal (section 3.6)."""

    number: int
    identifier: int
    attributes: tuple[Attribute, ...]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the transform behind its generic header."""
        start = _TRANSFORM.size
        if len(body) < start:
            raise WireError(f"{len(body)} octets are no transform")
        number, identifier, _ = _TRANSFORM.unpack_from(body)
        return cls(number, identifier, decode_attributes(body, start))

    def encode(self) -> bytes:
        """Return the transform without its generic header."""
        head = bytes((self.number, self.identifier, 0, 0))
        return head + b"".join([a.encode() for a in self.attributes])


class Proposal(Record, frozen=True):
    """A proposal with its transforms (section 3.5)."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the proposal behind its generic header."""
        r = Reader(body)
        number, protocol, spi_length, count = r.fields(_PROPOSAL)
        spi, rest = r.take(spi_length), r.rest()
        bodies = _decode_list(PayloadType.TRANSFORM, rest) if count or rest else []
        if len(bodies) != count:
            raise WireError(f"{count} transforms announced, {len(bodies)} found")
        return cls(number, protocol, spi, tuple([Transform.decode(one) for one in bodies]))

    def encode(self) -> bytes:
        """Return the proposal without its generic header."""
        chain = encode_chain([Payload(PayloadType.TRANSFORM, t.encode()) for t in self.transforms])
        head = bytes((self.number, self.protocol, len(self.spi), len(self.transforms)))
        return head + self.spi + chain


class SecurityAssociation(Record, frozen=True):
    """The body of an SA payload of the IPsec DOI (section 3.4, RFC 2407 section 4.6.1)."""

    proposals: tuple[Proposal, ...]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body; raises WireError for another DOI or situation."""
        r = Reader(body)
        doi, situation = r.u32(), r.u32()
        if doi != DOI_IPSEC or situation != SITUATION_IDENTITY_ONLY:
            raise WireError(f"DOI {doi}, situation {situation}")
        bodies = _decode_list(PayloadType.PROPOSAL, r.rest())
        return cls(tuple([Proposal.decode(one) for one in bodies]))

    def encode(self) -> bytes:
        """Return the body."""
        head = DOI_IPSEC.to_bytes(4) + SITUATION_IDENTITY_ONLY.to_bytes(4)
        return head + encode_chain(
            [Payload(PayloadType.PROPOSAL, p.encode()) for p in self.proposals]
        )


class Notification(Record, frozen=True):
    """The body of a notification payload (section 3.14)."""

    protocol: int
    type: int
    spi: bytes = b""
    data: bytes = b""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        r = Reader(body)
        r.u32()  # ISAKMP's own notifications come with DOI 0 as well as with the IPsec DOI.
        protocol, spi_length, kind = r.u8(), r.u8(), r.u16()
        return cls(protocol, kind, r.take(spi_length), r.rest())

    def encode(self) -> bytes:
        """Return the body."""
        head = DOI_IPSEC.to_bytes(4) + bytes((self.protocol, len(self.spi)))
        return head + self.type.to_bytes(2) + self.spi + self.data


class Deletion(Record, frozen=True):
    """The body of a delete payload (section 3.15)."""

    protocol: int
    spis: tuple[bytes, ...]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        r = Reader(body)
        r.u32()  # The DOI.
        protocol, spi_length, count = r.u8(), r.u8(), r.u16()
        spis = tuple(r.take(spi_length) for _ in range(count)) if spi_length else ()
        r.finish()
        return cls(protocol, spis)

    def encode(self) -> bytes:
        """Return the body; the SPIs have one length."""
        head = DOI_IPSEC.to_bytes(4) + bytes((self.protocol, len(self.spis[0])))
        return head + len(self.spis).to_bytes(2) + b"".join(self.spis)
