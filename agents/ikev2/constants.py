"""Assigned numbers of IKEv2 (RFC 7296 section 3, RFC 5026, RFC 7427)."""

from __future__ import annotations

from enum import IntEnum


class ExchangeType(IntEnum):
    """Exchange types (section 3.1)."""

    IKE_SA_INIT = 34
    IKE_AUTH = 35
    CREATE_CHILD_SA = 36
    INFORMATIONAL = 37


class Flag(IntEnum):
    """Flags of the IKE header (section 3.1)."""

    INITIATOR = 0x08
    VERSION = 0x10
    RESPONSE = 0x20


class PayloadType(IntEnum):
    """Payload types (section 3.2)."""

    SA = 33
    KE = 34
    ID_I = 35
    ID_R = 36
    CERT = 37
    CERT_REQUEST = 38
    AUTH = 39
    NONCE = 40
    NOTIFY = 41
    DELETE = 42
    VENDOR = 43
    TS_I = 44
    TS_R = 45
    SK = 46
    CP = 47
    EAP = 48


class ProtocolId(IntEnum):
    """Security protocol identifiers (section 3.3.1)."""

    NONE = 0
    IKE = 1
    AH = 2
    ESP = 3


class TransformType(IntEnum):
    """Transform types (section 3.3.2)."""

    ENCR = 1
    PRF = 2
    INTEG = 3
    DH = 4
    ESN = 5


class Encr(IntEnum):
    """Encryption algorithms (section 3.3.2, RFC 5282)."""

    AES_CBC = 12
    AES_GCM_16 = 20


NONE = 0
"""No integrity algorithm (beside an AEAD cipher), no Diffie-Hellman group, no long ESP numbers."""

KEY_LENGTH = 14
"""The only transform attribute that is defined (section 3.3.5)."""


class AuthMethod(IntEnum):
    """Authentication methods (section 3.8, RFC 4754, RFC 7427)."""

    RSA = 1
    SHARED_KEY = 2
    ECDSA_256 = 9
    ECDSA_384 = 10
    ECDSA_521 = 11
    DIGITAL_SIGNATURE = 14


class ConfigType(IntEnum):
    """Kinds of configuration payloads (section 3.15)."""

    REQUEST = 1
    REPLY = 2
    SET = 3
    ACK = 4


class ConfigAttribute(IntEnum):
    """Configuration attributes (section 3.15.1, RFC 5026 section 8.2)."""

    INTERNAL_IP6_ADDRESS = 8
    MIP6_HOME_PREFIX = 16


class NotifyType(IntEnum):
    """Notify message types (section 3.10.1, RFC 5026 section 5.3.2, RFC 7427 section 4)."""

    UNSUPPORTED_CRITICAL_PAYLOAD = 1
    INVALID_IKE_SPI = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_SYNTAX = 7
    INVALID_MESSAGE_ID = 9
    INVALID_SPI = 11
    NO_PROPOSAL_CHOSEN = 14
    INVALID_KE_PAYLOAD = 17
    AUTHENTICATION_FAILED = 24
    SINGLE_PAIR_REQUIRED = 34
    NO_ADDITIONAL_SAS = 35
    INTERNAL_ADDRESS_FAILURE = 36
    FAILED_CP_REQUIRED = 37
    TS_UNACCEPTABLE = 38
    INVALID_SELECTORS = 39
    USE_ASSIGNED_HOA = 42
    TEMPORARY_FAILURE = 43
    CHILD_SA_NOT_FOUND = 44
    INITIAL_CONTACT = 16384
    COOKIE = 16390
    USE_TRANSPORT_MODE = 16391
    REKEY_SA = 16393
    AUTH_LIFETIME = 16403  # RFC 4478 section 3.
    SIGNATURE_HASH_ALGORITHMS = 16431

    @classmethod
    def text(cls, number: int) -> str:
        """Return the name as the RFCs write it, or the number."""
        try:
            return cls(number).name
        except ValueError:
            return f"notification {number}"

    @classmethod
    def is_error(cls, number: int) -> bool:
        """Return whether `number` is an error; USE_ASSIGNED_HOA is none in spite of its range."""
        return number < 16384 and number != cls.USE_ASSIGNED_HOA


X509_SIGNATURE = 4
"""The certificate encoding in CERT and CERTREQ (section 3.6)."""

TS_IPV6_ADDR_RANGE = 8
