"""Header, AVPs and code points of draft-ietf-pana-pana-12 sections 6 to 8."""

from __future__ import annotations

from struct import Struct

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import Record
from agents.pana.errors import ErrorCode, RefusedError
from agents.pana.wire import AVP_HEADER_LENGTH, Avp, AvpName, Kind, Message, UnknownAvp, read_avps

VERSION = 1
HEADER_LENGTH = 12
_HEADER, _AVP_HEADER = Struct("!BBHHHI"), Struct("!HHHH")
VENDOR_FLAG, MANDATORY_FLAG = 0x8000, 0x4000
REQUEST, STATELESS = 0x8000, 0x4000

TYPES: dict[Kind, int] = {
    Kind.INITIATION: 1,
    Kind.START: 2,
    Kind.AUTH: 3,
    Kind.REAUTH: 4,
    Kind.RESULT: 5,
    Kind.PING: 6,
    Kind.TERMINATION: 7,
    Kind.ERROR: 8,
    Kind.UPDATE: 9,
}
KINDS = {number: kind for kind, number in TYPES.items()}
WITHOUT_SESSION = (Kind.INITIATION, Kind.START)


class Code(Record, frozen=True):
    """An AVP's code, how many octets its value may have, and whether its M bit is set."""

    code: int
    minimum: int
    maximum: int = 0xFFFF
    mandatory: bool = True


CODES: dict[AvpName, Code] = {
    AvpName.ALGORITHM: Code(1, 4, 4),
    AvpName.AUTH: Code(2, 1),
    AvpName.COOKIE: Code(3, 1),
    AvpName.DEVICE_ID: Code(4, 2),
    AvpName.EAP_PAYLOAD: Code(5, 4),
    AvpName.FAILED_AVP: Code(6, 8),
    AvpName.ISP_INFORMATION: Code(7, 8),
    AvpName.KEY_ID: Code(8, 4, 4),
    AvpName.NAP_INFORMATION: Code(9, 8),
    AvpName.NONCE: Code(10, 8, 256),
    AvpName.NOTIFICATION: Code(11, 2, mandatory=False),
    AvpName.PPAC: Code(12, 4, 4),
    AvpName.PROTECTION_CAPABILITY: Code(13, 4, 4),
    AvpName.PROVIDER_IDENTIFIER: Code(14, 4, 4),
    AvpName.PROVIDER_NAME: Code(15, 1),
    AvpName.RESULT_CODE: Code(16, 4, 4),
    AvpName.SESSION_ID: Code(17, 1),
    AvpName.SESSION_LIFETIME: Code(18, 4, 4),
    AvpName.TERMINATION_CAUSE: Code(19, 4, 4),
    AvpName.MOBILITY_CAPABILITY: Code(101, 4, 4, mandatory=False),
    AvpName.HOME_AGENT_ADDRESS: Code(102, 18, 18, mandatory=False),
    AvpName.HOME_AGENT_FQDN: Code(103, 1, 255, mandatory=False),
    AvpName.HOME_ADDRESS: Code(104, 16, 16, mandatory=False),
    AvpName.SEALED_ASSIGNMENT: Code(105, 1, mandatory=False),
}
"""Section 8; the last five have codes that the draft leaves free, and as
draft-bournelle-pana-mip6-01 section 7.1 demands no M bit, so that others may ignore them."""

NAMES = {code.code: name for name, code in CODES.items()}


def encode_avp(avp: Avp) -> bytes:
    """Return the AVP with its padding (section 6.3)."""
    vendor = None
    if isinstance(avp.name, AvpName):
        code = CODES[avp.name].code
        flags = MANDATORY_FLAG if CODES[avp.name].mandatory else 0
    else:
        code, flags, vendor = avp.name.code, avp.name.flags, avp.name.vendor
    if vendor is not None:
        flags |= VENDOR_FLAG
    value, more = avp.value, b"" if vendor is None else vendor.to_bytes(4)
    head = _AVP_HEADER.pack(code, flags, AVP_HEADER_LENGTH + len(more) + len(value), 0)
    return head + more + value + bytes(-len(value) % 4)


def decode_avp(data: bytes, start: int) -> tuple[Avp, int]:
    """Return the AVP that starts there, and where the next one does (section 6.3).

    Its length field counts its header and not the padding. What is not as CODES has it (M bit
    where none may be) keeps its header, for an error message.
    """
    left = len(data) - start
    if left < AVP_HEADER_LENGTH:
        raise WireError(f"{left} octets are no AVP")
    code, flags, length, _ = _AVP_HEADER.unpack_from(data, start)
    head = AVP_HEADER_LENGTH + (4 if flags & VENDOR_FLAG else 0)
    if length < head:
        raise WireError(f"AVP {code} of {length} octets, header included")
    padded = length + 3 & ~3
    if padded > left:
        raise WireError(f"AVP {code} of {length} octets with {left} left")
    value = data[start + head : start + length]
    name = NAMES.get(code)
    wrong_flags = name is not None and flags & MANDATORY_FLAG and not CODES[name].mandatory
    if name is not None and not flags & VENDOR_FLAG and not wrong_flags:
        return Avp(name, value), start + padded
    vendor = int.from_bytes(data[start + AVP_HEADER_LENGTH : start + head])
    unknown = UnknownAvp(code, flags & ~VENDOR_FLAG, vendor if flags & VENDOR_FLAG else None)
    return Avp(unknown, value), start + padded


def decode_avps(data: bytes) -> tuple[Avp, ...]:
    """Parse a sequence of AVPs, as a message or a grouped AVP holds it."""
    return tuple(read_avps(data, 0, decode_avp)[0])


def check_avp(avp: Avp) -> None:
    """Raise RefusedError if the AVP is unknown and mandatory, or not as its definition has it."""
    if isinstance(avp.name, UnknownAvp):
        if not avp.name.flags & MANDATORY_FLAG:
            return
        if avp.name.vendor is None and avp.name.code in NAMES:
            reason = f"{NAMES[avp.name.code].value} with the M bit"
            raise RefusedError(reason, ErrorCode.INVALID_AVP_FLAGS, avp)
        raise RefusedError(f"unknown {avp.name} with the M bit", ErrorCode.AVP_UNSUPPORTED, avp)
    code = CODES[avp.name]
    if not code.minimum <= len(avp.value) <= code.maximum:
        reason = f"{avp.name.value} of {len(avp.value)} octets"
        raise RefusedError(reason, ErrorCode.INVALID_AVP_LENGTH, avp)


def least(avp: Avp) -> Avp:
    """Return the AVP with a value of its minimum length at least, filled up with zeros."""
    if isinstance(avp.name, UnknownAvp):
        return avp
    return Avp(avp.name, avp.value.ljust(CODES[avp.name].minimum, b"\0"))


def encode(message: Message) -> bytes:
    """Return the message's octets (section 6.2); the session goes into the first AVP."""
    avps = message.avps
    if message.session and message.kind not in WITHOUT_SESSION:
        avps = (Avp(AvpName.SESSION_ID, message.session), *avps)
    body = b"".join(map(encode_avp, avps))
    flags = message.flags | (REQUEST if message.request else 0)
    length, number = HEADER_LENGTH + len(body), TYPES[message.kind]
    return _HEADER.pack(VERSION, 0, length, flags, number, message.sequence) + body


def decode(data: bytes) -> Message:
    """Parse one datagram (section 6.2); reserved fields and bits are ignored."""
    if len(data) < HEADER_LENGTH:
        raise WireError(f"{len(data)} octets are no PANA message")
    version, _, length, flags, number, sequence = _HEADER.unpack_from(data)
    if version != VERSION:
        raise RefusedError(f"PANA version {version}", ErrorCode.UNSUPPORTED_VERSION)
    if length != len(data):
        raise WireError(f"message length {length} in a datagram of {len(data)} octets")
    avps, auth_offset = read_avps(data, HEADER_LENGTH, decode_avp)
    kind = _kind(number, flags, sequence)
    session = b""
    if avps and avps[0].name is AvpName.SESSION_ID:
        session = avps.pop(0).value
    if kind in WITHOUT_SESSION and session:
        raise PeerError(f"{kind.value} with a Session-Id")
    return Message(
        kind,
        bool(flags & REQUEST),
        session,
        sequence,
        tuple(avps),
        flags & STATELESS,
        auth_offset,
    )


def _kind(number: int, flags: int, sequence: int) -> Kind:
    kind = KINDS.get(number)
    if kind is None:
        raise RefusedError(f"message type {number}", ErrorCode.MESSAGE_UNSUPPORTED)
    start_request = kind is Kind.START and flags & REQUEST
    if (kind is Kind.INITIATION and flags & REQUEST) or (flags & STATELESS and not start_request):
        reason = f"message type {number} with flags {flags:#06x}"
        raise RefusedError(reason, ErrorCode.INVALID_HDR_BITS)
    if kind is Kind.INITIATION and sequence:
        raise PeerError("PCI with a sequence number")
    return kind
