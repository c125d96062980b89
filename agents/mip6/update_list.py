"""What a mobile node keeps of each correspondent node, and tells its owner (RFC 6275 11.1)."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.machine import Event
from agents.core.record import Record, Secret
from agents.core.timers import earliest
from agents.mip6.binding_keys import binding_key
from agents.mip6.correspondent_cache import MAX_RR_BINDING_LIFETIME
from agents.mip6.nonces import MAX_TOKEN_LIFETIME


class OptimisationBegun(Event, frozen=True):
    """There is traffic with a correspondent node, which is asked to take part."""

    correspondent: IPv6Address


class AddressTestSent(Event, frozen=True):
    """An address test is about to leave; `test` is "home" or "care-of"."""

    correspondent: IPv6Address
    test: str


class AddressesTested(Event, frozen=True):
    """Both keygen tokens are there: the return routability procedure is complete."""

    correspondent: IPv6Address


class CorrespondentUpdateSent(Event, frozen=True):
    """A Binding Update to a correspondent node is about to leave; 0 removes the binding."""

    correspondent: IPv6Address
    sequence: int
    lifetime: int


class RouteOptimised(Event, frozen=True):
    """The correspondent node has the binding for `lifetime` seconds; packets go directly."""

    correspondent: IPv6Address
    lifetime: int


class RouteLost(Event, frozen=True):
    """Packets for the correspondent node go by way of the home agent again."""

    correspondent: IPv6Address
    reason: str


class OptimisationFailed(Event, frozen=True):
    """The correspondent node does not take part; it is not asked again for a while."""

    correspondent: IPv6Address
    reason: str


class CorrespondentForgotten(Event, frozen=True):
    """Nothing is known of the correspondent node any more; it may be tried again."""

    correspondent: IPv6Address


class Probe(Record, frozen=True):
    """An address test under way; the next one leaves at `due`."""

    cookie: Secret[bytes]
    due: float
    timeout: float
    sent: int


class Token(Record, frozen=True):
    """A keygen token, and when it came."""

    value: Secret[bytes]
    index: int
    at: float


class Waiting(Record, frozen=True):
    """The home agent is to hear of the care-of address first."""


class Probing(Record, frozen=True):
    """Address tests are under way; `expires_at` is the end of a binding that is still good."""

    home: Probe | Token
    care_of: Probe | Token
    expires_at: float | None = None


class Updating(Record, frozen=True):
    """Binding Updates are under way, the last one with this sequence number."""

    home: Token
    care_of: Token
    lifetime: int
    sequence: int
    sent_at: float
    due: float
    timeout: float
    sent: int
    expires_at: float | None

    @property
    def key(self) -> bytes:
        """Kbm; to remove a binding the home token is enough (section 5.2.5)."""
        return binding_key(self.home.value, self.care_of.value if self.lifetime else b"")


class Optimised(Record, frozen=True):
    """The correspondent node has the binding; it is renewed at `refresh_at`, or not.

    `used` is how many packets had gone that way when it was made.
    """

    home: Token
    care_of: Token
    refresh_at: float | None
    expires_at: float
    used: int = 0


class Avoided(Record, frozen=True):
    """The correspondent node did not take part; it is left alone until then."""

    until: float


State: TypeAlias = Waiting | Probing | Updating | Optimised | Avoided


class RouteTimers(Record, frozen=True):
    """Times in seconds; `refresh` is the part of a lifetime after which a binding is renewed.

    `avoid` is how long a correspondent node that did not take part is left alone, `most` how many
    are kept at once, `rate` how many new ones are asked in a second.
    """

    lifetime: int = MAX_RR_BINDING_LIFETIME
    refresh: float = 0.75
    avoid: float = 300.0
    most: int = 1000
    rate: float = 50.0


def is_recent(token: Token, now: float) -> bool:
    """Return whether a correspondent node should still know a token (section 5.2.7)."""
    return now < token.at + MAX_TOKEN_LIFETIME


def deadline(state: State) -> float | None:
    """Return when a state wants attention, None if it does not by itself."""
    match state:
        case Probing(home=home, care_of=care_of, expires_at=expires_at):
            probes = [p.due for p in (home, care_of) if isinstance(p, Probe)]
            return earliest(expires_at, *probes)
        case Updating(due=due, expires_at=expires_at):
            return earliest(due, expires_at)
        case Optimised(refresh_at=refresh_at, expires_at=expires_at):
            return earliest(refresh_at, expires_at)
        case Avoided(until=until):
            return until
        case Waiting():
            return None
