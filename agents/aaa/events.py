"""What the home AAA server tells its owner."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.aaa.policy import Place
from agents.bootstrap.assignment import Assignment
from agents.core.machine import Event
from agents.core.record import Secret
from agents.diameter.dictionary import APPLICATION_EAP


class SubscriberAuthenticated(Event, frozen=True):
    """A subscriber is in; `assignment` and `place` are None without mobility service.

    `ike_root` is the root key for `ike_psk` from the EMSK, which itself stays here (RFC 5295
    section 6). A local home agent, one in the visited network, gets its key with the answer.
    `client` is who asked, and what it calls the session; `realm` is the client's, `application`
    the one that it asked in. It `lasts` so many seconds if that is less than a session usually
    does.
    """

    identity: str
    assignment: Assignment | None
    care_of_address: IPv6Address | None
    msk: Secret[bytes]
    ike_root: Secret[bytes] = b""
    place: Place | None = None
    client: tuple[str, str] | None = None
    realm: str = ""
    lasts: float | None = None
    application: int = APPLICATION_EAP


class SubscriberVerified(Event, frozen=True):
    """A subscriber has been told its assignment ahead of EAP's end, to start IKE at once.

    SubscriberAuthenticated or VerificationWithdrawn follows.
    """

    identity: str
    assignment: Assignment
    care_of_address: IPv6Address | None
    ike_root: Secret[bytes]


class VerificationWithdrawn(Event, frozen=True):
    """A subscriber that was told its assignment early has not come to EAP's end."""

    identity: str
    assignment: Assignment
    ike_root: Secret[bytes]


class SubscriberRejected(Event, frozen=True):
    """Somebody who claims to be `identity` is not let in."""

    identity: str
    reason: str


class MobilityRefused(Event, frozen=True):
    """A subscriber that asked for mobility service is let in without it."""

    identity: str
    reason: str


class LeaseNotStored(Event, frozen=True):
    """A subscriber gets no lease, or keeps the one that it has no longer than was stored."""

    identity: str
    reason: str


class HomeAgentPassedOver(Event, frozen=True):
    """A subscriber got a home agent, but not where the policy would rather have it."""

    identity: str
    reason: str


class KeyDelivered(Event, frozen=True):
    """A home agent has been told that a subscriber is authorised, and the key if it wanted one."""

    identity: str
    home_agent: str


class KeyRefused(Event, frozen=True):
    """A home agent has asked for somebody who is not authorised there."""

    identity: str
    home_agent: str


class SessionEnded(Event, frozen=True):
    """A subscriber's mobility session and its lease are over."""

    identity: str
    reason: str
