"""TLS alerts by their codes (RFC 5246 section 7.2, RFC 8446 section 6)."""

from __future__ import annotations

from enum import IntEnum

FATAL = 2
"""The level of an alert that ends the session."""


class Alert(IntEnum):
    """Descriptions of alerts, as IANA registers them."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    RECORD_OVERFLOW = 22
    HANDSHAKE_FAILURE = 40
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_REVOKED = 44
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_UNKNOWN = 46
    ILLEGAL_PARAMETER = 47
    UNKNOWN_CA = 48
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51
    TOO_MANY_CIDS_REQUESTED = 52
    PROTOCOL_VERSION = 70
    INSUFFICIENT_SECURITY = 71
    INTERNAL_ERROR = 80
    INAPPROPRIATE_FALLBACK = 86
    USER_CANCELED = 90
    NO_RENEGOTIATION = 100
    MISSING_EXTENSION = 109
    UNSUPPORTED_EXTENSION = 110
    CERTIFICATE_UNOBTAINABLE = 111
    UNRECOGNIZED_NAME = 112
    BAD_CERTIFICATE_STATUS_RESPONSE = 113
    BAD_CERTIFICATE_HASH_VALUE = 114
    UNKNOWN_PSK_IDENTITY = 115
    CERTIFICATE_REQUIRED = 116
    GENERAL_ERROR = 117
    NO_APPLICATION_PROTOCOL = 120


CLOSURES = (Alert.CLOSE_NOTIFY, Alert.USER_CANCELED)
"""The only ones that TLS 1.3 does not take as fatal, whatever their level (section 6)."""

OF_CERTIFICATES = (
    Alert.BAD_CERTIFICATE,
    Alert.UNSUPPORTED_CERTIFICATE,
    Alert.CERTIFICATE_REVOKED,
    Alert.CERTIFICATE_EXPIRED,
    Alert.CERTIFICATE_UNKNOWN,
    Alert.UNKNOWN_CA,
    Alert.ACCESS_DENIED,
    Alert.CERTIFICATE_REQUIRED,
)
"""Those that say who one is will not do (RFC 8446 section 6.2)."""


def alert_name(code: int) -> str:
    """Return an alert's name in words, or its number."""
    try:
        return Alert(code).name.lower().replace("_", " ")
    except ValueError:
        return f"number {code}"
