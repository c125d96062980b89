"""ESP security associations as IKE negotiates them and the kernel takes them (RFC 4301, 4303)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address


class Encryption(Enum):
    """ESP encryption algorithms by their Linux names."""

    AES_CBC = "cbc(aes)"


class Integrity(Enum):
    """ESP integrity algorithms: Linux name and length of the ICV in bits."""

    HMAC_SHA1_96 = ("hmac(sha1)", 96)
    HMAC_SHA2_256_128 = ("hmac(sha256)", 128)


@dataclass(frozen=True, slots=True)
class EspSa:
    """One direction of a transport-mode ESP SA for one upper-layer protocol.

    `lifetime` is in seconds. Keys stay out of repr() and logs.
    """

    source: IPv6Address
    destination: IPv6Address
    spi: int
    protocol: int
    encryption: Encryption
    encryption_key: bytes = field(repr=False)
    integrity: Integrity
    integrity_key: bytes = field(repr=False)
    lifetime: float


@dataclass(frozen=True, slots=True)
class EspPair:
    """Both directions of a negotiated SA, as the local host sees them."""

    inbound: EspSa
    outbound: EspSa
