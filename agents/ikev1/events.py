"""What an `Ikev1` tells its owner, besides `Discarded`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.core.machine import Event, secret
from agents.ike.esp import EspPair
from agents.ikev1.config import Selectors
from agents.ikev1.constants import Mode, Role


@dataclass(frozen=True, slots=True)
class Phase1Started(Event):
    """The first message of phase 1 is queued or has been accepted."""

    peer: IPv6Address
    mode: Mode
    role: Role


@dataclass(frozen=True, slots=True)
class Phase1Established(Event):
    """An ISAKMP SA is up; cookie and key are what Wireshark's decryption table wants."""

    peer: IPv6Address
    mode: Mode
    role: Role
    identity: str
    """The peer's identity."""

    initiator_cookie: bytes
    encryption_key: bytes = secret()


@dataclass(frozen=True, slots=True)
class Phase1Deleted(Event):
    """An ISAKMP SA is gone; the ESP SAs that it made stay."""

    peer: IPv6Address
    reason: str


@dataclass(frozen=True, slots=True)
class ChildKeyed(Event):
    """Responder: quick mode message 2 is queued; the peer may use the SAs from now on."""

    peer: IPv6Address
    pair: EspPair


@dataclass(frozen=True, slots=True)
class ChildEstablished(Event):
    """Initiator: quick mode message 3 is queued. Responder: it was accepted."""

    peer: IPv6Address
    pair: EspPair


@dataclass(frozen=True, slots=True)
class ChildAbandoned(Event):
    """Responder: the SAs of a `ChildKeyed` are void, for message 3 never came."""

    peer: IPv6Address
    pair: EspPair


@dataclass(frozen=True, slots=True)
class ChildDeleted(Event):
    """A pair of SAs has expired, was deleted by either side, or was replaced."""

    peer: IPv6Address
    spis: tuple[int, int]
    """Inbound, outbound."""

    pair: EspPair
    reason: str


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A negotiation has come to nothing; `selectors` is set if it was for ESP SAs."""

    peer: IPv6Address
    reason: str
    selectors: Selectors | None = None
