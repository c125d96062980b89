"""Assigned numbers of ISAKMP, IKE and the IPsec DOI (RFC 2407, 2408, 2409)."""

from __future__ import annotations

from enum import Enum, IntEnum


class ExchangeType(IntEnum):
    """Exchange types (RFC 2408 section 3.1, RFC 2409 appendix A)."""

    MAIN = 2
    AGGRESSIVE = 4
    INFORMATIONAL = 5
    QUICK = 32


class Flag(IntEnum):
    """Flags of the ISAKMP header (RFC 2408 section 3.1)."""

    ENCRYPTED = 1
    COMMIT = 2
    AUTHENTICATED_ONLY = 4


class PayloadType(IntEnum):
    """Payload types (RFC 2408 section 3.1, RFC 3947 section 3.2)."""

    SA = 1
    PROPOSAL = 2
    TRANSFORM = 3
    KE = 4
    ID = 5
    CERT = 6
    CERT_REQUEST = 7
    HASH = 8
    SIGNATURE = 9
    NONCE = 10
    NOTIFY = 11
    DELETE = 12
    VENDOR = 13
    NAT_D = 20
    NAT_OA = 21


class ProtocolId(IntEnum):
    """Security protocol identifiers (RFC 2407 section 4.4.1)."""

    ISAKMP = 1
    AH = 2
    ESP = 3


class IkeAttribute(IntEnum):
    """Attributes of phase 1 (RFC 2409 appendix A)."""

    ENCRYPTION = 1
    HASH = 2
    AUTHENTICATION = 3
    GROUP = 4
    LIFE_TYPE = 11
    LIFE_DURATION = 12
    KEY_LENGTH = 14


class EspAttribute(IntEnum):
    """Attributes of phase 2 (RFC 2407 section 4.5)."""

    LIFE_TYPE = 1
    LIFE_DURATION = 2
    GROUP = 3
    ENCAPSULATION = 4
    AUTHENTICATION = 5
    KEY_LENGTH = 6


class NotifyType(IntEnum):
    """Notify message types (RFC 2408 section 3.14.1, RFC 2407 section 4.6.3, RFC 3706)."""

    INVALID_PAYLOAD_TYPE = 1
    INVALID_COOKIE = 4
    INVALID_EXCHANGE_TYPE = 7
    PAYLOAD_MALFORMED = 16
    NO_PROPOSAL_CHOSEN = 14
    INVALID_KEY_INFORMATION = 17
    INVALID_ID_INFORMATION = 18
    INVALID_HASH_INFORMATION = 23
    AUTHENTICATION_FAILED = 24
    RESPONDER_LIFETIME = 24576
    REPLAY_STATUS = 24577
    INITIAL_CONTACT = 24578
    R_U_THERE = 36136
    R_U_THERE_ACK = 36137

    @classmethod
    def text(cls, number: int) -> str:
        """Return the name as the RFCs write it, or the number."""
        try:
            return cls(number).name.replace("_", "-")
        except ValueError:
            return f"notification {number}"

    @classmethod
    def is_error(cls, number: int) -> bool:
        """Return whether `number` lies in the range of errors (RFC 2408 section 3.14.1)."""
        return number < 16384


DOI_IPSEC = 1
SITUATION_IDENTITY_ONLY = 1
TRANSFORM_KEY_IKE = 1
TRANSFORM_ESP_AES = 12
CIPHER_AES_CBC = 7
AUTHENTICATION_PSK = 1
ENCAPSULATION_TRANSPORT = 2
LIFE_SECONDS = 1

VENDOR_DPD = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")
"""Vendor id of dead peer detection (RFC 3706 section 5.1)."""


class Mode(Enum):
    """The exchange of phase 1."""

    MAIN = "main"
    AGGRESSIVE = "aggressive"

    @property
    def exchange(self) -> ExchangeType:
        """The exchange type on the wire."""
        return ExchangeType.MAIN if self is Mode.MAIN else ExchangeType.AGGRESSIVE
