"""How the two ends of PANA are set up."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from agents.core.machine import Timing
from agents.core.record import Record, replace
from agents.eap.lower import EapPeerLike, identity_request
from agents.pana.dialect import Dialect
from agents.pana.keys import AES128_CTR, Algorithms
from agents.pana.mobility import MobilityCapability
from agents.pana.places import HostAddress
from agents.pana.rfc5191 import RFC5191
from agents.pana.terms import HostTerms, NetworkTerms
from agents.pana.wire import Avp, AvpName, Kind, Message

PCI_TIMING = Timing(initial=1.0, maximum=120.0)
REQUEST_TIMING = Timing(initial=1.0, maximum=30.0, count=10)
"""RFC 5191 section 9.1."""


class SessionConfig(Record, frozen=True, kw_only=True):
    """What both ends have; times in seconds.

    `mobility` is what the PAA offers and the PaC wants. `algorithms` None are the dialect's.
    `encryption` hides the home agent if both ends have it (RFC 6786). `auth_timeout` is the
    deadline of an authentication. `reauth_at` is the part of a session's lifetime after which this
    end authenticates again (0: never; up to a tenth of that time earlier, at random, lest all that
    a PAA serves do it at once).
    """

    dialect: Dialect = RFC5191
    mobility: MobilityCapability = MobilityCapability.MOBILE_IPV6
    algorithms: Algorithms | None = None
    encryption: bool = False
    request_timing: Timing = REQUEST_TIMING
    auth_timeout: float = 30.0
    reauth_at: float = 0.0

    @property
    def supported(self) -> Algorithms:
        """The algorithms that this end accepts."""
        algorithms = self.algorithms or self.dialect.default_algorithms
        return replace(algorithms, encryptions=(AES128_CTR,)) if self.encryption else algorithms


class PacConfig(SessionConfig, frozen=True, kw_only=True):
    """How a PaC is set up.

    `piggyback` puts EAP responses into PAN, else they go in requests of the client's own.
    `renew_eap` gives the EAP peer of a re-authentication; without it there is none. `terms` count
    in a dialect that has them. `liveness` is after how many seconds without a word from the PAA an
    open session is tested (0: never), so that a PAA that has lost it is noticed (RFC 5191 5.7).
    """

    piggyback: bool = True
    terms: HostTerms = msgspec.field(default_factory=HostTerms)
    renew_eap: Callable[[], EapPeerLike] | None = None
    pci_timing: Timing = PCI_TIMING
    liveness: float = 0.0

    def __post_init__(self) -> None:
        if self.reauth_at and self.renew_eap is None:
            raise ValueError("re-authentication needs renew_eap")


class PaaConfig(SessionConfig, frozen=True, kw_only=True):
    """How a PAA is set up.

    `session_lifetime` in seconds bounds what the AAA grants. `optimized` puts the first EAP request
    into the start request; `stateless` keeps nothing of a PaC until it has answered that, and so
    does every PAA as soon as half of `max_half_open` authentications are under way, or one of the
    same host: forged addresses get no further. Who does answer may have `max_half_open_per_host`
    under way; when there are `max_half_open` in all, a newcomer `displaces` one of those that have
    not come far, or is not heard.
    `first_request` makes the first EAP request, usually for the identity, out of its identifier;
    another must be vestigial, for the AAA never sees it (RFC 3579 section 2.1). `serves` tells
    which addresses PaCs can have; messages from others are dropped. Messages of `relays` alone are
    taken for relayed (RFC 6345). `terms` count in a dialect that has them.
    """

    session_lifetime: float = 3600.0
    optimized: bool = False
    stateless: bool = False
    first_request: Callable[[int], bytes] = identity_request
    terms: NetworkTerms = msgspec.field(default_factory=NetworkTerms)
    relays: Collection[str] = ()
    serves: Callable[[HostAddress], bool] = lambda _: True
    max_half_open: int = 256
    """Under way at once: eight per second, if each lasts as long as it may."""
    displaces: bool = True
    max_half_open_per_host: int = 4
    """One, and a few given up by a PaC that has started again."""
    max_per_subscriber: int = 4
    """Sessions of one subscriber: a few interfaces, and one that has started afresh."""

    def __post_init__(self) -> None:
        if self.optimized and self.stateless:
            raise ValueError("EAP in the start request needs state")

    def start_avps(self) -> tuple[Avp, ...]:
        """Return the AVPs of a start request that are the same for every PaC."""
        avps = self.dialect.offer(self.supported)
        if self.dialect.has_terms:
            avps += self.terms.start_avps()
        if self.mobility:
            avps += (Avp.u32(AvpName.MOBILITY_CAPABILITY, self.mobility),)
        return avps

    def stateless_start(self, token: bytes) -> tuple[bytes, int, bytes]:
        """Return session, sequence number and octets of the start request made from a token."""
        session, sequence, flags, avps = self.dialect.stateless_start(token)
        message = Message(Kind.START, True, session, sequence, (*avps, *self.start_avps()), flags)
        return session, sequence, self.dialect.encode(message)
