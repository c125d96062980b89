"""What an `Ikev2` tells its owner, besides `Discarded`."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.core.machine import Event
from agents.core.record import Secret
from agents.ike.constants import Role
from agents.ike.esp import EspPair
from agents.ike.events import ChildDeleted, ChildEstablished, Failed, KeyWanted

__all__ = [
    "AddressAssigned",
    "ChildDeleted",
    "ChildEstablished",
    "ChildRekeyed",
    "EapEnded",
    "EapResponse",
    "Failed",
    "IkeDeleted",
    "IkeEstablished",
    "IkeStarted",
    "KeyWanted",
    "ReauthenticationDue",
]


class IkeStarted(Event, frozen=True):
    """The first IKE_SA_INIT is queued or has been accepted."""

    peer: IPv6Address
    role: Role


class IkeEstablished(Event, frozen=True):
    """An IKE SA is up, authenticated or by rekeying another one.

    SPIs, algorithms and keys are what Wireshark's ikev2_decryption_table wants, spelt as there.
    """

    peer: IPv6Address
    role: Role
    """Initiator or responder of the exchange that has made it."""

    identity: str
    """The peer's identity."""

    method: str
    """How the peer has proven it: psk, certificate, or eap."""

    spi_i: bytes
    spi_r: bytes
    encryption: str
    integrity: str
    sk_ei: Secret[bytes]
    sk_er: Secret[bytes]
    sk_ai: Secret[bytes]
    sk_ar: Secret[bytes]
    replaces: tuple[bytes, bytes] | None = None
    """The SPIs of the IKE SA that this one replaces."""

    home_address: IPv6Address | None = None
    """Responder: the one that this peer may have SAs for."""


class ReauthenticationDue(Event, frozen=True):
    """What the peer has told of how long an IKE SA lasts is nearly over (RFC 4478).

    The owner is to initiate another one, which replaces it.
    """

    peer: IPv6Address
    identity: str


class IkeDeleted(Event, frozen=True):
    """An IKE SA is gone, and its CHILD SAs unless another one has taken them over."""

    peer: IPv6Address
    identity: str
    spi_i: bytes
    spi_r: bytes
    reason: str


class EapResponse(Event, frozen=True):
    """Responder: an EAP packet for the AAA, to be answered by one of the `eap_` calls.

    The first one is an EAP-Response/Identity made from the peer's IDi.
    """

    ike_spi: bytes
    """The responder's SPI; the `eap_` calls want it."""

    peer: IPv6Address
    identity: str
    packet: Secret[bytes]


class EapEnded(Event, frozen=True):
    """Responder: whatever the AAA says, the peer's EAP has come to nothing.

    `identity` is whom the AAA had authenticated, if the peer has not proved that it has the key.
    """

    ike_spi: bytes
    identity: str = ""


class AddressAssigned(Event, frozen=True):
    """Initiator: the responder has assigned the home address, or said the home prefix."""

    peer: IPv6Address
    home_address: IPv6Address | None
    prefix: IPv6Network | None
    prefix_lifetime: int | None
    """In seconds; all ones: for ever."""


class ChildRekeyed(Event, frozen=True):
    """The pair of the `ChildEstablished` before replaces another, whose `ChildDeleted` follows."""

    peer: IPv6Address
    old: EspPair
    pair: EspPair
