"""Header, AVPs and code points of RFC 5191, RFC 6345 and RFC 6786."""

from __future__ import annotations

from ipaddress import ip_address
from struct import Struct

from agents.core.machine import Address, PeerError
from agents.core.reader import WireError
from agents.core.record import Record
from agents.pana.mobility import VENDOR_ID
from agents.pana.wire import AVP_HEADER_LENGTH, Avp, AvpName, Kind, Message, UnknownAvp, read_avps

HEADER_LENGTH = 16
_HEADER, _AVP_HEADER = Struct("!HHHH4sI"), Struct("!HHHH")
VENDOR_FLAG = 0x8000

REQUEST, START, COMPLETE, REAUTH, PING = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800
IP_RECONFIGURATION = 0x0400
KIND_FLAGS = REQUEST | START | COMPLETE | REAUTH | PING

TYPES: dict[tuple[Kind, bool], tuple[int, int]] = {
    (Kind.INITIATION, False): (1, 0),
    (Kind.START, True): (2, REQUEST | START),
    (Kind.START, False): (2, START),
    (Kind.AUTH, True): (2, REQUEST),
    (Kind.AUTH, False): (2, 0),
    (Kind.RESULT, True): (2, REQUEST | COMPLETE),
    (Kind.RESULT, False): (2, COMPLETE),
    (Kind.TERMINATION, True): (3, REQUEST),
    (Kind.TERMINATION, False): (3, 0),
    (Kind.REAUTH, True): (4, REQUEST | REAUTH),
    (Kind.REAUTH, False): (4, REAUTH),
    (Kind.PING, True): (4, REQUEST | PING),
    (Kind.PING, False): (4, PING),
    (Kind.RELAY, False): (5, 0),
}
"""Message type and flags (RFC 5191 sections 6.2 and 7, RFC 6345 section 4.1)."""

KINDS = {wire: kind for kind, wire in TYPES.items()}


class Code(Record, frozen=True):
    """An AVP's code and vendor, and how many octets its value may have."""

    code: int
    minimum: int
    maximum: int = 0xFFFF
    vendor: int | None = None


CODES: dict[AvpName, Code] = {
    AvpName.AUTH: Code(1, 1),
    AvpName.EAP_PAYLOAD: Code(2, 4),
    AvpName.INTEGRITY_ALGORITHM: Code(3, 4, 4),
    AvpName.KEY_ID: Code(4, 4, 4),
    AvpName.NONCE: Code(5, 8, 256),
    AvpName.PRF_ALGORITHM: Code(6, 4, 4),
    AvpName.RESULT_CODE: Code(7, 4, 4),
    AvpName.SESSION_LIFETIME: Code(8, 4, 4),
    AvpName.TERMINATION_CAUSE: Code(9, 4, 4),
    AvpName.PAC_INFORMATION: Code(10, 6, 18),
    AvpName.RELAYED_MESSAGE: Code(11, 16),
    AvpName.ENCRYPTION_ENCAP: Code(12, 8),
    AvpName.ENCRYPTION_ALGORITHM: Code(13, 4, 4),
    AvpName.MOBILITY_CAPABILITY: Code(101, 4, 4, VENDOR_ID),
    AvpName.HOME_AGENT_ADDRESS: Code(102, 18, 18, VENDOR_ID),
    AvpName.HOME_AGENT_FQDN: Code(103, 1, 255, VENDOR_ID),
    AvpName.HOME_ADDRESS: Code(104, 16, 16, VENDOR_ID),
    AvpName.SEALED_ASSIGNMENT: Code(105, 1, vendor=VENDOR_ID),
}
"""RFC 5191 section 8, RFC 6345, RFC 6786; vendor AVPs are the project's.

Their codes stay clear of the IETF's because Wireshark names AVPs by the code alone. They come
behind a standard AVP because it takes a message for PANA by its first AVP's code.
"""

NAMES = {(code.code, code.vendor): name for name, code in CODES.items()}


def encode_avp(avp: Avp) -> bytes:
    """Return the AVP with its padding (RFC 5191 section 6.3)."""
    if isinstance(avp.name, AvpName):
        code, flags, vendor = CODES[avp.name].code, 0, CODES[avp.name].vendor
    else:
        code, flags, vendor = avp.name.code, avp.name.flags, avp.name.vendor
    if vendor is not None:
        flags |= VENDOR_FLAG
    head = _AVP_HEADER.pack(code, flags, len(avp.value), 0)
    if vendor is not None:
        head += vendor.to_bytes(4)
    return head + avp.value + bytes(-len(avp.value) % 4)


def decode_avp(data: bytes, start: int) -> tuple[Avp, int]:
    """Return the AVP that starts there, and where the next one does (RFC 5191 section 6.3).

    Its length field counts neither the header nor the padding.
    """
    left = len(data) - start
    if left < AVP_HEADER_LENGTH:
        raise WireError(f"{left} octets are no AVP")
    code, flags, length, _ = _AVP_HEADER.unpack_from(data, start)
    head = AVP_HEADER_LENGTH + (4 if flags & VENDOR_FLAG else 0)
    padded = head + (length + 3 & ~3)
    if padded > left:
        raise WireError(f"AVP {code} of {length} octets with {left} left")
    vendor = None
    if flags & VENDOR_FLAG:
        vendor = int.from_bytes(data[start + AVP_HEADER_LENGTH : start + head])
    value = data[start + head : start + head + length]
    name = NAMES.get((code, vendor))
    if name is None:
        return Avp(UnknownAvp(code, flags & ~VENDOR_FLAG, vendor), value), start + padded
    if not CODES[name].minimum <= length <= CODES[name].maximum:
        raise WireError(f"{name.value} of {length} octets")
    return Avp(name, value), start + padded


def decode_avps(data: bytes) -> list[Avp]:
    """Parse a sequence of AVPs."""
    return read_avps(data, 0, decode_avp)[0]


def encode(message: Message) -> bytes:
    """Return the message's octets (RFC 5191 section 6.2)."""
    number, flags = TYPES[message.kind, message.request]
    body = b"".join(map(encode_avp, message.avps))
    length, session = HEADER_LENGTH + len(body), message.session or bytes(4)
    head = _HEADER.pack(0, length, flags | message.flags, number, session, message.sequence)
    return head + body


def decode(data: bytes) -> Message:
    """Parse one datagram; reserved fields and bits are ignored (RFC 5191 section 6.2)."""
    if len(data) < HEADER_LENGTH:
        raise WireError(f"{len(data)} octets are no PANA message")
    _, length, flags, number, session, sequence = _HEADER.unpack_from(data)
    if length != len(data):
        raise WireError(f"message length {length} in a datagram of {len(data)} octets")
    avps, auth_offset = read_avps(data, HEADER_LENGTH, decode_avp)
    kind = KINDS.get((number, flags & KIND_FLAGS))
    if kind is None:
        raise PeerError(f"message type {number} with flags {flags:#06x}")
    if kind[0] in (Kind.INITIATION, Kind.RELAY) and (any(session) or sequence):
        raise PeerError(f"{kind[0].value} with a session or a sequence number")
    return Message(
        *kind,
        session=session if any(session) else b"",
        sequence=sequence,
        avps=tuple(avps),
        flags=flags & IP_RECONFIGURATION,
        auth_offset=auth_offset,
    )


def read_place(value: bytes) -> Address:
    """Return the address and the port of a PaC-Information AVP (RFC 6345 section 5.1)."""
    if len(value) not in (6, 18):
        raise PeerError(f"PaC-Information of {len(value)} octets")
    return str(ip_address(value[:-2])), int.from_bytes(value[-2:])
