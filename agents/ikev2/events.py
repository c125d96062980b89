"""What an `Ikev2` tells its owner, besides `Discarded`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from agents.core.machine import Event, secret
from agents.ike.constants import Role
from agents.ike.esp import EspPair
from agents.ike.events import ChildDeleted, ChildEstablished, ChildKeyed, Failed

__all__ = [
    "AddressAssigned",
    "ChildDeleted",
    "ChildEstablished",
    "ChildKeyed",
    "ChildRekeyed",
    "EapEnded",
    "EapResponse",
    "Failed",
    "IkeDeleted",
    "IkeEstablished",
    "IkeStarted",
]


@dataclass(frozen=True, slots=True)
class IkeStarted(Event):
    """The first IKE_SA_INIT is queued or has been accepted."""

    peer: IPv6Address
    role: Role


@dataclass(frozen=True, slots=True)
class IkeEstablished(Event):
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
    sk_ei: bytes = secret()
    sk_er: bytes = secret()
    sk_ai: bytes = secret()
    sk_ar: bytes = secret()
    replaces: tuple[bytes, bytes] | None = None
    """The SPIs of the IKE SA that this one replaces."""

    home_address: IPv6Address | None = None
    """Responder: the one that this peer may have SAs for."""


@dataclass(frozen=True, slots=True)
class IkeDeleted(Event):
    """An IKE SA is gone, and its CHILD SAs unless another one has taken them over."""

    peer: IPv6Address
    identity: str
    spi_i: bytes
    spi_r: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class EapResponse(Event):
    """Responder: an EAP packet for the AAA, to be answered by one of the `eap_` calls.

    The first one is an EAP-Response/Identity made from the peer's IDi.
    """

    ike_spi: bytes
    """The responder's SPI; the `eap_` calls want it."""

    peer: IPv6Address
    identity: str
    packet: bytes = secret()


@dataclass(frozen=True, slots=True)
class EapEnded(Event):
    """Responder: whatever the AAA says, the peer's EAP has come to nothing.

    `identity` is whom the AAA had authenticated, if the peer has not proved that it has the key.
    """

    ike_spi: bytes
    identity: str = ""


@dataclass(frozen=True, slots=True)
class AddressAssigned(Event):
    """Initiator: the responder has assigned the home address, or said the home prefix."""

    peer: IPv6Address
    home_address: IPv6Address | None
    prefix: IPv6Network | None
    prefix_lifetime: int | None
    """In seconds; all ones: for ever."""


@dataclass(frozen=True, slots=True)
class ChildRekeyed(Event):
    """The pair of the `ChildEstablished` before replaces another, whose `ChildDeleted` follows."""

    peer: IPv6Address
    old: EspPair
    pair: EspPair
