"""The mobile node's movement detection (RFC 6275 section 11.5.1)."""

from __future__ import annotations

import math
import random
from collections import deque
from ipaddress import IPv6Address, IPv6Network

from agents.core.machine import Address, Discarded, Event, Retransmission, Timing, address_of
from agents.core.reader import WireError
from agents.core.record import replace
from agents.mip6.routers import ALL_ROUTERS, RouterAdvertisement, solicitation

SOLICITING = Timing(initial=4.0, maximum=3600.0)
"""RFC 7559 section 2."""

_ANSWERED_BY = 9.0
"""Seconds until a router that is there has answered one of two solicitations, the second after up
to 4.4 s: MIN_DELAY_BETWEEN_RAS and MAX_RA_DELAY_TIME (RFC 4861 section 10), and its way here."""

_ASKED_EVERY = 4.0
"""Seconds between solicitations that others bring about: RTR_SOLICITATION_INTERVAL."""


class LinkUp(Event, frozen=True):
    """The interface's link has gone down and come up again: it may be another one."""


class RouterSolicited(Event, frozen=True):
    """A Router Solicitation is about to leave."""


class LinkKept(Event, frozen=True):
    """A router on the link of before has answered; its global address, if it tells that."""

    router: IPv6Address | None


class Moved(Event, frozen=True):
    """The link is another one; `router` is its router's global address, if that is told."""

    prefixes: tuple[IPv6Network, ...]
    router: IPv6Address | None
    link_local: IPv6Address


class MovementDetection:
    """Tells of a movement to another link, by what routers advertise, on one interface.

    After a link event the first router that advertises tells which link this is. Without one a
    router that is new may be on the same link: the known ones have time to answer. Solicitations
    are sent at once, not after a random time as at a start, for one host has moved and not many.
    """

    def __init__(self, care_of: IPv6Address, link_address: bytes, *, rng: random.Random) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.link_address = link_address
        self._care_of = care_of
        self._here: tuple[IPv6Network, ...] = ()
        """The prefixes of the link to which this host has moved."""

        self._asked_at = -math.inf
        self._rng = rng
        self._is_unknown = False
        """Whether nobody has said yet which link this is, since the start or since it was down."""

        self._soliciting: Retransmission | None = None
        self._heard: Moved | None = None
        """What is told at its time, if no router on the known link has answered by then."""

    def start(self, now: float) -> None:
        """Find out on which link the interface is: the address may be from a link before."""
        self._is_unknown, self._heard, self._here = True, None, ()
        self._solicit(now)

    def link_up(self, now: float) -> None:
        """Find out whether the link is another one."""
        self.events.append(LinkUp(now))
        self.start(now)

    def link_down(self) -> None:
        """Ask nobody until the link is up again."""
        self._soliciting = self._heard = None

    def arrived(self, care_of: IPv6Address) -> None:
        """Take note of the address on the link that this host is on."""
        self._care_of, self._heard = care_of, None

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take a Router Advertisement that was sent on this link (hop limit 255)."""
        try:
            told, sender = RouterAdvertisement.decode(data), address_of(source[0])
        except (WireError, ValueError) as error:
            self.events.append(Discarded(now, source[0], str(error)))
            return
        if not sender.is_link_local:
            self.events.append(Discarded(now, source[0], "not from a link-local address"))
        elif prefixes := tuple(p.network for p in told.usable) if told.lifetime else ():
            self._judge(Moved(now, prefixes, told.router, sender), now)

    def _judge(self, heard: Moved, now: float) -> None:
        """Say which link this is, or find out, now that a router has told its prefixes."""
        known = any(self._care_of in prefix for prefix in heard.prefixes)
        if known or not set(self._here).isdisjoint(heard.prefixes):
            self._keep(heard.router, now)
        elif self._is_unknown:
            self._move(heard, now)
        elif self._heard is None and now >= self._asked_at + _ASKED_EVERY:
            self._heard = replace(heard, at=now + _ANSWERED_BY)
            self._solicit(now)

    def _keep(self, router: IPv6Address | None, now: float) -> None:
        if self._is_unknown or self._heard:
            self.events.append(LinkKept(now, router))
        self._settle()

    def _move(self, to: Moved, now: float) -> None:
        self._settle()
        self._here = to.prefixes
        self.events.append(replace(to, at=now))

    def _settle(self) -> None:
        self._is_unknown, self._heard, self._soliciting = False, None, None

    def next_timeout(self) -> float | None:
        """Return when to ask again, or to believe in another link; or None."""
        due = [one.at for one in (self._heard,) if one]
        due += [one.deadline for one in (self._soliciting,) if one]
        return min(due, default=None)

    def handle_timeout(self, now: float) -> None:
        """Ask again, or believe that the routers of before are not there any more."""
        if self._heard and self._heard.at <= now:
            self._move(self._heard, now)
        elif self._soliciting and self._soliciting.deadline <= now:
            self._soliciting.expire(now)
            self._send(now)

    def _solicit(self, now: float) -> None:
        self._soliciting = Retransmission(SOLICITING, self._rng, now)
        self._send(now)

    def _send(self, now: float) -> None:
        self._asked_at = now
        self.outbox.append((solicitation(self.link_address), (ALL_ROUTERS, 0)))
        self.events.append(RouterSolicited(now))
