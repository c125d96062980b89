"""Assigned numbers that both versions of IKE share."""

from __future__ import annotations

from enum import Enum, IntEnum

PORT = 500
"""The UDP port of IKE (RFC 2408 section 2.5.1, RFC 7296 section 2)."""

MOBILITY_HEADER = 135
"""The protocol number of the Mobility Header (RFC 6275 section 6.1)."""

ICMPV6 = 58
"""The protocol number of ICMPv6 (RFC 4443 section 1)."""

PREFIX_SOLICITATION, PREFIX_ADVERTISEMENT = 146, 147
"""Its messages for prefix discovery (RFC 6275 sections 6.7 and 6.8)."""

LOWEST_ESP_SPI = 0x100
"""Smaller SPIs are reserved (RFC 4303 section 2.1)."""


class IdType(IntEnum):
    """Identification types (RFC 2407 section 4.6.2.1, RFC 7296 section 3.5)."""

    IPV4_ADDR = 1
    FQDN = 2
    RFC822_ADDR = 3
    """IKEv1 calls it ID_USER_FQDN."""

    IPV6_ADDR = 5
    DER_ASN1_DN = 9
    KEY_ID = 11


class Role(Enum):
    """Which side of an exchange the local host is."""

    INITIATOR = "initiator"
    RESPONDER = "responder"
