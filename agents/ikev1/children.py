"""The table of ESP SAs that are up, and their lifetimes."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.index import Index
from agents.ike.constants import LOWEST_ESP_SPI, Role
from agents.ike.selectors import Selectors
from agents.ikev1 import events
from agents.ikev1.sa import Child, Endpoint, Timer


class Children:
    """Pairs of ESP SAs by their inbound SPI."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._children: dict[int, Child] = {}
        self._peers = Index[Child, IPv6Address]()
        self._holders = Index[Child, str]()
        self._reserved: dict[int, str] = {}
        self._unconfirmed: dict[str, int] = {}

    def new_spi(self) -> int:
        """Return an SPI that no SA of this host uses."""
        while True:
            spi = self._endpoint.rng.getrandbits(32)
            if spi >= LOWEST_ESP_SPI and spi not in self._children and spi not in self._reserved:
                return spi

    def reserve(self, spi: int, holder: str) -> None:
        """Keep an SPI of an SA that is keyed but not yet confirmed."""
        self._reserved[spi] = holder
        self._unconfirmed[holder] = self.unconfirmed(holder) + 1

    def release(self, spi: int) -> None:
        """Give back a reserved SPI."""
        if (holder := self._reserved.pop(spi, None)) is None:
            return
        self._unconfirmed[holder] -= 1
        if not self._unconfirmed[holder]:
            del self._unconfirmed[holder]

    def unconfirmed(self, holder: str) -> int:
        """Return how many pairs of a holder are keyed but not yet confirmed."""
        return self._unconfirmed.get(holder, 0)

    def get(self, spi: int) -> Child | None:
        """Return the pair with this inbound SPI."""
        return self._children.get(spi)

    def of_peer(self, peer: IPv6Address) -> tuple[Child, ...]:
        """Return the pairs with a peer, oldest first."""
        return self._peers.at(peer)

    def of_holder(self, holder: str) -> tuple[Child, ...]:
        """Return the pairs of a holder, from wherever, oldest first."""
        return self._holders.at(holder)

    def by_outbound(self, holder: str, spi: int) -> Child | None:
        """Return the pair of a holder that has this outbound SPI."""
        return next((c for c in self.of_holder(holder) if c.pair.outbound.spi == spi), None)

    def known(self, holder: str, selectors: Selectors) -> bool:
        """Return whether a holder has SAs of these selectors."""
        return any(c.selectors == selectors for c in self.of_holder(holder))

    def add(self, child: Child, now: float) -> list[Child]:
        """Take a new pair; return those that it replaces, for this host or as one too many."""
        endpoint, spi, others = self._endpoint, child.pair.inbound.spi, self.of_holder(child.holder)
        replaced = []
        if child.role is Role.INITIATOR:
            replaced = [
                c for c in others if c.selectors == child.selectors and c.role is Role.INITIATOR
            ]
        left = [c for c in others if c not in replaced]
        replaced += left[: max(0, len(left) + 1 - endpoint.config.children_per_peer)]
        self.release(spi)
        self._children[spi] = child
        self._peers.put(child, child.peer)
        self._holders.put(child, child.holder)
        lifetime = child.pair.inbound.lifetime
        endpoint.timers.set((Timer.CHILD_EXPIRES, b"", spi), now + lifetime)
        if child.role is Role.INITIATOR:
            soft = now + lifetime * endpoint.config.rekey_at
            endpoint.timers.set((Timer.CHILD_REKEY, b"", spi), soft)
        endpoint.events.append(events.ChildEstablished(now, child.peer, child.pair))
        return replaced

    def remove(self, child: Child, reason: str, now: float) -> None:
        """Drop a pair and tell the owner."""
        spi = child.pair.inbound.spi
        if self._children.pop(spi, None) is None:
            return
        self._peers.put(child, None)
        self._holders.put(child, None)
        for timer in (Timer.CHILD_EXPIRES, Timer.CHILD_REKEY):
            self._endpoint.timers.cancel((timer, b"", spi))
        spis = (spi, child.pair.outbound.spi)
        event = events.ChildDeleted(now, child.peer, spis, child.pair, reason)
        self._endpoint.events.append(event)
