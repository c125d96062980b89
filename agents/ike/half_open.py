"""Who has half-open SAs, and how many a host may have (RFC 7296 section 2.6, RFC 2408 2.5.3)."""

from __future__ import annotations

import random
from collections.abc import Hashable
from ipaddress import IPv6Address
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MAX_UNPROVEN = 16384
"""Octets of a message that is kept before its sender has proved who it is: certificates fit."""

_INTERFACE_BITS = 64


class _Hosts:
    """Hosts of one prefix, by how many half-open SAs each has."""

    __slots__ = ("_having", "_most", "total")

    def __init__(self) -> None:
        self.total = 0
        self._having: dict[int, dict[IPv6Address, None]] = {}
        self._most = 0

    def count(self, host: IPv6Address, before: int, after: int) -> None:
        """Note that a host has one more, or one less."""
        if before:
            there = self._having[before]
            del there[host]
            if not there:
                del self._having[before]
        if after:
            self._having.setdefault(after, {})[host] = None
        self.total += after - before
        if after > self._most or self._most not in self._having:
            self._most = after

    def greediest(self) -> IPv6Address:
        """Return the host that has the most, of several the one that has had them longest."""
        return next(iter(self._having[self._most]))


class HalfOpen(Generic[K]):
    """Half-open SAs with a limit for a host, for its /64 and for all.

    A host is an address, but whoever has one may have the whole /64 around it, as its other
    neighbours do: so a /64 has a limit of its own, of several hosts' worth. One link leaves room
    for all others; and where a /64 or all have what they may, the host that has the most gives
    way, so that who has one is safe from who has several.

    Of that host the oldest gives way, or with `rng` any one: where others can send in a host's
    name, they would push out the oldest, which is the host's own, every time.
    """

    def __init__(
        self, *, host: int, link: int, total: int, rng: random.Random | None = None
    ) -> None:
        self._rng = rng
        self._per_host, self._per_link, self._total = host, link, total
        self._addresses: dict[K, IPv6Address] = {}
        self._of_host: dict[IPv6Address, dict[K, None]] = {}
        self._links: dict[int, _Hosts] = {}
        self._all = _Hosts()

    def __len__(self) -> int:
        return len(self._addresses)

    def __contains__(self, key: K) -> bool:
        return key in self._addresses

    def of_host(self, address: IPv6Address) -> int:
        """Return how many a host has."""
        return len(self._of_host.get(address, ()))

    def full(self, address: IPv6Address) -> bool:
        """Return whether a host has all that it may."""
        return self.of_host(address) >= self._per_host

    def giving_way(self, address: IPv6Address) -> K | None:
        """Return the SA that gives way to a new one of a host, None if there is room."""
        if (host := self._crowding(address)) is None:
            return None
        there = self._of_host[host]
        return next(iter(there)) if self._rng is None else self._rng.choice(list(there))

    def _crowding(self, address: IPv6Address) -> IPv6Address | None:
        """Return the host that takes the room of a new SA: itself, a neighbour, or any."""
        if self.full(address):
            return address
        link = self._links.get(int(address) >> _INTERFACE_BITS)
        if link is not None and link.total >= self._per_link:
            return link.greediest()
        return self._all.greediest() if self._all.total >= self._total else None

    def add(self, key: K, address: IPv6Address) -> None:
        """Count one more; the owner has made room for it."""
        self._addresses[key] = address
        there = self._of_host.setdefault(address, {})
        there[key] = None
        self._count(address, len(there) - 1, len(there))

    def remove(self, key: K) -> None:
        """Count one no more, if it is counted."""
        address = self._addresses.pop(key, None)
        if address is None:
            return
        there = self._of_host[address]
        del there[key]
        if not there:
            del self._of_host[address]
        self._count(address, len(there) + 1, len(there))

    def _count(self, address: IPv6Address, before: int, after: int) -> None:
        number = int(address) >> _INTERFACE_BITS
        link = self._links.setdefault(number, _Hosts())
        for hosts in (link, self._all):
            hosts.count(address, before, after)
        if not link.total:
            del self._links[number]
