"""Who has half-open SAs, and how many a host may have (RFC 7296 section 2.6, RFC 2408 2.5.3)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from ipaddress import IPv6Address
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MAX_UNPROVEN = 16384
"""Octets of a message that is kept before its sender has proved who it is: certificates fit."""

HOST, LINK, ALL = 128, 64, 0
"""Lengths of the prefixes that have a limit."""


class HalfOpen(Generic[K]):
    """Half-open SAs, oldest first, with a limit for each prefix that a peer's address lies in.

    A host is an address, but whoever has one may have the whole /64 around it, as its other
    neighbours do: so a /64 has a limit of its own, of several hosts' worth. Then one host, or
    one link, leaves room for all others.
    """

    def __init__(self, *, host: int, link: int, total: int) -> None:
        self._limits = ((HOST, host), (LINK, link), (ALL, total))
        self._addresses: dict[K, IPv6Address] = {}
        self._within: dict[tuple[int, int], dict[K, None]] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    def __contains__(self, key: K) -> bool:
        return key in self._addresses

    def _prefixes(self, address: IPv6Address) -> Iterator[tuple[tuple[int, int], int]]:
        number = int(address)
        for length, limit in self._limits:
            yield (length, number >> (128 - length)), limit

    def of_host(self, address: IPv6Address) -> int:
        """Return how many a host has."""
        return len(self._within.get((HOST, int(address)), ()))

    def crowded(self, address: IPv6Address) -> tuple[int, K] | None:
        """Return the longest prefix of an address that has all it may, and its oldest SA."""
        for prefix, limit in self._prefixes(address):
            there = self._within.get(prefix, {})
            if len(there) >= limit:
                return prefix[0], next(iter(there))
        return None

    def add(self, key: K, address: IPv6Address) -> None:
        """Count one more; the owner has made room for it."""
        self._addresses[key] = address
        for prefix, _ in self._prefixes(address):
            self._within.setdefault(prefix, {})[key] = None

    def remove(self, key: K) -> None:
        """Count one no more, if it is counted."""
        address = self._addresses.pop(key, None)
        if address is None:
            return
        for prefix, _ in self._prefixes(address):
            del self._within[prefix][key]
            if not self._within[prefix]:
                del self._within[prefix]
