"""Where PaCs are: one key for a host, however its address is spelled."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from agents.core.machine import Address

HostAddress: TypeAlias = IPv4Address | IPv6Address
Host: TypeAlias = tuple[HostAddress, Address | None]
"""An address, and for a link-local one the relay, behind each of which it is another host's."""

Place: TypeAlias = tuple[HostAddress, int, Address | None]
"""Address, port and relay."""


@lru_cache(maxsize=256)  # A message's source is looked at several times.
def canonical(host: str) -> HostAddress:
    """Return a host's address without its zone."""
    return ip_address(host.partition("%")[0])


def place(source: Address, relay: Address | None) -> Place:
    """Return where a message came from."""
    return canonical(source[0]), source[1], relay


def host_at(where: Place) -> Host:
    """Return the host that is at a place."""
    address, _, relay = where
    return address, relay if address.is_link_local else None
