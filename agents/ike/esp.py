"""ESP security associations as IKE negotiates them and the kernel takes them (RFC 4301, 4303)."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv6Address

from agents.core.record import Record, Secret


class Encryption(Enum):
    """ESP encryption algorithms by their Linux names."""

    AES_CBC = "cbc(aes)"
    AES_GCM_16 = "rfc4106(gcm(aes))"
    """With an ICV of 16 octets; the key is followed by 4 octets of salt (RFC 4106)."""

    @property
    def is_aead(self) -> bool:
        """Whether the cipher protects integrity too; `Integrity.NONE` goes with it."""
        return self is Encryption.AES_GCM_16


class Integrity(Enum):
    """ESP integrity algorithms: Linux name and length of the ICV in bits."""

    NONE = ("", 0)
    """Beside a cipher that protects integrity itself; the key is empty."""

    HMAC_SHA1_96 = ("hmac(sha1)", 96)
    HMAC_SHA2_256_128 = ("hmac(sha256)", 128)
    HMAC_SHA2_384_192 = ("hmac(sha384)", 192)
    HMAC_SHA2_512_256 = ("hmac(sha512)", 256)


class EspSa(Record, frozen=True):
    """One direction of a transport-mode ESP SA for one upper-layer protocol.

    `lifetime` is in seconds, `message` the only type of Mobility Header or ICMPv6 that it is for,
    if any. Keys stay out of repr() and logs.
    """

    source: IPv6Address
    destination: IPv6Address
    spi: int
    protocol: int
    encryption: Encryption
    encryption_key: Secret[bytes]
    integrity: Integrity
    integrity_key: Secret[bytes]
    lifetime: float
    message: int | None = None


class EspPair(Record, frozen=True):
    """Both directions of a negotiated SA, as the local host sees them."""

    inbound: EspSa
    outbound: EspSa
