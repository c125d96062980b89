"""What both versions of IKE tell their owner of ESP SAs, besides `Discarded`."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.machine import Event
from agents.ike.esp import EspPair
from agents.ike.identities import Identity
from agents.ike.selectors import Selectors


class ChildEstablished(Event, frozen=True):
    """A pair of SAs is up.

    IKEv1: message 3 of quick mode is queued (initiator), or was accepted (responder). IKEv2: the
    answer was accepted (initiator), or is queued (responder).
    """

    peer: IPv6Address
    pair: EspPair


class ChildDeleted(Event, frozen=True):
    """A pair of SAs has expired, was deleted by either side, or was replaced."""

    peer: IPv6Address
    spis: tuple[int, int]
    """Inbound, outbound."""

    pair: EspPair
    reason: str


class Failed(Event, frozen=True):
    """A negotiation has come to nothing; `selectors` is set if it was for ESP SAs."""

    peer: IPv6Address
    reason: str
    selectors: Selectors | None = None


class KeyWanted(Event, frozen=True):
    """Responder: IKE with a peer waits for the pre-shared key of `identity`, to be given as `spi`.

    Whoever answers tells so, in time, even if there is none.
    """

    peer: IPv6Address
    identity: Identity
    spi: bytes
