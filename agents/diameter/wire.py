"""Diameter messages and AVPs on the wire (RFC 6733 sections 3 and 4)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from agents.core.reader import WireError
from agents.core.record import Record, Secret
from agents.diameter.errors import ResultCode

VERSION = 1
HEADER_LENGTH = 20
MAXIMUM_LENGTH = 1 << 16
"""The longest message taken, in octets; the field would allow 16 MiB."""

REQUEST_FLAG, PROXIABLE_FLAG, ERROR_FLAG, RETRANSMITTED_FLAG = 0x80, 0x40, 0x20, 0x10
VENDOR_FLAG, MANDATORY_FLAG, PROTECTED_FLAG = 0x80, 0x40, 0x20

_HEADER = struct.Struct("!IIIII")
_LENGTH = (1 << 24) - 1
_AVP_HEADER = struct.Struct("!II")
_AVP_VENDOR_HEADER = struct.Struct("!III")
_PADDING = tuple(bytes(n) for n in range(4))


class BadMessageError(WireError):
    """A message whose framing is right and whose version or AVPs are not.

    `code` is the Result-Code due, `message` the header with the AVPs before the bad one, `failed`
    the offending AVP, if it is one, as Failed-AVP wants it.
    """

    def __init__(
        self, reason: str, code: ResultCode, message: Message, failed: Avp | None = None
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.message = message
        self.failed = failed


class Avp(Record, frozen=True):
    """One attribute-value pair (RFC 6733 section 4.1); `value` without padding.

    A reserved flag bit is ignored on receipt, as the RFC wants, and does not survive.
    """

    code: int
    value: Secret[bytes]
    mandatory: bool = True
    vendor: int | None = None
    protected: bool = False

    def encode(self) -> bytes:
        """Return the AVP with its padding."""
        flags, vendor = MANDATORY_FLAG if self.mandatory else 0, self.vendor
        length = len(self.value) + (8 if vendor is None else 12)
        if length >> 24:
            raise ValueError(f"AVP {self.code} is too long: {length} octets")
        if self.protected:
            flags |= PROTECTED_FLAG
        if vendor is None:
            header = _AVP_HEADER.pack(self.code, flags << 24 | length)
        else:
            header = _AVP_VENDOR_HEADER.pack(
                self.code, (flags | VENDOR_FLAG) << 24 | length, vendor
            )
        return header + self.value + _PADDING[-length % 4]


def encode_avps(avps: Iterable[Avp]) -> bytes:
    """Return AVPs one after another, as in a message or a grouped AVP."""
    return b"".join([avp.encode() for avp in avps])


def _read_avps(data: bytes, start: int) -> tuple[list[Avp], int, str]:
    """Return the AVPs from `start` on, where they end, and why that is not the end of `data`."""
    avps, size = list[Avp](), len(data)
    while start < size:
        if size - start < 8:
            return avps, start, f"{size - start} octets are no AVP"
        code, word = _AVP_HEADER.unpack_from(data, start)
        flags, length = word >> 24, word & _LENGTH
        value, end = start + 8, start + length
        following = end + (-length & 3)
        vendor = None
        if flags & VENDOR_FLAG:
            value = start + 12
            vendor = int.from_bytes(data[start + 8 : value])
        if end < value:
            return avps, start, f"AVP {code}: length {length} is less than its header"
        if following > size:
            return avps, start, f"AVP {code}: {length} octets with {size - start} left"
        mandatory, protected = flags & MANDATORY_FLAG != 0, flags & PROTECTED_FLAG != 0
        avps.append(Avp(code, data[value:end], mandatory, vendor, protected))
        start = following
    return avps, start, ""


def decode_avps(data: bytes) -> tuple[Avp, ...]:
    """Read AVPs up to the end of `data`; raises WireError."""
    avps, _, failure = _read_avps(data, 0)
    if failure:
        raise WireError(failure)
    return tuple(avps)


class Message(Record, frozen=True):
    """A Diameter message (RFC 6733 section 3). The node fills in both identifiers."""

    command: int
    application: int
    avps: tuple[Avp, ...] = ()
    request: bool = True
    proxiable: bool = True
    error: bool = False
    retransmitted: bool = False
    hop_by_hop: int = 0
    end_to_end: int = 0

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """Read one whole message; raises WireError, BadMessageError for what has an answer."""
        if message_length(data[:4]) != len(data):
            raise WireError(f"a message of {len(data)} octets gives another length in its header")
        _, word, application, hop_by_hop, end_to_end = _HEADER.unpack_from(data)
        flags, known = word >> 24, data[0] == VERSION
        avps, end, failure = _read_avps(data, HEADER_LENGTH) if known else ([], 0, "")
        message = cls(
            word & _LENGTH,
            application,
            tuple(avps),
            flags & REQUEST_FLAG != 0,
            flags & PROXIABLE_FLAG != 0,
            flags & ERROR_FLAG != 0,
            flags & RETRANSMITTED_FLAG != 0,
            hop_by_hop,
            end_to_end,
        )
        if not known:
            reason = f"version {data[0]} is not Diameter's"
            raise BadMessageError(reason, ResultCode.UNSUPPORTED_VERSION, message)
        if failure:
            failed = _offender(data[end:])
            raise BadMessageError(failure, ResultCode.INVALID_AVP_LENGTH, message, failed)
        return message

    @property
    def length(self) -> int:
        """Octets of the whole message."""
        vendors = sum([avp.vendor is not None for avp in self.avps])
        values = [len(avp.value) + 3 & ~3 for avp in self.avps]
        return HEADER_LENGTH + 8 * len(values) + 4 * vendors + sum(values)

    def encode(self) -> bytes:
        """Return the message; raises ValueError if it is longer than its length field."""
        body = encode_avps(self.avps)
        length = HEADER_LENGTH + len(body)
        if length >> 24:
            raise ValueError(f"the message is too long: {length} octets")
        flags = (
            (REQUEST_FLAG if self.request else 0)
            | (PROXIABLE_FLAG if self.proxiable else 0)
            | (ERROR_FLAG if self.error else 0)
            | (RETRANSMITTED_FLAG if self.retransmitted else 0)
        )
        return (
            _HEADER.pack(
                VERSION << 24 | length,
                flags << 24 | self.command,
                self.application,
                self.hop_by_hop,
                self.end_to_end,
            )
            + body
        )


def _offender(rest: bytes) -> Avp:
    """Return the header of an undecodable AVP with an empty value, zeroes for what is missing."""
    header = rest[:12].ljust(12, b"\0")
    flags = header[4]
    return Avp(
        code=int.from_bytes(header[:4]),
        value=b"",
        mandatory=bool(flags & MANDATORY_FLAG),
        vendor=int.from_bytes(header[8:12]) if flags & VENDOR_FLAG else None,
        protected=bool(flags & PROTECTED_FLAG),
    )


def message_length(header: bytes, maximum: int = MAXIMUM_LENGTH) -> int:
    """Return the length of the message that begins with these 4 octets.

    Raises WireError if no Diameter message of at most `maximum` octets can begin so. A message of
    another version can: it has an answer (RFC 6733 section 7.1.5).
    """
    if len(header) != 4:
        raise WireError(f"{len(header)} octets are no header")
    version, length = header[0], int.from_bytes(header[1:])
    if HEADER_LENGTH <= length <= maximum and length % 4 == 0:
        return length
    if version != VERSION:
        raise WireError(f"version {version} is not Diameter's")
    if length > maximum:
        raise WireError(f"a message of {length} octets is longer than {maximum}")
    raise WireError(f"{length} is not the length of a message")
