"""Neighbor Discovery packets that a home agent sends and watches for (RFC 4861, 4862, 7527)."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.mip6.codec import internet_checksum

ALL_NODES = IPv6Address("ff02::1")
NONCE_LENGTH = 6

_ICMPV6 = 58
_SOLICITATION, _ADVERTISEMENT = 135, 136
_HOP_LIMIT = 255
_TARGET_LINK_ADDRESS, _NONCE = 2, 14
_OVERRIDE = 0x20000000
_UNSPECIFIED = IPv6Address("::")


class Claim(Record, frozen=True):
    """Another node's sign of life at `target`; `nonce` marks a solicitation's sender."""

    target: IPv6Address
    nonce: bytes | None = None


def solicited_node(target: IPv6Address) -> IPv6Address:
    """Return the solicited-node multicast address of `target` (RFC 4291 section 2.7.1)."""
    return IPv6Address((0xFF0200000000000000000001FF << 24) | int(target) & 0xFFFFFF)


def solicitation(target: IPv6Address, nonce: bytes) -> bytes:
    """Return an IPv6 packet that asks whether anyone has `target` (RFC 4862 section 5.4.2)."""
    option = bytes((_NONCE, 1)) + nonce
    body = bytes((_SOLICITATION, 0, 0, 0)) + bytes(4) + target.packed + option
    return _packet(_UNSPECIFIED, solicited_node(target), body)


def advertisement(source: IPv6Address, target: IPv6Address, link_address: bytes) -> bytes:
    """Return an IPv6 packet that draws packets for `target` to `link_address` (RFC 6275 10.4.1)."""
    option = bytes((_TARGET_LINK_ADDRESS, 1)) + link_address
    body = bytes((_ADVERTISEMENT, 0, 0, 0)) + _OVERRIDE.to_bytes(4) + target.packed + option
    return _packet(source, ALL_NODES, body)


def read_claim(packet: bytes) -> Claim | None:
    """Return what an IPv6 packet says of an address's use; None if it is about something else.

    A claim is any advertisement, or a solicitation from :: (another node's own detection).
    """
    r = Reader(packet)
    try:
        r.u32()
        length, next_header, hop_limit = r.u16(), r.u8(), r.u8()
        source = IPv6Address(r.take(16))
        r.take(16)
        body = r.sub(length)
        kind, code = body.u8(), body.u8()
        body.take(6)  # The checksum is the kernel's or the interface's; flags are of no matter.
        target = IPv6Address(body.take(16))
        if next_header != _ICMPV6 or hop_limit != _HOP_LIMIT or code != 0:
            return None
        if kind == _ADVERTISEMENT:
            return Claim(target)
        if kind == _SOLICITATION and source == _UNSPECIFIED:
            return Claim(target, _nonce(body))
    except WireError:
        pass
    return None


def _nonce(options: Reader) -> bytes | None:
    while options.remaining:
        kind, length = options.u8(), options.u8()
        value = options.take(8 * length - 2)  # A length of 0 raises.
        if kind == _NONCE:
            return value
    return None


def _packet(source: IPv6Address, destination: IPv6Address, body: bytes) -> bytes:
    checksum = internet_checksum(source, destination, _ICMPV6, body)
    header = (6 << 28).to_bytes(4) + len(body).to_bytes(2) + bytes((_ICMPV6, _HOP_LIMIT))
    return header + source.packed + destination.packed + body[:2] + checksum.to_bytes(2) + body[4:]
