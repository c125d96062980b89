"""IPv6 packets: headers, ICMPv6, TCP, the Mobility Header, tunnels, and what ESP hides."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

from testbed.trace.decode import aaa, lookup, pana
from testbed.trace.decode.eap import Conversations
from testbed.trace.decode.ike import Ike
from testbed.trace.decode.text import Lines, hexadecimal, named, within
from testbed.trace.decode.tls import Session, read_key_log
from testbed.trace.dissect import (
    IKE_NAT_PORT,
    Eapol,
    Lookup,
    Packet,
    Pana,
    Radius,
    Seen,
    Tunnelled,
    parse,
)
from testbed.trace.dissect import (
    Ike as IkeMessage,
)
from testbed.trace.esp import open_packet
from testbed.trace.frames import Frame
from testbed.trace.keys import KEYS, EspKey, read_keys
from testbed.trace.streams import PORTS, Segment

TLS_KEYS = "tls.keys"
NO_NEXT_HEADER = 59
_ETHERNET = bytes(12) + b"\x86\xdd"
_TCP_FLAGS = ((2, "SYN"), (1, "FIN"), (4, "RST"), (16, "ACK"))
_ICMPV6 = {
    1: "Destination Unreachable",
    2: "Packet Too Big",
    3: "Time Exceeded",
    128: "Echo Request",
    129: "Echo Reply",
    131: "Multicast Listener Report",
    133: "Router Solicitation",
    134: "Router Advertisement",
    135: "Neighbour Solicitation",
    136: "Neighbour Advertisement",
    143: "Multicast Listener Report",
    144: "Home Agent Address Discovery Request",
    145: "Home Agent Address Discovery Reply",
    146: "Mobile Prefix Solicitation",
    147: "Mobile Prefix Advertisement",
}
_BY_IDENTIFIER = range(144, 148)
_HOME_AGENTS = 145
_ABOUT_TARGETS = frozenset({135, 136})
_LINK_LAYER_OPTIONS = {1: "Source link-layer address", 2: "Target link-layer address"}
_UPDATE, _ACK, _ERROR = 5, 6, 7
_MOBILITY = {
    0: "Binding Refresh Request",
    1: "Home Test Init",
    2: "Care-of Test Init",
    3: "Home Test",
    4: "Care-of Test",
    _UPDATE: "Binding Update",
    _ACK: "Binding Acknowledgement",
    _ERROR: "Binding Error",
}
_TEST_INITS, _TESTS = (1, 2), (3, 4)
_BINDING_FLAGS = ((0x8000, "A"), (0x4000, "H"), (0x2000, "L"), (0x1000, "K"))
_STATUSES = {
    0: "accepted",
    1: "accepted, prefix discovery necessary",
    128: "reason unspecified",
    129: "administratively prohibited",
    130: "insufficient resources",
    131: "home registration not supported",
    132: "not home subnet",
    133: "not home agent for this mobile node",
    134: "duplicate address detection failed",
    135: "sequence number out of window",
    136: "expired home nonce index",
    137: "expired care-of nonce index",
    138: "expired nonces",
    139: "registration type change",
    144: "timestamp not accepted",
    145: "timestamp required",
    146: "authentication failed",
    174: "invalid care-of address",
}
_OPTIONS = {
    2: "Binding Refresh Advice",
    3: "Alternate Care-of Address",
    4: "Nonce Indices",
    5: "Binding Authorization Data",
    8: "Mobile Node Identifier",
    9: "Mobility Message Authentication",
    10: "Replay Protection",
}


class Opener:
    """Reads the packets of a run, in order, with the keys of its folder."""

    def __init__(self, keys: Path) -> None:
        found, secrets = read_keys(keys / KEYS), read_key_log(keys / TLS_KEYS)
        self._secrets = secrets
        self._eap = Conversations(secrets)
        self._ike = Ike(found, self._eap)
        self._esp = {key.spi.to_bytes(4): key for key in found if isinstance(key, EspKey)}
        self._tls: dict[frozenset[tuple[IPv6Address, int]], Session] = {}

    def read(
        self, packet: Packet, message: Seen | None, segment: Segment | None
    ) -> tuple[str, str, list[str]]:
        """Return the protocol of a packet, what it is called, and its fields."""
        lines = list(_addresses(packet))
        if segment and segment.has_data:
            name, more = self._diameter(packet, segment)
            return "Diameter", name, [*lines, *more]
        protocol, name = self._name(packet, message)
        lines += self._payload(packet, message)
        return protocol, name, lines

    def eapol(self, message: Eapol) -> Lines:
        """Yield the fields of a frame of IEEE 802.1X: those of the EAP packet in it."""
        if message.eap is not None:
            yield from self._eap.lines(message.protocol, message.octets)

    def _name(self, packet: Packet, message: Seen | None) -> tuple[str, str]:
        if message and not isinstance(message, Tunnelled):
            return message.protocol, message.label
        match packet.protocol:
            case 6:
                flags = packet.payload[13]
                return "TCP", " ".join(name for bit, name in _TCP_FLAGS if flags & bit) or "segment"
            case 58:
                return "ICMPv6", _ICMPV6.get(packet.payload[0], f"type {packet.payload[0]}")
            case 41:
                return "IPv6 tunnel", f"to {IPv6Address(packet.payload[24:40])}"
            case 135:
                return "MIPv6", _MOBILITY.get(packet.payload[2], f"type {packet.payload[2]}")
            case 50:
                return "ESP", f"SPI {packet.payload[:4].hex()}"
            case 17:
                ports = struct.unpack_from("!HH", packet.payload)
                return "other", f"UDP {ports[0]} to {ports[1]}"
        return "other", f"protocol {packet.protocol}"

    def _payload(self, packet: Packet, message: Seen | None) -> Lines:
        data = packet.payload
        match packet.protocol:
            case 17:
                ports = struct.unpack_from("!HH", data)
                yield f"UDP: {ports[0]} to {ports[1]}, {len(data) - 8} octets"
                yield from self._datagram(packet, message, ports, data[8:])
            case 6:
                yield from _segment(data)
            case 58:
                yield from _icmpv6(data)
            case 135:
                yield from _mobility(data)
            case 50:
                yield from self._open(packet)
            case 41:
                yield "IPv6 in IPv6"
                yield from within(self._inner(data))

    def _datagram(
        self, packet: Packet, message: Seen | None, ports: tuple[int, ...], data: bytes
    ) -> Lines:
        match message:
            case Pana():
                pac = packet.source if not message.request else packet.destination
                yield from pana.lines(data, self._eap, _session(data, pac))
            case Radius():
                client = packet.source if ports[1] in (1812, 1813) else packet.destination
                yield from aaa.radius(data, self._eap, ("RADIUS", client))
            case IkeMessage():
                nat = IKE_NAT_PORT in ports and data[:4] == bytes(4)
                yield from self._ike.lines(data[4:] if nat else data)
            case Lookup(protocol="DNS"):
                yield from lookup.dns_message(data)
            case Lookup():
                yield from lookup.dhcpv6(data)

    def _diameter(self, packet: Packet, segment: Segment) -> tuple[str, list[str]]:
        """Return the names and the fields of the messages that end in a segment."""
        lines: list[str] = list(_segment(packet.payload))
        if segment.again:
            return "segment again", lines
        whole = list(segment.whole)
        if segment.opaque:
            for read in self._connection(packet).feed(segment.data, from_client=_is_call(packet)):
                lines += read.lines
                whole += _messages(read.data)
        for message in whole:
            lines += aaa.diameter(message, self._eap)
        names = [aaa.diameter_name(message) for message in whole]
        rest = "in TLS" if segment.opaque else "part of a message"
        return " ".join(names) or rest, lines

    def _connection(self, packet: Packet) -> Session:
        source, destination = struct.unpack_from("!HH", packet.payload)
        ends = frozenset({(packet.source, source), (packet.destination, destination)})
        return self._tls.setdefault(ends, Session(self._secrets))

    def _open(self, packet: Packet) -> Lines:
        spi, sequence = packet.payload[:4], int.from_bytes(packet.payload[4:8])
        yield f"ESP: SPI {spi.hex()}, sequence number {sequence}"
        opened = open_packet(packet.payload, key) if (key := self._esp.get(spi)) else None
        if opened is None:
            yield f"  Encrypted: {len(packet.payload) - 8} octets"
            return
        protocol, content = opened
        yield "  Encrypted, opened:"
        inner = replace(packet, protocol=protocol, payload=content)
        yield from within(within(self._payload(inner, None)))

    def _inner(self, data: bytes) -> Lines:
        """Yield the fields of a packet in a tunnel."""
        inner = parse(Frame(0, _ETHERNET + data))
        if inner:
            yield from _addresses(inner)
            yield from self._payload(inner, None)


def _session(data: bytes, pac: IPv6Address) -> object:
    """Return what tells a PANA session's EAP from others: its PaC; a relay's, who it is for."""
    return "PANA", pac, data[16:] if data[6:8] == b"\x00\x05" and data[0] != 1 else b""


def _is_call(packet: Packet) -> bool:
    """Return whether a segment is from the end that made the connection."""
    return struct.unpack_from("!H", packet.payload, 2)[0] in PORTS


def _messages(data: bytes) -> Iterable[bytes]:
    """Yield the Diameter messages in what TLS carried: one record has whole ones."""
    while len(data) >= 20 and 20 <= (length := int.from_bytes(data[1:4])) <= len(data):
        yield data[:length]
        data = data[length:]


def _addresses(packet: Packet) -> Lines:
    yield f"IPv6: {packet.source} to {packet.destination}"
    if packet.home_address:
        yield f"  Home Address option: {packet.home_address}"
    if packet.routed_to:
        yield f"  Routing header, type 2: {packet.routed_to}"


def _segment(data: bytes) -> Lines:
    source, destination, sequence, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", data)
    names = " ".join(name for bit, name in _TCP_FLAGS if flags & bit)
    yield f"TCP: {source} to {destination}, {names or 'no flags'}"
    yield f"  Sequence number: {sequence}, acknowledges {ack}, window {window}"
    yield f"  Data: {len(data) - (offset >> 4) * 4} octets"


def _icmpv6(data: bytes) -> Lines:
    kind = data[0]
    yield f"ICMPv6: {named(_ICMPV6, kind)}"
    if kind in (128, 129):
        yield "  Identifier and sequence number: {}, {}".format(*struct.unpack_from("!HH", data, 4))
    elif kind in _ABOUT_TARGETS:
        yield f"  Target: {IPv6Address(data[8:24])}"
        yield from within(_neighbour_options(data[24:]))
    elif kind in _BY_IDENTIFIER:
        yield f"  Identifier: {struct.unpack_from('!H', data, 4)[0]}"
        for at in range(8, len(data), 16) if kind == _HOME_AGENTS else ():
            yield f"  Home agent: {IPv6Address(data[at : at + 16])}"
    elif kind == 134:
        yield f"  Router lifetime: {struct.unpack_from('!H', data, 6)[0]} s"
        yield from within(_neighbour_options(data[16:]))


def _neighbour_options(data: bytes) -> Lines:
    while len(data) >= 8 and data[1]:
        kind, value = data[0], data[2 : 8 * data[1]]
        if kind in _LINK_LAYER_OPTIONS:
            yield f"{_LINK_LAYER_OPTIONS[kind]}: {value[:6].hex(':')}"
        elif kind == 3:
            yield f"Prefix: {IPv6Address(value[14:30])}/{value[0]}"
        data = data[8 * data[1] :]


def _mobility(data: bytes) -> Lines:
    """Yield the fields of a Mobility Header (RFC 6275 section 6.1)."""
    kind = data[2]
    yield f"Mobility Header: {named(_MOBILITY, kind)}"
    if kind == _UPDATE:
        sequence, flags, lifetime = struct.unpack_from("!HHH", data, 6)
        letters = " ".join(name for bit, name in _BINDING_FLAGS if flags & bit)
        yield f"  Sequence number: {sequence}"
        yield f"  Flags: {letters or 'none'}"
        yield f"  Lifetime: {lifetime * 4} s"
    elif kind == _ACK:
        status, _, sequence, lifetime = struct.unpack_from("!BBHH", data, 6)
        yield f"  Status: {named(_STATUSES, status)}"
        yield f"  Sequence number: {sequence}"
        yield f"  Lifetime: {lifetime * 4} s"
    elif kind == _ERROR:
        yield f"  Home address: {IPv6Address(data[8:24])}"
    elif kind in _TEST_INITS:
        yield f"  Cookie: {hexadecimal(data[8:16])}"
    elif kind in _TESTS:
        yield f"  Nonce index: {struct.unpack_from('!H', data, 6)[0]}"
        yield f"  Cookie: {hexadecimal(data[8:16])}"
        yield f"  Keygen token: {hexadecimal(data[16:24])}"
    at = 12
    while kind in (_UPDATE, _ACK) and at + 2 <= len(data):
        if data[at] == 0:
            at += 1
            continue
        option, value = data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
        if option == 3:
            yield f"  {_OPTIONS[3]}: {IPv6Address(value)}"
        elif option != 1:
            yield f"  {_OPTIONS.get(option, f'Option {option}')}: {hexadecimal(value)}"
