"""PANA messages of both dialects (RFC 5191, draft-ietf-pana-pana-12), with this project's AVPs."""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv6Address

from testbed.trace.decode.eap import Conversations
from testbed.trace.decode.text import (
    Lines,
    address,
    enumerated,
    hexadecimal,
    number,
    prefixed,
    text,
    within,
)
from testbed.trace.dissect import DRAFT12, RFC5191, avps

Write = Callable[[bytes], str]
_VENDOR = 32473
_RESULTS = {0: "PANA_SUCCESS", 1: "PANA_AUTHENTICATION_REJECTED", 2: "PANA_AUTHORIZATION_REJECTED"}
_RESULTS12 = {
    2001: "PANA_SUCCESS",
    4001: "PANA_AUTHENTICATION_REJECTED",
    5003: "PANA_AUTHORIZATION_REJECTED",
}
_CAUSES = {1: "LOGOUT", 4: "ADMINISTRATIVE", 8: "SESSION_TIMEOUT"}
_PRF = {1: "HMAC_MD5", 2: "HMAC_SHA1", 5: "HMAC_SHA2_256", 6: "HMAC_SHA2_384"}
_INTEGRITY = {7: "HMAC_SHA1_160", 12: "HMAC_SHA2_256_128", 13: "HMAC_SHA2_384_192"}
_CIPHERS = {1: "AES128_CTR"}


def _capability(value: bytes) -> str:
    bits = ((1, "MIPv6"), (2, "MIPv4"), (4, "HIP"), (8, "local HA"), (16, "home HA"))
    whole = int.from_bytes(value)
    return ", ".join(name for bit, name in bits if whole & bit) or "none"


def _relayed_for(value: bytes) -> str:
    if len(value) != 18:
        return hexadecimal(value)
    return f"{IPv6Address(value[:16])} port {int.from_bytes(value[16:])}"


EAP, RELAYED, ENCRYPTED = "EAP-Payload", "Relayed-Message", "Encryption-Encap"
_OWN: dict[int, tuple[str, Write]] = {
    101: ("Mobility-Capability", _capability),
    102: ("MIP6-Home-Agent-Address", prefixed),
    103: ("MIP6-Home-Agent-FQDN", text),
    104: ("Home-Address", address),
    105: ("Sealed-Assignment", hexadecimal),
}
_AVPS: dict[int, tuple[str, Write]] = {
    1: ("AUTH", hexadecimal),
    2: (EAP, hexadecimal),
    3: ("Integrity-Algorithm", enumerated(_INTEGRITY)),
    4: ("Key-Id", number),
    5: ("Nonce", hexadecimal),
    6: ("PRF-Algorithm", enumerated(_PRF)),
    7: ("Result-Code", enumerated(_RESULTS)),
    8: ("Session-Lifetime", number),
    9: ("Termination-Cause", enumerated(_CAUSES)),
    10: ("PaC-Information", _relayed_for),
    11: (RELAYED, hexadecimal),
    12: (ENCRYPTED, hexadecimal),
    13: ("Encryption-Algorithm", enumerated(_CIPHERS)),
}
_AVPS12: dict[int, tuple[str, Write]] = {
    1: ("Algorithm", hexadecimal),
    2: ("AUTH", hexadecimal),
    3: ("Cookie", hexadecimal),
    4: ("Device-Id", hexadecimal),
    5: (EAP, hexadecimal),
    6: ("Failed-AVP", hexadecimal),
    7: ("ISP-Information", hexadecimal),
    8: ("Key-Id", number),
    9: ("NAP-Information", hexadecimal),
    10: ("Nonce", hexadecimal),
    11: ("Notification", text),
    12: ("Post-PANA-Address-Configuration", hexadecimal),
    13: ("Protection-Capability", number),
    14: ("Provider-Identifier", number),
    15: ("Provider-Name", text),
    16: ("Result-Code", enumerated(_RESULTS12)),
    17: ("Session-Id", text),
    18: ("Session-Lifetime", number),
    19: ("Termination-Cause", enumerated(_CAUSES)),
} | _OWN


def lines(data: bytes, eap: Conversations, pac: object) -> Lines:
    """Yield the fields of a message of the session with `pac`; struct.error if it is cut short."""
    dialect = DRAFT12 if data[0] == 1 else RFC5191
    length, flags, kind = struct.unpack_from("!2xHHH", data)
    yield f"Dialect: {'draft-ietf-pana-pana-12' if dialect is DRAFT12 else 'RFC 5191'}"
    letters = [letter for bit, letter in ((0x8000, "R"), *dialect.flags) if flags & bit]
    yield f"Type: {kind}, flags {' '.join(letters) or 'none'}"
    if dialect is RFC5191:
        yield f"Session Identifier: {struct.unpack_from('!I', data, 8)[0]:#010x}"
    yield f"Sequence Number: {struct.unpack_from('!I', data, dialect.sequence_offset)[0]:#010x}"
    for (code, vendor), value in avps(data[dialect.header : length], dialect.avp_length_has_header):
        name, write = _known(dialect is DRAFT12, code, vendor)
        if name == EAP:
            yield EAP
            yield from within(eap.lines(pac, value))
        elif name == RELAYED:
            yield RELAYED
            yield from within(lines(value, eap, pac))
        else:
            yield f"{name}: {write(value)}"


def _known(is_draft: bool, code: int, vendor: int | None) -> tuple[str, Write]:
    table = _OWN if vendor == _VENDOR else {} if vendor else _AVPS12 if is_draft else _AVPS
    return table.get(
        code, (f"AVP {code}" + (f" of vendor {vendor}" if vendor else ""), hexadecimal)
    )
