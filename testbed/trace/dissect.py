"""Recognises the bootstrap's messages in captured frames.

They are those of PANA, IEEE 802.1X, RADIUS, DHCPv6, DNS, DHAAD, IKE and Mobile IPv6; Diameter's are
in streams (see testbed.trace.streams).

It shares no code with the agents, so that a measurement does not depend on what it measures.
Frames that are none of these messages, malformed ones and those with a wrong checksum among them,
are passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import TypeAlias

from testbed.trace.frames import Frame
from topologies.model import link_local_of

EAPOL = b"\x88\x8e"
EAPOL_EAP, EAPOL_START = 0, 1
EAPOL_TYPES = {EAPOL_START: "EAPOL-Start", 2: "EAPOL-Logoff"}
PANA_PORT = 716
IKE_PORT = 500
IKE_NAT_PORT = 4500
DHCPV6_SERVER_PORT = 547
DNS_PORT = 53
RADIUS_PORTS = frozenset({1812, 1813})

HOP_BY_HOP, UDP, IPV6, ROUTING, FRAGMENT, ESP, DESTINATION, MOBILITY = (
    0,
    17,
    41,
    43,
    44,
    50,
    60,
    135,
)
TCP, ICMPV6 = 6, 58
SUMMED = frozenset({TCP, UDP, ICMPV6, MOBILITY})
HOME_ADDRESS_OPTION = 0xC9
RELAYED_MESSAGE = 11
DHAAD_REPLY = 145
DHAAD_MESSAGES = {144: "request", DHAAD_REPLY: "reply"}
BINDING_UPDATE, BINDING_ACK = 5, 6


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as captured; `time` is wall-clock time in nanoseconds."""

    time: int
    source: IPv6Address
    destination: IPv6Address
    protocol: str
    label: str


@dataclass(frozen=True, slots=True)
class Pana(Seen):
    """A PANA message of either dialect; `result_ok` where it carries a Result-Code.

    `sealed` tells that it carries Sealed-Assignment, with which IKE may begin.
    """

    initiation: bool
    request: bool
    final: bool
    sequence: int
    result_ok: bool | None
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Eapol(Seen):
    """A frame of IEEE 802.1X; its ends are told by the link-local addresses of their MACs.

    `eap` is the code of the EAP packet in it, None if there is none, and `octets` all of it.
    """

    start: bool
    eap: int | None
    octets: bytes


@dataclass(frozen=True, slots=True)
class Ike(Seen):
    """An IKE message; `index` counts the different messages of its exchange from 1."""

    version: int
    exchange: int
    index: int
    again: bool


@dataclass(frozen=True, slots=True)
class Mobility(Seen):
    """A Binding Update or Acknowledgement, in the clear or told by HAO or RH2 in front of ESP."""

    update: bool
    home_address: IPv6Address | None
    refused: bool = False
    in_clear: bool = False


@dataclass(frozen=True, slots=True)
class Lookup(Seen):
    """A message of DHCPv6, DNS or DHAAD, by which the mobile node finds its home agent."""

    answer: bool = False


@dataclass(frozen=True, slots=True)
class Radius(Seen):
    """A RADIUS packet; a request is sent again with the same identifier and authenticator.

    `accounting` tells that nobody waits for it; `home_agents` are those that an answer names.
    """

    identifier: int
    authenticator: bytes
    accounting: bool
    home_agents: tuple[IPv6Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Tunnelled(Seen):
    """A packet in an IPv6-in-IPv6 tunnel."""

    inner_destination: IPv6Address


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv6 packet behind its extension headers."""

    time: int
    source: IPv6Address
    destination: IPv6Address
    protocol: int
    payload: bytes
    home_address: IPv6Address | None
    routed_to: IPv6Address | None


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What the two PANA wire formats differ in (RFC 5191; draft-ietf-pana-pana-12)."""

    header: int
    sequence_offset: int
    avp_length_has_header: bool
    names: dict[int, tuple[str, str]]
    flags: tuple[tuple[int, str], ...]
    final: tuple[int, int]  # Type and flag of the message that ends an authentication.
    eap: int
    result: int
    success: int
    sealed: tuple[int, int | None]  # Code and vendor of Sealed-Assignment.


RFC5191 = _Dialect(
    header=16,
    sequence_offset=12,
    avp_length_has_header=False,
    names={
        1: ("PCI", "PCI"),
        2: ("PAR", "PAN"),
        3: ("PTR", "PTA"),
        4: ("PNR", "PNA"),
        5: ("PRY", "PRY"),
    },
    flags=((0x4000, "S"), (0x2000, "C"), (0x1000, "A"), (0x0800, "P")),
    final=(2, 0x2000),
    eap=2,
    result=7,
    success=0,
    sealed=(105, 32473),
)
DRAFT12 = _Dialect(
    header=12,
    sequence_offset=8,
    avp_length_has_header=True,
    names={
        1: ("PCI", "PCI"),
        2: ("PSR", "PSA"),
        3: ("PAR", "PAN"),
        4: ("PRAR", "PRAA"),
        5: ("PBR", "PBA"),
        6: ("PPR", "PPA"),
        7: ("PTR", "PTA"),
        8: ("PER", "PEA"),
        9: ("PUR", "PUA"),
    },
    flags=(),
    final=(5, 0),
    eap=5,
    result=16,
    success=2001,
    sealed=(105, None),
)

DHCPV6_REPLY = 7
DHCPV6_MESSAGES = {
    DHCPV6_REPLY: "Reply",
    11: "Information-request",
    12: "Relay-forw",
    13: "Relay-repl",
}
ACCESS_ACCEPT, ACCESS_CHALLENGE = 2, 11
RADIUS_CODES = {
    1: "Access-Request",
    ACCESS_ACCEPT: "Access-Accept",
    3: "Access-Reject",
    4: "Accounting-Request",
    5: "Accounting-Response",
    ACCESS_CHALLENGE: "Access-Challenge",
}
RADIUS_ACCOUNTING = frozenset({4, 5})
RADIUS_HEADER = 20
EAP_MESSAGE, VENDOR_SPECIFIC = 79, 26
HOME_AGENT = struct.pack("!IBB", 32473, 11, 20)
"""What MIP6-HA begins with, of the vendor for examples: number, type, length."""

EAP_SUCCESS, EAP_FAILURE = 3, 4
EAP_CODES = {EAP_SUCCESS: "EAP-Success", EAP_FAILURE: "EAP-Failure"}
EAP_TYPES = {1: "Identity", 3: "Nak", 4: "EAP-MD5", 13: "EAP-TLS", 21: "EAP-TTLS", 25: "PEAP"}

MAIN, AGGRESSIVE, INFORMATIONAL_V1, QUICK = 2, 4, 5, 32
IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL_V2 = 34, 35, 36, 37
EXCHANGES = {
    MAIN: "main",
    AGGRESSIVE: "aggressive",
    INFORMATIONAL_V1: "informational",
    QUICK: "quick",
    IKE_SA_INIT: "IKE_SA_INIT",
    IKE_AUTH: "IKE_AUTH",
    CREATE_CHILD_SA: "CREATE_CHILD_SA",
    INFORMATIONAL_V2: "INFORMATIONAL",
}


_Exchanges: TypeAlias = dict[
    tuple[frozenset[IPv6Address], bytes, int, int],  # Ends, cookie, exchange type, message ID.
    dict[bytes, int],  # The different messages and their numbers.
]


def dissect(frames: Iterable[Frame]) -> Iterator[Seen]:
    """Yield the bootstrap's messages in `frames`, in order."""
    return (message for _, _, message in recognise(frames) if message)


def recognise(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Packet | None, Seen | None]]:
    """Yield every frame, in order, with its packet and its message if it has any."""
    exchanges: _Exchanges = {}
    for frame in frames:
        packet = message = None
        with suppress(struct.error, LookupError, ValueError):
            packet = parse(frame)
            message = _message(packet, exchanges) if packet else _eapol(frame)
        yield frame, packet, message


def parse(frame: Frame) -> Packet | None:
    """Walk the IPv6 extension headers; None for other packets and later fragments.

    Nor is there one of what its receiver would drop for its checksum (RFC 8200 section 8.1).
    """
    data, offset = frame.data, 12
    while data[offset : offset + 2] == b"\x81\x00":
        offset += 4
    if data[offset : offset + 2] != b"\x86\xdd":
        return None
    data = data[offset + 2 :]
    length, protocol = struct.unpack_from("!4xHB", data)
    source, destination = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    data = data[40 : 40 + length]
    home_address = routed_to = None
    is_whole = len(data) == length
    while protocol in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION):
        size = 8 if protocol == FRAGMENT else 8 + 8 * data[1]
        header = data[:size]
        if protocol == FRAGMENT:
            offset, is_whole = struct.unpack_from("!H", header, 2)[0], False
            if offset & 0xFFF8:
                return None
        if protocol == ROUTING and header[2] == 2:
            routed_to = IPv6Address(header[8:24])
        if protocol == DESTINATION:
            home_address = _home_address(header) or home_address
        protocol, data = header[0], data[size:]
    if is_whole and protocol in SUMMED:
        ends = (home_address or source).packed + (routed_to or destination).packed
        if _sum(ends + struct.pack("!II", len(data), protocol) + data):
            return None
    return Packet(frame.time, source, destination, protocol, data, home_address, routed_to)


def _sum(data: bytes) -> int:
    """Return the Internet checksum of octets that have their own, 0 if it is right (RFC 1071)."""
    return int.from_bytes(data + bytes(len(data) % 2)) % 0xFFFF


def _home_address(header: bytes) -> IPv6Address | None:
    offset = 2
    while offset < len(header):
        if header[offset] == 0:  # Pad1 has no length.
            offset += 1
            continue
        length = header[offset + 1]
        if header[offset] == HOME_ADDRESS_OPTION and length == 16:
            return IPv6Address(header[offset + 2 : offset + 18])
        offset += 2 + length
    return None


def _eapol(frame: Frame) -> Eapol | None:
    """Return a frame of IEEE 802.1X (section 11.3 of 802.1X-2020): version, type, length."""
    if frame.data[12:14] != EAPOL:
        return None
    kind, length = struct.unpack_from("!xBH", frame.data, 14)
    body = frame.data[18 : 18 + length]
    if len(body) < length:
        return None
    is_eap = kind == EAPOL_EAP
    return Eapol(
        frame.time,
        link_local_of(frame.source),
        link_local_of(frame.destination),
        "802.1X",
        _eap(body) if is_eap else EAPOL_TYPES.get(kind, f"EAPOL {kind}"),
        start=kind == EAPOL_START,
        eap=body[0] if is_eap else None,
        octets=body,
    )


def _message(packet: Packet, exchanges: _Exchanges) -> Seen | None:
    match packet.protocol:
        case 17:
            return _datagram(packet, exchanges)
        case 41:
            inner = IPv6Address(packet.payload[24:40])
            return Tunnelled(*_common(packet), "IPv6", "tunnelled packet", inner)
        case 50 | 135:
            return _mobility(packet)
        case 58 if label := DHAAD_MESSAGES.get(packet.payload[0]):
            return Lookup(*_common(packet), "DHAAD", label, packet.payload[0] == DHAAD_REPLY)
    return None


def _common(packet: Packet) -> tuple[int, IPv6Address, IPv6Address]:
    return packet.time, packet.source, packet.destination


def _datagram(packet: Packet, exchanges: _Exchanges) -> Seen | None:
    ports = struct.unpack_from("!HH", packet.payload)
    data = packet.payload[8:]
    if PANA_PORT in ports:
        return _pana(packet, data)
    if IKE_NAT_PORT in ports and data[:4] == bytes(4):
        return _ike(packet, data[4:], exchanges)
    if IKE_PORT in ports:
        return _ike(packet, data, exchanges)
    if DHCPV6_SERVER_PORT in ports:
        label = DHCPV6_MESSAGES.get(data[0], f"DHCPv6 {data[0]}")
        return Lookup(*_common(packet), "DHCPv6", label, data[0] == DHCPV6_REPLY)
    if RADIUS_PORTS & set(ports):
        return _radius(packet, data)
    if DNS_PORT in ports:
        answer = bool(data[2] & 0x80)
        return Lookup(*_common(packet), "DNS", "DNS answer" if answer else "DNS query", answer)
    return None


def _pana(packet: Packet, data: bytes, *, relayed: bool = False) -> Pana | None:
    """Return a PANA message; one in a relay's PRY is told as itself (RFC 6345 section 4.1)."""
    dialect = DRAFT12 if data[0] == 1 else RFC5191
    length, flags, kind = struct.unpack_from("!2xHHH", data)
    sequence = struct.unpack_from("!I", data, dialect.sequence_offset)[0]
    if kind not in dialect.names or not dialect.header <= length <= len(data):
        return None
    request = bool(flags & 0x8000)
    name = dialect.names[kind][0 if request else 1]
    name += "".join(f"[{letter}]" for bit, letter in dialect.flags if flags & bit)
    found = dict(avps(data[dialect.header : length], dialect.avp_length_has_header))
    if name == "PRY":
        inner = None if relayed else _pana(packet, found[RELAYED_MESSAGE, None], relayed=True)
        return inner and replace(inner, label=f"PRY {inner.label}")
    eap = _eap(found.get((dialect.eap, None), b""))
    result = found.get((dialect.result, None))
    final_type, final_flag = dialect.final
    return Pana(
        *_common(packet),
        "PANA",
        f"{name} {eap}".strip(),
        initiation=kind == 1,
        request=request,
        final=kind == final_type and flags & final_flag == final_flag,
        sequence=sequence,
        result_ok=None if result is None else result == struct.pack("!I", dialect.success),
        sealed=dialect.sealed in found,
    )


def avps(data: bytes, length_has_header: bool) -> Iterator[tuple[tuple[int, int | None], bytes]]:
    """Yield code, vendor and value of each AVP."""
    while data:
        code, flags, length = struct.unpack_from("!HHH", data)
        header = 12 if flags & 0x8000 else 8
        end = max(length, header) if length_has_header else header + length
        vendor = struct.unpack_from("!I", data, 8)[0] if header == 12 else None
        yield (code, vendor), data[header:end]
        data = data[end + -end % 4 :]


def _radius(packet: Packet, data: bytes) -> Radius | None:
    """Return a RADIUS packet (RFC 2865 section 3)."""
    code, identifier, length = struct.unpack_from("!BBH", data)
    if code not in RADIUS_CODES or not RADIUS_HEADER <= length <= len(data):
        return None
    attributes = list(_attributes(data[RADIUS_HEADER:length]))
    eap = _eap(b"".join(value for kind, value in attributes if kind == EAP_MESSAGE))
    answers = code in (ACCESS_ACCEPT, ACCESS_CHALLENGE)
    agents = [v[8:24] for k, v in attributes if k == VENDOR_SPECIFIC and v[:6] == HOME_AGENT]
    return Radius(
        *_common(packet),
        "RADIUS",
        f"{RADIUS_CODES[code]} {eap}".strip(),
        identifier=identifier,
        authenticator=data[4:RADIUS_HEADER],
        accounting=code in RADIUS_ACCOUNTING,
        home_agents=tuple(map(IPv6Address, agents)) if answers else (),
    )


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of each attribute; ValueError if one is not laid out as it says."""
    while data:
        kind, length = struct.unpack_from("!BB", data)
        if not 2 <= length <= len(data):
            raise ValueError(f"attribute {kind} of {length} octets")
        yield kind, data[2:length]
        data = data[length:]


def _eap(packet: bytes) -> str:
    if len(packet) < 4:
        return ""
    if packet[0] in EAP_CODES:
        return EAP_CODES[packet[0]]
    return EAP_TYPES.get(packet[4], f"EAP {packet[4]}") if len(packet) > 4 else "EAP"


def _ike(packet: Packet, data: bytes, exchanges: _Exchanges) -> Ike | None:
    version, exchange, _, message_id, length = struct.unpack_from("!17xBBBII", data)
    if length < 28 or exchange not in EXCHANGES:
        return None
    ends = frozenset((packet.source, packet.destination))
    seen = exchanges.setdefault((ends, data[:8], exchange, message_id), {})
    again = data in seen
    index = seen.setdefault(data, len(seen) + 1)
    label = EXCHANGES[exchange]
    if exchange in (MAIN, AGGRESSIVE, QUICK):
        label += f" {index}"
    return Ike(
        *_common(packet),
        f"IKEv{version >> 4}",
        label + (" again" if again else ""),
        version=version >> 4,
        exchange=exchange,
        index=index,
        again=again,
    )


def _mobility(packet: Packet) -> Mobility | None:
    clear = packet.protocol == MOBILITY
    kind = packet.payload[2] if clear else None
    suffix = "" if clear else " in ESP"
    if packet.home_address and kind in (None, BINDING_UPDATE):
        home = packet.home_address
        label = "Binding Update" + suffix
        return Mobility(*_common(packet), "MIPv6", label, True, home, in_clear=clear)
    if packet.routed_to and kind in (None, BINDING_ACK):
        refused = clear and packet.payload[6] >= 128
        home = packet.routed_to
        label = "Binding Ack" + suffix
        return Mobility(*_common(packet), "MIPv6", label, False, home, refused, clear)
    return None
