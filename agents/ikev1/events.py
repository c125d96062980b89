"""What an `Ikev1` tells its owner, besides `Discarded`."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.machine import Event
from agents.core.record import Secret
from agents.ike.constants import Role
from agents.ike.esp import EspPair
from agents.ike.events import ChildDeleted, ChildEstablished, Failed, KeyWanted
from agents.ikev1.constants import Mode

__all__ = [
    "ChildAbandoned",
    "ChildDeleted",
    "ChildEstablished",
    "ChildKeyed",
    "Failed",
    "KeyWanted",
    "Phase1Deleted",
    "Phase1Established",
    "Phase1Started",
]


class Phase1Started(Event, frozen=True):
    """The first message of phase 1 is queued or has been accepted."""

    peer: IPv6Address
    mode: Mode
    role: Role


class Phase1Established(Event, frozen=True):
    """An ISAKMP SA is up; cookie and key are what Wireshark's decryption table wants."""

    peer: IPv6Address
    mode: Mode
    role: Role
    identity: str
    """The peer's identity."""

    initiator_cookie: bytes
    encryption_key: Secret[bytes]


class Phase1Deleted(Event, frozen=True):
    """An ISAKMP SA is gone; the ESP SAs that it made stay."""

    peer: IPv6Address
    reason: str


class ChildKeyed(Event, frozen=True):
    """Responder: message 2 of quick mode is queued; the peer may use the SAs from now on."""

    peer: IPv6Address
    pair: EspPair


class ChildAbandoned(Event, frozen=True):
    """Responder: the SAs of a `ChildKeyed` are void, for message 3 never came."""

    peer: IPv6Address
    pair: EspPair
