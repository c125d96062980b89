"""The numbers of IKE: IANA's registries as far as they are met here."""

from __future__ import annotations

FLAGS_V1 = ((1, "encrypted"), (2, "commit"), (4, "authentication only"))
FLAGS_V2 = ((8, "initiator"), (16, "version"), (32, "response"))
PAYLOADS_V1 = {
    1: "Security Association",
    4: "Key Exchange",
    5: "Identification",
    6: "Certificate",
    7: "Certificate Request",
    8: "Hash",
    9: "Signature",
    10: "Nonce",
    11: "Notification",
    12: "Delete",
    13: "Vendor ID",
    20: "NAT-D",
    21: "NAT-OA",
}
PAYLOADS_V2 = {
    33: "Security Association",
    34: "Key Exchange",
    35: "Identification, initiator",
    36: "Identification, responder",
    37: "Certificate",
    38: "Certificate Request",
    39: "Authentication",
    40: "Nonce",
    41: "Notify",
    42: "Delete",
    43: "Vendor ID",
    44: "Traffic Selector, initiator",
    45: "Traffic Selector, responder",
    46: "Encrypted and Authenticated",
    47: "Configuration",
    48: "EAP",
    53: "Encrypted Fragment",
}
PROTOCOLS = {1: "ISAKMP", 2: "AH", 3: "ESP"}
PROTOCOLS_V2 = {0: "none", 1: "IKE", 2: "AH", 3: "ESP"}
GROUPS = {
    2: "modp1024",
    5: "modp1536",
    14: "modp2048",
    15: "modp3072",
    16: "modp4096",
    19: "ecp256",
    20: "ecp384",
    21: "ecp521",
    31: "curve25519",
}
_LIFE = {1: "seconds", 2: "kilobytes"}
_CIPHERS = {1: "DES-CBC", 5: "3DES-CBC", 7: "AES-CBC"}
_HASHES = {1: "MD5", 2: "SHA1", 4: "SHA2-256", 5: "SHA2-384", 6: "SHA2-512"}
_AUTHENTICATION = {1: "HMAC-MD5", 2: "HMAC-SHA1", 5: "HMAC-SHA2-256", 6: "HMAC-SHA2-384"}
IKE_TRANSFORMS = {1: "KEY_IKE"}
ESP_TRANSFORMS = {3: "3DES", 11: "NULL", 12: "AES-CBC", 13: "AES-CTR", 20: "AES-GCM"}
ATTRIBUTES: dict[bool, dict[int, tuple[str, dict[int, str]]]] = {
    False: {
        1: ("Encryption", _CIPHERS),
        2: ("Hash", _HASHES),
        3: ("Authentication", {1: "pre-shared key", 3: "RSA signature"}),
        4: ("Group", GROUPS),
        11: ("Life type", _LIFE),
        12: ("Life duration", {}),
        14: ("Key length", {}),
    },
    True: {
        1: ("Life type", _LIFE),
        2: ("Life duration", {}),
        3: ("Group", GROUPS),
        4: ("Encapsulation", {1: "tunnel", 2: "transport"}),
        5: ("Authentication", _AUTHENTICATION),
        6: ("Key length", {}),
    },
}
"""Attributes of a transform, of phase 1 and of ESP."""

_ENCR = {
    3: "3DES",
    11: "NULL",
    12: "AES-CBC",
    13: "AES-CTR",
    20: "AES-GCM-16",
    28: "CHACHA20-POLY1305",
}
_PRF = {1: "HMAC-MD5", 2: "HMAC-SHA1", 4: "AES128-XCBC", 5: "HMAC-SHA2-256", 6: "HMAC-SHA2-384"}
_PRF |= {7: "HMAC-SHA2-512"}
_INTEG = {0: "none", 2: "HMAC-SHA1-96", 12: "HMAC-SHA2-256-128", 13: "HMAC-SHA2-384-192"}
_INTEG |= {14: "HMAC-SHA2-512-256"}
TRANSFORMS_V2: dict[int, tuple[str, dict[int, str]]] = {
    1: ("Encryption", _ENCR),
    2: ("Pseudorandom function", _PRF),
    3: ("Integrity", _INTEG),
    4: ("Group", {0: "none"} | GROUPS),
    5: ("Extended Sequence Numbers", {0: "no", 1: "yes"}),
}
IDENTITIES = {
    1: "IPv4 address",
    2: "FQDN",
    3: "RFC 822 address",
    5: "IPv6 address",
    9: "distinguished name",
    11: "key id",
}
AUTH_METHODS = {1: "RSA signature", 2: "shared key", 9: "ECDSA-256", 14: "digital signature"}
CONFIGURATIONS = {1: "request", 2: "reply", 3: "set", 4: "ack"}
CONFIGURED = {8: "INTERNAL_IP6_ADDRESS", 16: "MIP6_HOME_PREFIX"}
NOTIFY_V1 = {
    14: "NO-PROPOSAL-CHOSEN",
    16: "PAYLOAD-MALFORMED",
    18: "INVALID-ID-INFORMATION",
    24: "AUTHENTICATION-FAILED",
    24576: "RESPONDER-LIFETIME",
    24577: "REPLAY-STATUS",
    24578: "INITIAL-CONTACT",
    36136: "R-U-THERE",
    36137: "R-U-THERE-ACK",
}
NOTIFY_V2 = {
    1: "UNSUPPORTED_CRITICAL_PAYLOAD",
    7: "INVALID_SYNTAX",
    14: "NO_PROPOSAL_CHOSEN",
    17: "INVALID_KE_PAYLOAD",
    24: "AUTHENTICATION_FAILED",
    36: "INTERNAL_ADDRESS_FAILURE",
    38: "TS_UNACCEPTABLE",
    42: "USE_ASSIGNED_HoA",
    43: "TEMPORARY_FAILURE",
    44: "CHILD_SA_NOT_FOUND",
    16384: "INITIAL_CONTACT",
    16388: "NAT_DETECTION_SOURCE_IP",
    16389: "NAT_DETECTION_DESTINATION_IP",
    16390: "COOKIE",
    16391: "USE_TRANSPORT_MODE",
    16393: "REKEY_SA",
    16394: "ESP_TFC_PADDING_NOT_SUPPORTED",
    16396: "MOBIKE_SUPPORTED",
    16403: "AUTH_LIFETIME",
    16404: "MULTIPLE_AUTH_SUPPORTED",
    16417: "EAP_ONLY_AUTHENTICATION",
    16418: "CHILDLESS_IKEV2_SUPPORTED",
    16420: "IKEV2_MESSAGE_ID_SYNC_SUPPORTED",
    16430: "IKEV2_FRAGMENTATION_SUPPORTED",
    16431: "SIGNATURE_HASH_ALGORITHMS",
    16438: "INTERMEDIATE_EXCHANGE_SUPPORTED",
}
TAGS = {
    "HMAC_MD5_96": 12,
    "HMAC_SHA1_96": 12,
    "HMAC_SHA2_256_128": 16,
    "HMAC_SHA2_384_192": 24,
    "HMAC_SHA2_512_256": 32,
}
"""Octets of the integrity check, by the names that Wireshark has for algorithms."""
