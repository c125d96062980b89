"""The mobile node's prefix discovery (RFC 6275 sections 11.4.2, 11.4.3 and 11.8)."""

from __future__ import annotations

import random
from collections import deque
from ipaddress import IPv6Address

from agents.core.machine import Address, Discarded, Event, address_of
from agents.core.reader import WireError
from agents.core.record import Record
from agents.mip6.prefixes import (
    PrefixAdvertisement,
    PrefixInformation,
    PrefixSolicitation,
    decode,
)


class SolicitationTimers(Record, frozen=True):
    """Times in seconds by their names in section 12."""

    initial: float = 3.0  # INITIAL_SOLICIT_TIMER
    maximum: float = 32.0  # MAX_BINDACK_TIMEOUT


class PrefixSolicited(Event, frozen=True):
    """A Mobile Prefix Solicitation is about to leave."""

    identifier: int


class PrefixesLearnt(Event, frozen=True):
    """The home agent has told the prefixes of the home link."""

    prefixes: tuple[PrefixInformation, ...]


class _Soliciting(Record, frozen=True):
    identifier: int
    due: float
    timeout: float


class PrefixDiscovery:
    """Asks the home agent for the home link's prefixes until it answers, or stop().

    It believes only what it has asked for: news that come unasked have it ask (section 11.4.3).
    """

    def __init__(
        self,
        home_agent: IPv6Address,
        *,
        rng: random.Random,
        timers: SolicitationTimers | None = None,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._home_agent = home_agent
        self._rng = rng
        self._timers = timers or SolicitationTimers()
        self._state: _Soliciting | None = None

    def solicit(self, now: float) -> None:
        """Ask, unless that is under way."""
        if self._state is None:
            self._send(self._timers.initial, now)

    def stop(self) -> None:
        """Ask no more."""
        self._state = None

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take a Mobile Prefix Advertisement, which IPsec has authenticated."""
        try:
            message = decode(data)
        except WireError as error:
            self.events.append(Discarded(now, source[0], str(error)))
            return
        if address_of(source[0]) != self._home_agent:
            self.events.append(Discarded(now, source[0], "not from the home agent"))
            return
        match message, self._state:
            case PrefixAdvertisement(identifier=got), _Soliciting(identifier=sent) if got == sent:
                self._state = None
                self.events.append(PrefixesLearnt(now, message.prefixes))
            case PrefixAdvertisement(), _:
                self.events.append(Discarded(now, source[0], "an unsolicited advertisement"))
                self.solicit(now)
            case _:
                self.events.append(Discarded(now, source[0], "no advertisement"))

    def next_timeout(self) -> float | None:
        """Return when to ask again, or None."""
        return self._state.due if self._state else None

    def handle_timeout(self, now: float) -> None:
        """Ask again, later and later."""
        if self._state and self._state.due <= now:
            self._send(min(2 * self._state.timeout, self._timers.maximum), now)

    def _send(self, timeout: float, now: float) -> None:
        identifier = self._rng.getrandbits(16)
        self._state = _Soliciting(identifier, now + timeout, timeout)
        data = PrefixSolicitation(identifier).encode()
        self.outbox.append((data, (str(self._home_agent), 0)))
        self.events.append(PrefixSolicited(now, identifier))
