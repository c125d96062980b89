"""DHCPv6 messages and options (RFC 8415 sections 8, 9 and 21)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Self

from agents.core.folding import ascii_lower
from agents.core.reader import Reader, WireError
from agents.core.record import Record

CLIENT_PORT = 546
SERVER_PORT = 547
ALL_RELAY_AGENTS_AND_SERVERS = "ff02::1:2"
ALL_SERVERS = "ff05::1:3"
HOP_COUNT_LIMIT = 8
"""RFC 8415 sections 7.1, 7.2 and 7.6."""

_MAX_DUID = 130
_MAX_NAME = 255
_MAX_LABEL = 63


class MessageType(IntEnum):
    """What a message is for (RFC 8415 section 7.3)."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    RECONFIGURE = 10
    INFORMATION_REQUEST = 11
    RELAY_FORWARD = 12
    RELAY_REPLY = 13


class OptionCode(IntEnum):
    """Options that have a meaning here (RFC 8415 section 21, 6422, 6610)."""

    CLIENT_ID = 1
    SERVER_ID = 2
    ORO = 6
    ELAPSED_TIME = 8
    RELAY_MSG = 9
    STATUS_CODE = 13
    INTERFACE_ID = 18
    INFORMATION_REFRESH_TIME = 32
    MIP6_HNIDF = 49
    MIP6_VDINF = 50
    RSOO = 66
    MIP6_IDINF = 69
    MIP6_UDINF = 70
    MIP6_HNP = 71
    MIP6_HAA = 72
    MIP6_HAF = 73
    INF_MAX_RT = 83


class Status(IntEnum):
    """Status codes (RFC 8415 section 21.13)."""

    SUCCESS = 0
    UNSPEC_FAIL = 1
    NO_ADDRS_AVAIL = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    USE_MULTICAST = 5
    NO_PREFIX_AVAIL = 6


class Option(Record, frozen=True):
    """One option; a code without a meaning here survives as a plain number."""

    code: int
    value: bytes

    @classmethod
    def decode(cls, r: Reader) -> Self:
        """Read one option (RFC 8415 section 21.1)."""
        code, length = r.u16(), r.u16()
        return cls(code, r.take(length))

    def encode(self) -> bytes:
        """Return the option's octets; ValueError if its value is too long for the length field."""
        if len(self.value) > 0xFFFF:
            raise ValueError(f"option {self.code} with {len(self.value)} octets")
        return self.code.to_bytes(2) + len(self.value).to_bytes(2) + self.value

    @classmethod
    def number(cls, code: int, value: int, length: int) -> Self:
        """Return an option that holds one unsigned integer of `length` octets."""
        return cls(code, value.to_bytes(length))

    @classmethod
    def container(cls, code: int, options: Iterable[Option]) -> Self:
        """Return an option that encapsulates options."""
        return cls(code, encode_options(options))

    def as_number(self, length: int) -> int:
        """Return the value as an unsigned integer; WireError if it is not of `length` octets."""
        if len(self.value) != length:
            raise WireError(f"option {self.code} has {len(self.value)} octets, not {length}")
        return int.from_bytes(self.value)

    def as_options(self) -> tuple[Option, ...]:
        """Return the options that this one encapsulates."""
        return decode_options(Reader(self.value))


def decode_options(r: Reader) -> tuple[Option, ...]:
    """Read options until nothing is left."""
    options = []
    while r.remaining:
        options.append(Option.decode(r))
    return tuple(options)


def encode_options(options: Iterable[Option]) -> bytes:
    """Return the octets of options, one behind the other."""
    return b"".join(option.encode() for option in options)


class _Options:
    """Access to the options of a message by code."""

    __slots__ = ()
    options: tuple[Option, ...]

    def all(self, code: int) -> tuple[Option, ...]:
        """Return every option of this code, in order."""
        return tuple(option for option in self.options if option.code == code)

    def first(self, code: int) -> Option | None:
        """Return the first option of this code, None if there is none."""
        return next((option for option in self.options if option.code == code), None)

    def value(self, code: int) -> bytes | None:
        """Return the value of the first option of this code, None if there is none."""
        option = self.first(code)
        return None if option is None else option.value


class Message(Record, _Options, frozen=True):
    """A message between client and server (RFC 8415 section 8)."""

    kind: int
    transaction_id: int
    options: tuple[Option, ...] = ()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a whole datagram; WireError also for a relay agent's message."""
        r = Reader(data)
        kind, transaction_id = r.u8(), r.u24()
        if kind in (MessageType.RELAY_FORWARD, MessageType.RELAY_REPLY):
            raise WireError("a relay agent's message where a client's or server's is expected")
        return cls(kind, transaction_id, decode_options(r))

    def encode(self) -> bytes:
        """Return the message's octets."""
        head = self.kind.to_bytes(1) + self.transaction_id.to_bytes(3)
        return head + encode_options(self.options)


class RelayMessage(Record, _Options, frozen=True):
    """Relay-forward or Relay-reply (RFC 8415 section 9)."""

    kind: int
    hop_count: int
    link_address: IPv6Address
    peer_address: IPv6Address
    options: tuple[Option, ...] = ()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a whole datagram; WireError also for a message that is not a relay agent's."""
        r = Reader(data)
        kind, hop_count = r.u8(), r.u8()
        if kind not in (MessageType.RELAY_FORWARD, MessageType.RELAY_REPLY):
            raise WireError(f"message type {kind} where a relay agent's is expected")
        link_address, peer_address = IPv6Address(r.take(16)), IPv6Address(r.take(16))
        return cls(kind, hop_count, link_address, peer_address, decode_options(r))

    def encode(self) -> bytes:
        """Return the message's octets."""
        head = self.kind.to_bytes(1) + self.hop_count.to_bytes(1)
        addresses = self.link_address.packed + self.peer_address.packed
        return head + addresses + encode_options(self.options)


def label(kind: int) -> str:
    """Return a message type's name for people, its number if it has none."""
    if kind in MessageType.__members__.values():
        return MessageType(kind).name.capitalize().replace("_", "-")
    return f"message of type {kind}"


def encode_name(name: str) -> bytes:
    """Return a domain name as uncompressed labels (RFC 8415 section 10, 1035 section 3.1).

    ValueError if it is not a name of ASCII labels of the lengths allowed.
    """
    labels = [part.encode("ascii") for part in name.removesuffix(".").split(".")]
    if not all(0 < len(part) <= _MAX_LABEL for part in labels):
        raise ValueError(f"{name!r} is not a domain name")
    octets = b"".join(len(part).to_bytes(1) + part for part in labels) + b"\0"
    if len(octets) > _MAX_NAME:
        raise ValueError(f"{name!r} is too long for a domain name")
    return octets


def decode_name(value: bytes) -> str:
    """Return the one fully qualified domain name that a value holds, without the final dot."""
    if len(value) > _MAX_NAME:
        raise WireError(f"a domain name of {len(value)} octets")
    r, labels = Reader(value), []
    while length := r.u8():
        if length > _MAX_LABEL:
            raise WireError("a compressed domain name, or a label that is too long")
        labels.append(_label_text(r.take(length)))
    r.finish()
    if not labels:
        raise WireError("the root where a domain name is expected")
    return ".".join(labels)


def _label_text(octets: bytes) -> str:
    if not all(0x21 <= octet <= 0x7E and octet != ord(".") for octet in octets):
        raise WireError("a domain name that is not printable")
    return octets.decode("ascii")


def same_name(a: str, b: str) -> bool:
    """Return whether two domain names are equal, as DNS compares them (RFC 4343)."""
    return ascii_lower(a.removesuffix(".")) == ascii_lower(b.removesuffix("."))


def is_duid(value: bytes) -> bool:
    """Return whether a DUID has a length that is allowed (RFC 8415 section 11.1)."""
    return 2 < len(value) <= _MAX_DUID


def is_host(address: IPv6Address) -> bool:
    """Return whether a host on a link can have an address."""
    return not (address.is_multicast or address.is_unspecified or address.is_loopback)
