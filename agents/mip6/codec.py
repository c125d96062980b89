"""The Mobility Header: messages and options (RFC 6275 section 6)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from ipaddress import IPv6Address
from typing import ClassVar, Self, TypeAlias, get_args

from agents.core.reader import Reader, WireError
from agents.core.record import Record

PROTOCOL = 135
LIFETIME_UNIT = 4
"""Seconds; lifetimes and refresh intervals are multiples of it on the wire."""
MAX_LIFETIME = 0xFFFF * LIFETIME_UNIT
COOKIE_LENGTH = TOKEN_LENGTH = 8

_NO_NEXT_HEADER = 59
_HEADER = 6  # Octets before the message data.
_PAD1, _PADN, _REFRESH_ADVICE, _ALTERNATE_CARE_OF = 0, 1, 2, 3
NONCE_INDICES, BINDING_AUTHORISATION = 4, 5
IDENTIFIER, AUTHENTICATION, REPLAY_PROTECTION = 8, 9, 10
_ALIGNMENTS = {
    NONCE_INDICES: (2, 0),
    BINDING_AUTHORISATION: (8, 2),
    AUTHENTICATION: (8, 5),  # 4n + 1, and nothing has to follow it.
    REPLAY_PROTECTION: (8, 2),
}
"""Of options that messages carry among others (sections 6.2.6, 6.2.7; RFC 4285 5, 6)."""

_ACKNOWLEDGE, _HOME, _LINK_LOCAL, _KEY_MANAGEMENT = 0x8000, 0x4000, 0x2000, 0x1000
_ACK_KEY_MANAGEMENT = 0x80


class Status(IntEnum):
    """The outcome of a Binding Update (section 6.1.8); 128 and more are refusals."""

    ACCEPTED = 0
    PREFIX_DISCOVERY_NECESSARY = 1
    UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    HOME_REGISTRATION_NOT_SUPPORTED = 131
    NOT_HOME_SUBNET = 132
    NOT_HOME_AGENT = 133
    DUPLICATE_ADDRESS = 134
    SEQUENCE_OUT_OF_WINDOW = 135
    EXPIRED_HOME_NONCE = 136
    EXPIRED_CARE_OF_NONCE = 137
    EXPIRED_NONCES = 138
    REGISTRATION_TYPE_CHANGE = 139
    MESSAGE_ID_MISMATCH = 144  # RFC 4285 section 8, these three.
    MESSAGE_ID_REQUIRED = 145
    AUTHENTICATION_FAILED = 146
    INVALID_CARE_OF_ADDRESS = 174

    @classmethod
    def of(cls, number: int) -> Status:
        """Return the status of this number; one that is not known counts as its class's first."""
        try:
            return cls(number)
        except ValueError:
            return cls.UNSPECIFIED if number >= cls.UNSPECIFIED else cls.ACCEPTED


class ErrorStatus(IntEnum):
    """Why a Binding Error was sent (section 6.1.9)."""

    UNKNOWN_BINDING = 1
    UNKNOWN_TYPE = 2


class Option(Record, frozen=True):
    """A mobility option that is no field of its message (section 6.2)."""

    kind: int
    value: bytes


class _Options:
    """Lays options out behind the fixed fields of a message, with the padding that they need."""

    def __init__(self, fixed: bytes) -> None:
        self._data = bytearray(fixed)

    def add(self, kind: int, value: bytes, multiple: int = 1, remainder: int = 0) -> None:
        """Add an option that starts at multiple * n + remainder octets from the header's start."""
        self._pad((remainder - _HEADER - len(self._data)) % multiple)
        self._data += bytes((kind, len(value))) + value

    def _pad(self, length: int) -> None:
        if length == 1:
            self._data.append(_PAD1)
        elif length:
            self._data += bytes((_PADN, length - 2)) + bytes(length - 2)

    def finish(self, others: Iterable[Option]) -> bytes:
        """Add `others`; return all, padded so that the header is a multiple of 8 octets long."""
        for option in others:
            self.add(option.kind, option.value, *_ALIGNMENTS.get(option.kind, ()))
        self._pad(-(_HEADER + len(self._data)) % 8)
        return bytes(self._data)


def _read_options(r: Reader) -> list[Option]:
    found = []
    while r.remaining:
        kind = r.u8()
        if kind == _PAD1:
            continue
        value = r.take(r.u8())
        if kind != _PADN:
            found.append(Option(kind, value))
    return found


def _take(options: list[Option], kind: int, length: int) -> bytes | None:
    """Remove the first option of this kind from `options` and return its value."""
    for option in options:
        if option.kind == kind:
            if len(option.value) != length:
                raise WireError(f"option {kind} of {len(option.value)} octets, not {length}")
            options.remove(option)
            return option.value
    return None


def _units(seconds: int) -> int:
    if not 0 <= seconds <= MAX_LIFETIME:
        raise ValueError(f"a lifetime of {seconds} s does not fit")
    return seconds // LIFETIME_UNIT


class BindingUpdate(Record, frozen=True):
    """A Binding Update (section 6.1.7); `lifetime` in seconds, `care_of` from its option."""

    KIND: ClassVar[int] = 5

    sequence: int
    lifetime: int
    acknowledge: bool = True
    home_registration: bool = True
    link_local: bool = False
    key_management: bool = False
    care_of: IPv6Address | None = None
    options: tuple[Option, ...] = ()

    def encode_data(self) -> bytes:
        """Return the message data and options."""
        flags = _ACKNOWLEDGE * self.acknowledge | _HOME * self.home_registration
        flags |= _LINK_LOCAL * self.link_local | _KEY_MANAGEMENT * self.key_management
        fixed = self.sequence.to_bytes(2) + flags.to_bytes(2) + _units(self.lifetime).to_bytes(2)
        options = _Options(fixed)
        if self.care_of is not None:
            options.add(_ALTERNATE_CARE_OF, self.care_of.packed, 8, 6)
        return options.finish(self.options)

    @classmethod
    def decode_data(cls, r: Reader) -> Self:
        """Read the message data and options."""
        sequence, flags, lifetime = r.u16(), r.u16(), r.u16() * LIFETIME_UNIT
        options = _read_options(r)
        care_of = _take(options, _ALTERNATE_CARE_OF, 16)
        return cls(
            sequence,
            lifetime,
            bool(flags & _ACKNOWLEDGE),
            bool(flags & _HOME),
            bool(flags & _LINK_LOCAL),
            bool(flags & _KEY_MANAGEMENT),
            None if care_of is None else IPv6Address(care_of),
            tuple(options),
        )


class BindingAck(Record, frozen=True):
    """A Binding Acknowledgement (section 6.1.8); `lifetime` and `refresh` in seconds.

    `status` is a plain number, for it may be one that Status does not know.
    """

    KIND: ClassVar[int] = 6

    status: int
    sequence: int
    lifetime: int
    key_management: bool = False
    refresh: int | None = None
    options: tuple[Option, ...] = ()

    def encode_data(self) -> bytes:
        """Return the message data and options."""
        fixed = bytes((self.status, _ACK_KEY_MANAGEMENT * self.key_management))
        fixed += self.sequence.to_bytes(2) + _units(self.lifetime).to_bytes(2)
        options = _Options(fixed)
        if self.refresh is not None:
            options.add(_REFRESH_ADVICE, _units(self.refresh).to_bytes(2), 2)
        return options.finish(self.options)

    @classmethod
    def decode_data(cls, r: Reader) -> Self:
        """Read the message data and options."""
        status, flags, sequence, lifetime = r.u8(), r.u8(), r.u16(), r.u16() * LIFETIME_UNIT
        options = _read_options(r)
        advice = _take(options, _REFRESH_ADVICE, 2)
        refresh = None if advice is None else int.from_bytes(advice) * LIFETIME_UNIT
        capable = bool(flags & _ACK_KEY_MANAGEMENT)
        return cls(status, sequence, lifetime, capable, refresh, tuple(options))


class BindingError(Record, frozen=True):
    """A Binding Error (section 6.1.9)."""

    KIND: ClassVar[int] = 7

    status: int
    home_address: IPv6Address
    options: tuple[Option, ...] = ()

    def encode_data(self) -> bytes:
        """Return the message data and options."""
        fixed = bytes((self.status, 0)) + self.home_address.packed
        return _Options(fixed).finish(self.options)

    @classmethod
    def decode_data(cls, r: Reader) -> Self:
        """Read the message data and options."""
        status, _, home_address = r.u8(), r.u8(), IPv6Address(r.take(16))
        return cls(status, home_address, tuple(_read_options(r)))


class BindingRefreshRequest(Record, frozen=True):
    """A Binding Refresh Request (section 6.1.2)."""

    KIND: ClassVar[int] = 0

    options: tuple[Option, ...] = ()

    def encode_data(self) -> bytes:
        """Return the message data and options."""
        fixed = bytes(2)
        return _Options(fixed).finish(self.options)

    @classmethod
    def decode_data(cls, r: Reader) -> Self:
        """Read the message data and options."""
        r.u16()
        return cls(tuple(_read_options(r)))


class _TestInit(Record, frozen=True):
    """What begins an address test: `cookie` is what the answer must bring back."""

    cookie: bytes
    options: tuple[Option, ...] = ()

    def encode_data(self) -> bytes:
        """Return the message data and options."""
        return _Options(bytes(2) + self.cookie).finish(self.options)

    @classmethod
    def decode_data(cls, r: Reader) -> Self:
        """Read the message data and options."""
        r.u16()
        return cls(r.take(COOKIE_LENGTH), tuple(_read_options(r)))


class HomeTestInit(_TestInit, frozen=True):
    """A Home Test Init (section 6.1.3)."""

    KIND: ClassVar[int] = 1


class CareOfTestInit(_TestInit, frozen=True):
    """A Care-of Test Init (section 6.1.4)."""

    KIND: ClassVar[int] = 2


class _Test(Record, frozen=True):
    """The answer to an address test: a keygen token, and the index of the nonce in it."""

    nonce_index: int
    cookie: bytes
    token: bytes
    options: tuple[Option, ...] = ()

    def encode_data(self) -> bytes:
        """Return the message data and options."""
        fixed = self.nonce_index.to_bytes(2) + self.cookie + self.token
        return _Options(fixed).finish(self.options)

    @classmethod
    def decode_data(cls, r: Reader) -> Self:
        """Read the message data and options."""
        index, cookie, token = r.u16(), r.take(COOKIE_LENGTH), r.take(TOKEN_LENGTH)
        return cls(index, cookie, token, tuple(_read_options(r)))


class HomeTest(_Test, frozen=True):
    """A Home Test (section 6.1.5)."""

    KIND: ClassVar[int] = 3


class CareOfTest(_Test, frozen=True):
    """A Care-of Test (section 6.1.6)."""

    KIND: ClassVar[int] = 4


class OtherMessage(Record, frozen=True):
    """A Mobility Header message of a type that is not known here."""

    kind: int
    data: bytes


_Known: TypeAlias = (
    BindingUpdate
    | BindingAck
    | BindingError
    | BindingRefreshRequest
    | HomeTestInit
    | CareOfTestInit
    | HomeTest
    | CareOfTest
)
Message: TypeAlias = _Known | OtherMessage

_KINDS: dict[int, type[_Known]] = {k.KIND: k for k in get_args(_Known)}


def encode(message: Message) -> bytes:
    """Return a Mobility Header with a checksum of 0, which the kernel fills in."""
    if isinstance(message, OtherMessage):
        kind, data = message.kind, message.data
    else:
        kind, data = message.KIND, message.encode_data()
    length = (_HEADER + len(data)) // 8 - 1
    return bytes((_NO_NEXT_HEADER, length, kind, 0, 0, 0)) + data


def decode(data: bytes) -> Message:
    """Read a Mobility Header whose checksum has been verified; raise WireError."""
    r = Reader(data)
    protocol, length, kind, _, _ = r.u8(), r.u8(), r.u8(), r.u8(), r.u16()
    if protocol != _NO_NEXT_HEADER:
        raise WireError(f"payload protocol {protocol} follows a Mobility Header")
    body = r.sub(8 * (length + 1) - _HEADER)
    r.finish()
    if kind not in _KINDS:
        return OtherMessage(kind, body.rest())
    return _KINDS[kind].decode_data(body)


def checksum(source: IPv6Address, destination: IPv6Address, header: bytes) -> int:
    """Return what the checksum field of `header` is to hold (section 6.1.1).

    The kernel does this on a raw socket; `source` or `destination` is the home address.
    """
    return internet_checksum(source, destination, PROTOCOL, header[:4] + bytes(2) + header[6:])


def internet_checksum(
    source: IPv6Address, destination: IPv6Address, protocol: int, data: bytes
) -> int:
    """Return the checksum of `data` and the IPv6 pseudo-header (RFC 8200 section 8.1)."""
    pseudo = source.packed + destination.packed + len(data).to_bytes(4) + protocol.to_bytes(4)
    number = int.from_bytes(pseudo + data + bytes(len(data) % 2))
    return (number % 0xFFFF or 0xFFFF) ^ 0xFFFF  # The one's complement sum of its 16-bit words.


def newer(sequence: int, last: int) -> bool:
    """Return whether a sequence number follows `last`, modulo 65536 (section 9.5.1)."""
    return 0 < (sequence - last) % 65536 < 32768
