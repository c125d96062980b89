"""Mobile Prefix Solicitation and Advertisement (RFC 6275 sections 6.7, 6.8 and 7.2)."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.core.reader import Reader, WireError
from agents.core.record import Record

SOLICITATION, ADVERTISEMENT = 146, 147
"""ICMPv6 types."""

INFINITE = 0xFFFFFFFF
"""A lifetime in seconds that never ends (RFC 4861 section 4.6.2)."""

_PREFIX_INFORMATION, _UNITS = 3, 4
_MANAGED, _OTHER = 0x8000, 0x4000
_ON_LINK, _AUTONOMOUS, _ROUTER = 0x80, 0x40, 0x20


class PrefixInformation(Record, frozen=True):
    """A prefix and its lifetimes in seconds; with `is_router`, `address` is the router's (7.2)."""

    address: IPv6Address
    length: int
    valid: int
    preferred: int
    on_link: bool = True
    autonomous: bool = True
    is_router: bool = False

    @property
    def network(self) -> IPv6Network:
        """The prefix: the first bits of the address."""
        return IPv6Network((self.address, self.length), strict=False)

    def encode(self) -> bytes:
        """Return the option."""
        flags = _ON_LINK * self.on_link | _AUTONOMOUS * self.autonomous | _ROUTER * self.is_router
        head = bytes((_PREFIX_INFORMATION, _UNITS, self.length, flags))
        lifetimes = self.valid.to_bytes(4) + self.preferred.to_bytes(4)
        return head + lifetimes + bytes(4) + self.address.packed

    @classmethod
    def decode(cls, r: Reader) -> PrefixInformation:
        """Read what follows the option's type and length."""
        length, flags, valid, preferred = r.u8(), r.u8(), r.u32(), r.u32()
        r.u32()
        if length > 128:
            raise WireError(f"a prefix of {length} bits")
        address = IPv6Address(r.take(16))
        bits = (bool(flags & bit) for bit in (_ON_LINK, _AUTONOMOUS, _ROUTER))
        return cls(address, length, valid, preferred, *bits)


class PrefixSolicitation(Record, frozen=True):
    """A mobile node's question for the prefixes of its home link."""

    identifier: int

    def encode(self) -> bytes:
        """Return the ICMPv6 message with a checksum of 0, which the kernel fills in."""
        return bytes((SOLICITATION, 0, 0, 0)) + self.identifier.to_bytes(2) + bytes(2)


class PrefixAdvertisement(Record, frozen=True):
    """A home agent's answer, or news of a change; `prefixes` are those of the home link."""

    identifier: int
    prefixes: tuple[PrefixInformation, ...]
    managed: bool = False
    other: bool = False

    def encode(self) -> bytes:
        """Return the ICMPv6 message with a checksum of 0, which the kernel fills in."""
        flags = _MANAGED * self.managed | _OTHER * self.other
        fixed = bytes((ADVERTISEMENT, 0, 0, 0)) + self.identifier.to_bytes(2) + flags.to_bytes(2)
        return fixed + b"".join(prefix.encode() for prefix in self.prefixes)


def decode(data: bytes) -> PrefixSolicitation | PrefixAdvertisement:
    """Read an ICMPv6 message whose checksum has been verified; raise WireError.

    Options that are not known are passed over.
    """
    r = Reader(data)
    kind, code, _, identifier, flags = r.u8(), r.u8(), r.u16(), r.u16(), r.u16()
    if kind not in (SOLICITATION, ADVERTISEMENT) or code:
        raise WireError(f"ICMPv6 type {kind} code {code}")
    prefixes = read_prefixes(r)
    if kind == SOLICITATION:
        return PrefixSolicitation(identifier)
    if not prefixes:
        raise WireError("an advertisement of no prefix")
    managed, other = bool(flags & _MANAGED), bool(flags & _OTHER)
    return PrefixAdvertisement(identifier, prefixes, managed, other)


def read_prefixes(options: Reader) -> tuple[PrefixInformation, ...]:
    """Read the Prefix Information among a message's options; raise WireError."""
    prefixes = []
    while options.remaining:
        option, length = options.u8(), options.u8()
        body = options.sub(8 * length - 2)  # A length of 0 raises.
        if option == _PREFIX_INFORMATION:
            prefixes.append(PrefixInformation.decode(body))
            body.finish()
    return tuple(prefixes)
