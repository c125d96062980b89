"""The home agent's prefix information for mobile nodes away from home (RFC 6275 section 10.6)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address

from agents.core.machine import Address, Discarded, Event, address_of
from agents.core.reader import WireError
from agents.core.record import Record, replace
from agents.core.timers import Timers
from agents.mip6.home_prefix import HomePrefix
from agents.mip6.prefixes import PrefixAdvertisement, PrefixSolicitation, decode

_RATE_PERIOD = 1.0
"""Seconds between two advertisements to one mobile node at least (section 6.8)."""


class AdvertiserTimers(Record, frozen=True):
    """Times in seconds by their names in sections 12 and 13."""

    minimum: float = 600.0  # MinMobPfxAdvInterval
    maximum: float = 86400.0  # MaxMobPfxAdvInterval
    timeout: float = 3.0  # PREFIX_ADV_TIMEOUT
    retries: int = 3  # PREFIX_ADV_RETRIES


class PrefixAdvertised(Event, frozen=True):
    """A Mobile Prefix Advertisement is about to leave; lifetimes in seconds."""

    home_address: IPv6Address
    identifier: int
    valid: int
    preferred: int
    solicited: bool


class _Planned(Record, frozen=True):
    """An advertisement that leaves at `due`; one that nobody asked for is sent again."""

    due: float
    identifier: int | None
    timeout: float = 0.0
    retries: int = 0


class PrefixAdvertiser:
    """Answers solicitations, and tells of changes, while a home address is bound.

    `is_bound` tells whether it is: the way to a care-of address is the binding's.
    """

    def __init__(
        self,
        prefix: HomePrefix,
        *,
        is_bound: Callable[[IPv6Address], bool],
        rng: random.Random,
        timers: AdvertiserTimers | None = None,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._prefix = prefix
        self._is_bound = is_bound
        self._rng = rng
        self._times = timers or AdvertiserTimers()
        self._planned: dict[IPv6Address, _Planned] = {}
        self._sent: dict[IPv6Address, float] = {}
        self._timers: Timers[IPv6Address] = Timers()

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take a Mobile Prefix Solicitation from a home address, authenticated by IPsec."""
        home = address_of(source[0])
        try:
            message = decode(data)
        except WireError as error:
            self.events.append(Discarded(now, source[0], str(error)))
            return
        if not isinstance(message, PrefixSolicitation) or not self._is_bound(home):
            reason = f"{type(message).__name__} of who is not bound, or no solicitation"
            self.events.append(Discarded(now, source[0], reason))
            return
        due = max(now, self._sent.get(home, now - _RATE_PERIOD) + _RATE_PERIOD)
        self._plan(home, _Planned(due, message.identifier))
        self.handle_timeout(now)

    def changed(self, homes: Iterable[IPv6Address], now: float) -> None:
        """Tell mobile nodes that the prefix has changed, at a random time each (section 10.6.2)."""
        times = self._times
        longest = min(times.maximum, self._prefix.preferred_left(now))
        for home in homes:
            delay = times.minimum + self._rng.uniform(0, abs(longest - times.minimum))
            before = self._planned.get(home)
            due = before.due if before else now + delay
            if before is None or before.identifier is None:
                self._plan(home, _Planned(due, None, times.timeout, times.retries))

    def forget(self, home: IPv6Address) -> None:
        """Tell a mobile node nothing more: its binding is over."""
        self._planned.pop(home, None)
        self._sent.pop(home, None)
        self._timers.cancel(home)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> None:
        """Send the advertisements whose time has come."""
        while (home := self._timers.pop(now)) is not None:
            planned = self._planned.pop(home)
            if not self._is_bound(home):
                self.forget(home)
                continue
            self._send(home, planned.identifier, now)
            if planned.retries and planned.identifier is None:
                due, timeout = now + planned.timeout, 2 * planned.timeout
                retries = planned.retries - 1
                self._plan(home, replace(planned, due=due, timeout=timeout, retries=retries))

    def _plan(self, home: IPv6Address, planned: _Planned) -> None:
        self._planned[home] = planned
        self._timers.set(home, planned.due)

    def _send(self, home: IPv6Address, identifier: int | None, now: float) -> None:
        solicited = identifier is not None
        number = self._rng.getrandbits(16) if identifier is None else identifier
        told = self._prefix.information(now)
        self._sent[home] = now
        self.outbox.append((PrefixAdvertisement(number, (told,)).encode(), (str(home), 0)))
        self.events.append(
            PrefixAdvertised(now, home, number, told.valid, told.preferred, solicited)
        )
