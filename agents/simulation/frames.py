"""Ethernet frames of simulated packets, octet by octet as Linux would send them.

Protected packets are really encrypted, so that Wireshark reads them with the keys of the run.
IVs are the sequence numbers, or made of them; nothing here is random. What is longer than an
Ethernet frame is fragmented (RFC 8200 section 4.5).
"""

from __future__ import annotations

import hmac
import struct
import zlib
from functools import lru_cache
from ipaddress import IPv6Address

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from agents.crypto.ciphers import AES_BLOCK, GCM_IV, GCM_TAG, AesGcm, aes_cbc_encrypt
from agents.ike.esp import Encryption, EspSa
from agents.kernel.packet import (
    ESP,
    ICMPV6,
    MOBILITY_HEADER,
    TCP,
    UDP,
    Packet,
    Segment,
    is_multicast,
)
from agents.mip6.codec import internet_checksum

SYN = 0x02
MTU = 1500
"""Octets of the longest IPv6 packet in one frame."""

MSS = MTU - 40 - 20
"""Octets of a TCP segment's data and options beyond its header, as a SYN tells."""

TIMESTAMPS = 12
"""Octets of the options in every other segment (RFC 7323)."""

_ROUTING, _FRAGMENT, _DESTINATION = 43, 44, 60
_ETHERNET, _HEADER, _EXTENSION, _FRAGMENT_HEADER = 14, 40, 24, 8
_TCP_HEADER, _UDP_HEADER, _SYN_OPTIONS = 20, 8, 20
_HOME_ADDRESS, _TYPE_2 = 0xC9, 2
_PAD_TO_8N_PLUS_6 = bytes((1, 2, 0, 0))
_ETHERTYPE = b"\x86\xdd"
_CHECKSUM_AT = {UDP: 6, TCP: 16, ICMPV6: 2, MOBILITY_HEADER: 4}
_HASHES = {"hmac(sha1)": "sha1", "hmac(sha256)": "sha256"}
_HASHES |= {"hmac(sha384)": "sha384", "hmac(sha512)": "sha512"}
_PORTS, _ESP_HEADER = struct.Struct("!HH"), struct.Struct("!II")
_SEGMENT = struct.Struct("!IIBBHHH")
_TIMES = struct.Struct("!II")
_WINDOW_SCALE = 7


def frames(packet: Packet, source: bytes, destination: bytes) -> list[bytes]:
    """Return the Ethernet frames that carry a packet from one link-layer address to another."""
    header = destination + source + _ETHERTYPE
    return [header + part for part in _fragments(ipv6(packet))]


def group_address(group: IPv6Address) -> bytes:
    """Return the link-layer address of a group (RFC 2464 section 7)."""
    return b"\x33\x33" + group.packed[12:]


def size(packet: Packet) -> int:
    """Return how many octets the frames of a packet have, without making them."""
    whole = length(packet)
    if whole <= MTU:
        return _ETHERNET + whole
    room = MTU - _HEADER - _FRAGMENT_HEADER & ~7
    count = -(-(whole - _HEADER) // room)
    return whole + count * _ETHERNET + (count - 1) * _HEADER + count * _FRAGMENT_HEADER


def length(packet: Packet) -> int:
    """Return how many octets a packet has, whole and without its frame."""
    if packet.inner:
        return _HEADER + length(packet.inner)
    rest = len(packet.payload)
    if packet.protocol == UDP:
        rest += _UDP_HEADER
    elif packet.segment:
        rest += _TCP_HEADER + _options_size(packet.segment)
    if packet.esp:
        rest = _protected_size(packet.esp, rest)
    return before(packet) - _ETHERNET + rest


def before(packet: Packet) -> int:
    """Return how many octets of a packet's frame come before what a checksum or ESP guards."""
    extensions = (packet.home_address is not None) + (packet.routing is not None)
    return _ETHERNET + _HEADER + extensions * _EXTENSION


def ipv6(packet: Packet) -> bytes:
    """Return a packet in octets, whatever its length."""
    protocol, upper = packet.protocol, _upper(packet)
    if packet.esp:
        protocol, upper = ESP, _protect(packet.esp, packet.esp_number, protocol, upper)
    if packet.home_address:
        option = _PAD_TO_8N_PLUS_6 + bytes((_HOME_ADDRESS, 16)) + packet.home_address.packed
        protocol, upper = _DESTINATION, bytes((protocol, 2)) + option + upper
    if packet.routing:
        routing = bytes((protocol, 2, _TYPE_2, 1)) + bytes(4) + packet.routing.packed
        protocol, upper = _ROUTING, routing + upper
    return _header(packet, protocol, len(upper)) + upper


def _header(packet: Packet, protocol: int, length: int) -> bytes:
    start = struct.pack("!IHBB", 6 << 28, length, protocol, packet.hop_limit)
    return start + packet.source.packed + packet.destination.packed


def _upper(packet: Packet) -> bytes:
    """Return what follows the extension headers, in the clear and with its checksum."""
    if packet.inner:
        return ipv6(packet.inner)
    ports = _PORTS.pack(packet.source_port, packet.destination_port)
    payload = packet.payload
    if packet.protocol == UDP:
        payload = ports + (_UDP_HEADER + len(payload)).to_bytes(2) + bytes(2) + payload
    elif packet.segment:
        payload = ports + _segment(packet.segment) + payload
    at = _CHECKSUM_AT.get(packet.protocol)
    if at is None:
        return payload
    source = packet.home_address or packet.source
    destination = packet.routing or packet.destination
    blank = payload[:at] + bytes(2) + payload[at + 2 :]
    checksum = internet_checksum(source, destination, packet.protocol, blank)
    if packet.protocol == UDP:
        checksum = checksum or 0xFFFF  # 0 is none (RFC 8200 section 8.1).
    return blank[:at] + checksum.to_bytes(2) + blank[at + 2 :]


def _options_size(segment: Segment) -> int:
    """Return the octets of a segment's options; who has no stream sends none with its RST."""
    if segment.flags & SYN:
        return _SYN_OPTIONS
    return TIMESTAMPS if segment.window else 0


def _segment(segment: Segment) -> bytes:
    """Return a TCP header after its ports, with the options that Linux has in it."""
    size, options, window = _options_size(segment), b"", segment.window
    times = b"\x08\x0a" + _TIMES.pack(segment.sent_at, segment.echoed)
    if size == _SYN_OPTIONS:
        options = b"\x02\x04" + MSS.to_bytes(2) + b"\x04\x02" + times
        options += bytes((1, 3, 3, _WINDOW_SCALE))
    elif size:
        options, window = b"\1\1" + times, window >> _WINDOW_SCALE
    offset = _TCP_HEADER + len(options) << 2
    numbers = segment.sequence, segment.acknowledgement
    return _SEGMENT.pack(*numbers, offset, segment.flags, window, 0, 0) + options


def _fragments(packet: bytes) -> list[bytes]:
    if len(packet) <= MTU:
        return [packet]
    header, rest = packet[:_HEADER], packet[_HEADER:]
    number, room = zlib.crc32(packet), MTU - _HEADER - _FRAGMENT_HEADER & ~7
    parts = []
    for offset in range(0, len(rest), room):
        data = rest[offset : offset + room]
        more = offset + room < len(rest)
        fragment = struct.pack("!BBHI", header[6], 0, offset | more, number)
        length = (_FRAGMENT_HEADER + len(data)).to_bytes(2)
        changed = header[:4] + length + bytes((_FRAGMENT,)) + header[7:]
        parts.append(changed + fragment + data)
    return parts


# ESP (RFC 4303)


def _block(sa: EspSa) -> tuple[int, int, int]:
    """Return the lengths of a block, of the IV and of the ICV in octets."""
    if sa.encryption is Encryption.AES_GCM_16:
        return 4, GCM_IV, GCM_TAG
    return AES_BLOCK, AES_BLOCK, sa.integrity.value[1] // 8


def _protected_size(sa: EspSa, length: int) -> int:
    block, iv, icv = _block(sa)
    return _ESP_HEADER.size + iv + length + 2 + -(length + 2) % block + icv


def _protect(sa: EspSa, number: int, protocol: int, data: bytes) -> bytes:
    block, _, icv = _block(sa)
    padding = bytes(range(1, 1 + -(len(data) + 2) % block))
    clear = data + padding + bytes((len(padding), protocol))
    header = _ESP_HEADER.pack(sa.spi, number)
    if sa.encryption is Encryption.AES_GCM_16:
        iv = number.to_bytes(GCM_IV)
        return header + iv + _gcm(sa.encryption_key).encrypt(iv, clear, header)
    iv = _unpredictable(sa.encryption_key, number)
    protected = header + iv + aes_cbc_encrypt(sa.encryption_key, iv, clear)
    if not icv:
        return protected
    hash_name = _HASHES[sa.integrity.value[0]]
    return protected + hmac.digest(sa.integrity_key, protected, hash_name)[:icv]


@lru_cache(maxsize=64)
def _gcm(key: bytes) -> AesGcm:
    return AesGcm(key)


def _unpredictable(key: bytes, number: int) -> bytes:
    """Return an IV for AES-CBC: the sequence number, encrypted (NIST SP 800-38A appendix C)."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(number.to_bytes(AES_BLOCK)) + encryptor.finalize()


def link_address(packet: Packet, known: bytes | None) -> bytes:
    """Return where a frame goes: to a group, to a neighbour, or to all if none is known."""
    if is_multicast(packet.destination):
        return group_address(packet.destination)
    return known or b"\xff" * 6
