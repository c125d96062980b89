"""The security association database of a modelled kernel (RFC 4301 section 4.4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Generic, ParamSpec, TypeAlias

from agents.ike.esp import EspSa
from agents.kernel.packet import Packet

P = ParamSpec("P")
Ends: TypeAlias = tuple[IPv6Address, IPv6Address]
SaKey: TypeAlias = tuple[IPv6Address, int]
"""Destination and SPI."""

ACQUIRE_EXPIRES = 30.0
"""Seconds after which Linux asks again for an SA that has not come (xfrm_acq_expires)."""


class Watchers(Generic[P]):
    """Who is told of something, at once."""

    def __init__(self) -> None:
        self._told: dict[Watcher[P], None] = {}

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, callback: Callable[P, None]) -> Watcher[P]:
        """Tell one more, until it is closed."""
        watcher = Watcher(callback, self)
        self._told[watcher] = None
        return watcher

    def remove(self, watcher: Watcher[P]) -> None:
        """Tell one no more."""
        self._told.pop(watcher, None)

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell all of them."""
        for watcher in tuple(self._told):
            watcher.callback(*args, **kwargs)


@dataclass(frozen=True, slots=True, eq=False)
class Watcher(Generic[P]):
    """One who is told."""

    callback: Callable[P, None]
    among: Watchers[P] = field(repr=False)

    def close(self) -> None:
        """Be told no more."""
        self.among.remove(self)


class Sad:
    """ESP SAs: looked up by destination and SPI inbound, by what they select outbound."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.changes: Watchers[[]] = Watchers()
        self.acquires: Watchers[[IPv6Address, IPv6Address]] = Watchers()
        self._now = now
        self._installed: dict[SaKey, tuple[EspSa, float]] = {}
        self._between: dict[Ends, dict[SaKey, None]] = {}
        self._acquiring: dict[Ends, float] = {}
        self._sent: dict[SaKey, int] = {}

    def __iter__(self) -> Iterator[EspSa]:
        return (sa for sa, until in tuple(self._installed.values()) if self._now() < until)

    def get(self, destination: IPv6Address, spi: int) -> EspSa | None:
        """Return an SA whose lifetime is not over."""
        sa, until = self._installed.get((destination, spi), (None, 0.0))
        if sa and self._now() >= until:
            self.remove(destination, spi)
            return None
        return sa

    def add(self, sa: EspSa) -> None:
        """Add an SA; one with the same SPI goes first."""
        key, ends = (sa.destination, sa.spi), (sa.source, sa.destination)
        self._drop(key)
        self._installed[key] = sa, self._now() + sa.lifetime
        self._between.setdefault(ends, {})[key] = None
        self._acquiring.pop(ends, None)
        self.changes.tell()

    def next_number(self, sa: EspSa) -> int:
        """Return the sequence number of the next packet that an SA protects, from 1."""
        key = sa.destination, sa.spi
        number = self._sent[key] = self._sent.get(key, 0) + 1
        return number

    def remove(self, destination: IPv6Address, spi: int) -> None:
        """Remove an SA, if it is there."""
        if self._drop((destination, spi)):
            self.changes.tell()

    def sweep(self, chosen: Callable[[Ends], bool]) -> None:
        """Remove the SAs between these ends, those that are only asked for too."""
        self.clear(*filter(chosen, (*self._between, *self._acquiring)))

    def clear(self, *several: Ends) -> None:
        """Remove the SAs from one end to the other, those that are only asked for too."""
        for ends in several:
            self._acquiring.pop(ends, None)
            for key in tuple(self._between.get(ends, ())):
                self.remove(*key)

    def _drop(self, key: SaKey) -> bool:
        found, _ = self._installed.pop(key, (None, 0.0))
        if found is None:
            return False
        self._sent.pop(key, None)
        ends = found.source, found.destination
        del self._between[ends][key]
        if not self._between[ends]:
            del self._between[ends]
        return True

    def between(self, source: IPv6Address, destination: IPv6Address) -> list[EspSa]:
        """Return the SAs from `source` to `destination`, the newest last."""
        keys = tuple(self._between.get((source, destination), ()))
        return [sa for key in keys if (sa := self.get(*key))]

    def outbound(self, packet: Packet) -> EspSa | None:
        """Return the newest SA that selects a packet; if there is none, ask for one (ACQUIRE)."""
        for sa in reversed(self.between(packet.source, packet.destination)):
            if selects(sa, packet):
                return sa
        self._acquire(packet.source, packet.destination)
        return None

    def _acquire(self, source: IPv6Address, destination: IPv6Address) -> None:
        """Ask once; if nobody hears it, the next packet asks again."""
        ends, now = (source, destination), self._now()
        if self.acquires and self._acquiring.get(ends, now) <= now:
            self._acquiring[ends] = now + ACQUIRE_EXPIRES
            self.acquires.tell(source, destination)

    def opens(self, packet: Packet, used: EspSa) -> bool:
        """Return whether a packet that arrived under the SA `used` can be read, and fits it.

        Its addresses are those after Home Address option and routing header are processed.
        """
        own = self.get(packet.destination, used.spi)
        return own is not None and _secret(own) == _secret(used) and selects(own, packet)


def selects(sa: EspSa, packet: Packet) -> bool:
    """Return whether a packet is one of those that an SA is for."""
    ends = (sa.source, sa.destination) == (packet.source, packet.destination)
    return ends and sa.protocol == packet.protocol and sa.message in (None, packet.message)


def _secret(sa: EspSa) -> tuple[object, ...]:
    return sa.encryption, sa.encryption_key, sa.integrity, sa.integrity_key
