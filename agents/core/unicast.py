"""Which IPv6 addresses one host can have and others can reach, whoever names them."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

_INTERFACE_IDENTIFIER = (1 << 64) - 1
_RESERVED_ANYCAST = range(0xFDFF_FFFF_FFFF_FF80, 0xFE00_0000_0000_0000)
"""Interface identifiers of RFC 2526, that of a link's home agents among them."""

_NOBODYS = tuple(
    IPv6Network(prefix)
    for prefix in (
        "::/96",  # Unspecified, loopback, IPv4-compatible (RFC 4291 section 2.5).
        "::ffff:0:0/96",  # IPv4-mapped (RFC 4291 section 2.5.5.2).
        "64:ff9b::/96",  # IPv4 behind a translator (RFC 6052).
        "64:ff9b:1::/48",  # The same, of one network (RFC 8215).
        "100::/64",  # Discarded (RFC 6666).
        "fe80::/10",  # Of one link.
        "fec0::/10",  # Site-local (RFC 3879).
        "ff00::/8",  # Multicast.
    )
)


def is_unicast(address: IPv6Address) -> bool:
    """Return whether an address is one host's, of more than a link, and no anycast address."""
    if address.scope_id is not None:
        return False
    identifier = int(address) & _INTERFACE_IDENTIFIER
    anycast = identifier == 0 or identifier in _RESERVED_ANYCAST  # RFC 4291 section 2.6.1.
    return not (anycast or any(address in network for network in _NOBODYS))


def home_agent_address(text: str) -> IPv6Address:
    """Return a home agent's address out of a configuration; ValueError says what is wrong."""
    address = IPv6Address(text)
    if not is_unicast(address):
        raise ValueError(f"{text!r} is not a global unicast address, as a home agent has")
    return address
