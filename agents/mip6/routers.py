"""Router Solicitation and Advertisement (RFC 4861 sections 4.1 and 4.2, RFC 6275 section 7.2)."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.mip6.prefixes import PrefixInformation, read_prefixes

SOLICITATION, ADVERTISEMENT = 133, 134
"""ICMPv6 types."""

ALL_ROUTERS = "ff02::2"
HOP_LIMIT = 255
"""What is not of this link has less."""

_SOURCE_LINK_ADDRESS = 1
_SLAAC = 64
"""Bits of a prefix of which hosts make addresses (RFC 4862 section 5.5.3, RFC 4291)."""

_IDENTIFIER = (1 << 128 - _SLAAC) - 1
"""Without it, an address is that of any router on the link (RFC 4291 section 2.6.1)."""

_UNIQUE_LOCAL = IPv6Network("fc00::/7")
_LOW = IPv6Network("::/8")
"""Unspecified, loopback, and what has IPv4 addresses in it."""


def solicitation(link_address: bytes) -> bytes:
    """Return the question for routers with a checksum of 0, which the kernel fills in."""
    option = bytes((_SOURCE_LINK_ADDRESS, 1)) + link_address
    return bytes((SOLICITATION, 0, 0, 0)) + bytes(4) + option


def _is_usable(prefix: PrefixInformation) -> bool:
    """Return whether a kernel makes an address of a prefix (RFC 4862 section 5.5.3)."""
    lasts = 0 < prefix.preferred <= prefix.valid
    address = prefix.address
    ruled_out = address.is_link_local or address.is_multicast or address in _LOW
    return prefix.autonomous and lasts and prefix.length == _SLAAC and not ruled_out


def _is_local(prefix: PrefixInformation) -> bool:
    return prefix.address in _UNIQUE_LOCAL


class RouterAdvertisement(Record, frozen=True):
    """What a router tells; `lifetime` is for how many seconds it is a default router."""

    lifetime: int
    prefixes: tuple[PrefixInformation, ...]

    @property
    def usable(self) -> tuple[PrefixInformation, ...]:
        """The prefixes of which a host makes itself addresses that it may use, local ones last."""
        return tuple(sorted(filter(_is_usable, self.prefixes), key=_is_local))

    @property
    def router(self) -> IPv6Address | None:
        """The router's address in a prefix of these, if it tells it (R bit)."""
        told = (p.address for p in self.usable if p.is_router)
        return next((one for one in told if int(one) & _IDENTIFIER), None)

    def encode(self) -> bytes:
        """Return the ICMPv6 message with a checksum of 0, and what is not told here as 0."""
        head = bytes((ADVERTISEMENT, 0, 0, 0, 0, 0)) + self.lifetime.to_bytes(2) + bytes(8)
        return head + b"".join(prefix.encode() for prefix in self.prefixes)

    @classmethod
    def decode(cls, data: bytes) -> RouterAdvertisement:
        """Read an ICMPv6 message whose checksum has been verified; raise WireError."""
        r = Reader(data)
        kind, code, _, _, _, lifetime = r.u8(), r.u8(), r.u16(), r.u8(), r.u8(), r.u16()
        if kind != ADVERTISEMENT or code:
            raise WireError(f"ICMPv6 type {kind} code {code}")
        r.u32()
        r.u32()
        return cls(lifetime, read_prefixes(r))
