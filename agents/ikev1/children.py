"""The table of ESP SAs that are up, and their lifetimes."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.ikev1 import events
from agents.ikev1.config import Selectors
from agents.ikev1.constants import Role
from agents.ikev1.host import Child, Host, Timer

LOWEST_SPI = 0x100
"""Smaller SPIs are reserved (RFC 4303 section 2.1)."""


class Children:
    """Pairs of ESP SAs by their inbound SPI."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._children: dict[int, Child] = {}
        self._reserved: set[int] = set()

    def new_spi(self) -> int:
        """Return an SPI that no SA of this host uses."""
        while True:
            spi = self._host.rng.getrandbits(32)
            if spi >= LOWEST_SPI and spi not in self._children and spi not in self._reserved:
                return spi

    def reserve(self, spi: int) -> None:
        """Keep an SPI of an SA that is keyed but not yet confirmed."""
        self._reserved.add(spi)

    def release(self, spi: int) -> None:
        """Give back a reserved SPI."""
        self._reserved.discard(spi)

    def get(self, spi: int) -> Child | None:
        """Return the pair with this inbound SPI."""
        return self._children.get(spi)

    def of_peer(self, peer: IPv6Address) -> list[Child]:
        """Return the pairs with a peer, oldest first."""
        return [c for c in self._children.values() if c.peer == peer]

    def by_outbound(self, peer: IPv6Address, spi: int) -> Child | None:
        """Return the pair with a peer that has this outbound SPI."""
        return next((c for c in self.of_peer(peer) if c.pair.outbound.spi == spi), None)

    def known(self, peer: IPv6Address, selectors: Selectors) -> bool:
        """Return whether SAs of these selectors are up with a peer."""
        return any(c.selectors == selectors for c in self.of_peer(peer))

    def of_holder(self, peer: IPv6Address, home_address: IPv6Address | None) -> list[Child]:
        """Return the pairs with a peer, and those of its home address from wherever."""
        return [
            c
            for c in self._children.values()
            if c.peer == peer or (home_address is not None and c.entry.home_address == home_address)
        ]

    def add(self, child: Child, now: float) -> list[Child]:
        """Take a new pair; return those that it replaces for this host, the initiator."""
        host, spi = self._host, child.pair.inbound.spi
        replaced = []
        if child.role is Role.INITIATOR:
            replaced = [
                c
                for c in self.of_peer(child.peer)
                if c.selectors == child.selectors and c.role is Role.INITIATOR
            ]
        self._reserved.discard(spi)
        self._children[spi] = child
        lifetime = child.pair.inbound.lifetime
        host.timers.set((Timer.CHILD_EXPIRES, b"", spi), now + lifetime)
        if child.role is Role.INITIATOR:
            soft = now + lifetime * host.config.rekey_at
            host.timers.set((Timer.CHILD_REKEY, b"", spi), soft)
        host.events.append(events.ChildEstablished(now, child.peer, child.pair))
        return replaced

    def remove(self, child: Child, reason: str, now: float) -> None:
        """Drop a pair and tell the owner."""
        spi = child.pair.inbound.spi
        if self._children.pop(spi, None) is None:
            return
        for timer in (Timer.CHILD_EXPIRES, Timer.CHILD_REKEY):
            self._host.timers.cancel((timer, b"", spi))
        spis = (spi, child.pair.outbound.spi)
        event = events.ChildDeleted(now, child.peer, spis, child.pair, reason)
        self._host.events.append(event)
