"""The bodies of the payloads (RFC 7296 sections 3.3 to 3.16, RFC 5026 section 8.2)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from struct import Struct
from typing import Self

from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.ike.constants import ICMPV6, MOBILITY_HEADER
from agents.ikev2.constants import (
    KEY_LENGTH,
    TS_IPV6_ADDR_RANGE,
    ConfigAttribute,
    PayloadType,
    ProtocolId,
)
from agents.ikev2.wire import Attribute, Payload, decode_list, encode_list

MAX_PROPOSALS = 64
_HEADER, _PROPOSAL_HEADER = Struct("!BBH"), Struct("!BBBB")
_PROPOSAL, _TRANSFORM = 2, 3
_HOME_PREFIX_LENGTH = 21


class Transform(Record, frozen=True):
    """A transform of a proposal (section 3.3.2); `key_bits` if its attributes say nothing else."""

    type: int
    identifier: int
    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def of(cls, kind: int, identifier: int, key_bits: int | None = None) -> Self:
        """Return a transform, with a key length if one is given."""
        if key_bits is None:
            return cls(kind, identifier)
        return cls(kind, identifier, (Attribute(KEY_LENGTH, key_bits.to_bytes(2)),))

    @classmethod
    def decode(cls, r: Reader) -> Self:
        """Read the transform behind its generic header."""
        kind, _, identifier = r.fields(_HEADER)
        attributes = []
        while r.remaining:
            attributes.append(Attribute.decode(r))
        return cls(kind, identifier, tuple(attributes))

    def encode(self) -> bytes:
        """Return the transform without its generic header."""
        head = bytes((self.type, 0)) + self.identifier.to_bytes(2)
        return head + b"".join(a.encode() for a in self.attributes)


class Proposal(Record, frozen=True):
    """A proposal with its transforms (section 3.3.1)."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]

    @classmethod
    def decode(cls, r: Reader) -> Self:
        """Read the proposal behind its generic header."""
        number, protocol, spi_length, count = r.fields(_PROPOSAL_HEADER)
        spi, rest = r.take(spi_length), r.rest()
        decode = _known_transforms if len(rest) <= _MAX_KNOWN else _transforms
        return cls(number, protocol, spi, decode(rest, count))

    def encode(self) -> bytes:
        """Return the proposal without its generic header."""
        head = bytes((self.number, self.protocol, len(self.spi), len(self.transforms)))
        return head + self.spi + _encoded(self.transforms)


def _transforms(data: bytes, count: int) -> tuple[Transform, ...]:
    r = Reader(data)
    found = decode_list(r, _TRANSFORM) if count else []
    r.finish()
    if len(found) != count:
        raise WireError(f"{count} transforms announced, {len(found)} found")
    return tuple(Transform.decode(t) for t in found)


_MAX_KNOWN = 256
"""Octets of transforms that are remembered once they have been read."""

_known_transforms = lru_cache(maxsize=64)(_transforms)  # Peers propose the same every time.


@lru_cache(maxsize=64)
def _encoded(transforms: tuple[Transform, ...]) -> bytes:
    return encode_list([t.encode() for t in transforms], _TRANSFORM)


class SecurityAssociation(Record, frozen=True):
    """The body of an SA payload (section 3.3)."""

    proposals: tuple[Proposal, ...]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        found = decode_list(Reader(body), _PROPOSAL)
        if len(found) > MAX_PROPOSALS:
            raise WireError(f"{len(found)} proposals")
        return cls(tuple(Proposal.decode(p) for p in found))

    def encode(self) -> bytes:
        """Return the body."""
        return encode_list([p.encode() for p in self.proposals], _PROPOSAL)


class KeyExchange(Record, frozen=True):
    """The body of a KE payload (section 3.4)."""

    group: int
    public: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        r = Reader(body)
        group, _ = r.u16(), r.u16()
        return cls(group, r.rest())

    def encode(self) -> bytes:
        """Return the body."""
        return self.group.to_bytes(2) + b"\0\0" + self.public


class Tagged(Record, frozen=True):
    """A body of one octet and data: CERT and CERTREQ (sections 3.6, 3.7)."""

    encoding: int
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        r = Reader(body)
        return cls(r.u8(), r.rest())

    def encode(self) -> bytes:
        """Return the body."""
        return bytes([self.encoding]) + self.data


class Authentication(Record, frozen=True):
    """The body of an AUTH payload (section 3.8)."""

    method: int
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        r = Reader(body)
        method = r.u8()
        r.u24()  # Reserved.
        return cls(method, r.rest())

    def encode(self) -> bytes:
        """Return the body."""
        return bytes((self.method, 0, 0, 0)) + self.data


class Notification(Record, frozen=True):
    """The body of a notify payload (section 3.10)."""

    type: int
    data: bytes = b""
    protocol: int = ProtocolId.NONE
    spi: bytes = b""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        r = Reader(body)
        protocol, spi_length, kind = r.fields(_HEADER)
        spi = r.take(spi_length)
        return cls(kind, r.rest(), protocol, spi)

    def encode(self) -> bytes:
        """Return the body."""
        head = bytes((self.protocol, len(self.spi))) + self.type.to_bytes(2)
        return head + self.spi + self.data

    def payload(self) -> Payload:
        """Return the whole payload."""
        return Payload(PayloadType.NOTIFY, self.encode())


class Deletion(Record, frozen=True):
    """The body of a delete payload (section 3.11); for IKE there are no SPIs."""

    protocol: int
    spis: tuple[bytes, ...] = ()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        r = Reader(body)
        protocol, spi_length, count = r.fields(_HEADER)
        if not spi_length and count:
            raise WireError(f"{count} SPIs of no length")
        spis = tuple(r.take(spi_length) for _ in range(count))
        r.finish()
        return cls(protocol, spis)

    def encode(self) -> bytes:
        """Return the body; the SPIs have one length."""
        length = len(self.spis[0]) if self.spis else 0
        head = bytes((self.protocol, length)) + len(self.spis).to_bytes(2)
        return head + b"".join(self.spis)


class TrafficSelector(Record, frozen=True):
    """A range of IPv6 addresses and ports of one protocol, 0 for all (section 3.13.1).

    A Mobility Header type lies in the upper eight bits of a port.
    """

    protocol: int
    first: IPv6Address
    last: IPv6Address
    first_port: int = 0
    last_port: int = 0xFFFF

    @classmethod
    def of(cls, address: IPv6Address, protocol: int, message: int | None = None) -> Self:
        """Return the selector of one address, of one type of message if there is one."""
        if message is None:
            return cls(protocol, address, address)
        return cls(protocol, address, address, message << 8, message << 8)

    @property
    def every_port(self) -> bool:
        """Whether the ports are ANY."""
        return (self.first_port, self.last_port) == (0, 0xFFFF)

    @property
    def message(self) -> int | None:
        """The one type of Mobility Header or ICMPv6 that this is for; None if not one.

        The lower bits, ICMPv6's code, may be any (RFC 7296 section 3.13.1).
        """
        message = self.first_port >> 8
        if self.protocol not in (MOBILITY_HEADER, ICMPV6) or self.first_port & 0xFF:
            return None
        return message if self.first_port <= self.last_port <= (message << 8 | 0xFF) else None

    @classmethod
    def anywhere(cls, protocol: int) -> Self:
        """Return the selector of all addresses."""
        return cls(protocol, IPv6Address(0), IPv6Address(2**128 - 1))

    def encode(self) -> bytes:
        """Return the selector with its head."""
        ports = self.first_port.to_bytes(2) + self.last_port.to_bytes(2)
        addresses = self.first.packed + self.last.packed
        return bytes((TS_IPV6_ADDR_RANGE, self.protocol, 0, 40)) + ports + addresses


def encode_selectors(selectors: tuple[TrafficSelector, ...]) -> bytes:
    """Return the body of a TS payload (section 3.13)."""
    return bytes((len(selectors), 0, 0, 0)) + b"".join(s.encode() for s in selectors)


def decode_selectors(body: bytes) -> tuple[TrafficSelector, ...]:
    """Read the body of a TS payload; selectors of other types than IPv6 are left out."""
    r = Reader(body)
    count, _ = r.u8(), r.u24()
    found = []
    for _ in range(count):
        kind, protocol, length = r.fields(_HEADER)
        s = r.sub(length - 4)
        if kind != TS_IPV6_ADDR_RANGE:
            continue
        ports = s.u16(), s.u16()
        first, last = IPv6Address(s.take(16)), IPv6Address(s.take(16))
        s.finish()
        found.append(TrafficSelector(protocol, first, last, *ports))
    r.finish()
    return tuple(found)


class Configuration(Record, frozen=True):
    """The body of a configuration payload (section 3.15): attributes by type, in their order."""

    kind: int
    attributes: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body."""
        r = Reader(body)
        kind, _ = r.u8(), r.u24()
        attributes = []
        while r.remaining:
            attribute = r.u16() & 0x7FFF
            attributes.append((attribute, r.take(r.u16())))
        return cls(kind, tuple(attributes))

    def encode(self) -> bytes:
        """Return the body."""
        return bytes((self.kind, 0, 0, 0)) + b"".join(
            kind.to_bytes(2) + len(value).to_bytes(2) + value for kind, value in self.attributes
        )

    def asks_for(self, kind: int) -> bool:
        """Return whether there is an attribute of this type."""
        return any(k == kind for k, _ in self.attributes)

    @property
    def address(self) -> tuple[IPv6Address, int] | None:
        """The first INTERNAL_IP6_ADDRESS and its prefix length; None if none has a value.

        Some daemons leave the prefix length out; it counts as 128.
        """
        for kind, value in self.attributes:
            if kind == ConfigAttribute.INTERNAL_IP6_ADDRESS and len(value) in (16, 17):
                bits = value[16] if len(value) > 16 else 128
                if bits <= 128:
                    return IPv6Address(value[:16]), bits
        return None

    @property
    def home_prefix(self) -> tuple[IPv6Network, int] | None:
        """The MIP6_HOME_PREFIX and its lifetime in seconds (RFC 5026 section 8.2)."""
        for kind, value in self.attributes:
            if kind == ConfigAttribute.MIP6_HOME_PREFIX and len(value) == _HOME_PREFIX_LENGTH:
                r = Reader(value)
                lifetime, prefix, bits = r.u32(), r.take(16), r.u8()
                if bits <= 128:
                    return IPv6Network((prefix, bits), strict=False), lifetime
        return None


def address_attribute(address: IPv6Address, prefix_length: int) -> tuple[int, bytes]:
    """Return an INTERNAL_IP6_ADDRESS (section 3.15.1)."""
    return ConfigAttribute.INTERNAL_IP6_ADDRESS, address.packed + bytes([prefix_length])


def prefix_attribute(prefix: IPv6Network, lifetime: int) -> tuple[int, bytes]:
    """Return a MIP6_HOME_PREFIX; `lifetime` in seconds (RFC 5026 section 8.2)."""
    value = lifetime.to_bytes(4) + prefix.network_address.packed + bytes([prefix.prefixlen])
    return ConfigAttribute.MIP6_HOME_PREFIX, value
