"""Diameter (RFC 6733, 4072, 5447, 6734, 6738) and RADIUS (RFC 2865, 3579), and what is ours."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address

from testbed.trace.decode.eap import Conversations
from testbed.trace.decode.text import (
    Lines,
    address,
    enumerated,
    hexadecimal,
    named,
    number,
    prefixed,
    secret,
    text,
    within,
)
from testbed.trace.dissect import RADIUS_CODES

Write = Callable[[bytes], str]
_EXAMPLE, _MICROSOFT = 32473, 311
_COMMANDS = {
    257: "CE",
    258: "RA",
    268: "DE",
    274: "AS",
    275: "ST",
    280: "DW",
    282: "DP",
    329: "IKESK",
}
"""Command codes: the name is this and R or A, for request or answer."""

_APPLICATIONS = {0: "base", 5: "EAP", 11: "IKE SK", 0xFFFFFFFF: "relay"}
_RESULTS = {
    1001: "MULTI_ROUND_AUTH",
    2001: "SUCCESS",
    2002: "LIMITED_SUCCESS",
    3002: "UNABLE_TO_DELIVER",
    3003: "REALM_NOT_SERVED",
    3004: "TOO_BUSY",
    3007: "APPLICATION_UNSUPPORTED",
    4001: "AUTHENTICATION_REJECTED",
    5001: "AVP_UNSUPPORTED",
    5002: "UNKNOWN_SESSION_ID",
    5003: "AUTHORIZATION_REJECTED",
    5012: "UNABLE_TO_COMPLY",
}
_REQUEST, _PROXIABLE, _ERROR, _AGAIN = 0x80, 0x40, 0x20, 0x10


def _address(value: bytes) -> str:
    """Write an Address: its family and octets (RFC 6733 section 4.3.1)."""
    match value[:2], len(value):
        case b"\x00\x02", 18:
            return str(IPv6Address(value[2:]))
        case b"\x00\x01", 6:
            return str(IPv4Address(value[2:]))
    return hexadecimal(value)


def _time(value: bytes) -> str:
    """Write seconds since 1900 (RFC 6733 section 4.3.1)."""
    return f"{datetime.fromtimestamp(int.from_bytes(value) - 2_208_988_800, UTC):%Y-%m-%d %H:%M:%S}"


def _prefix(value: bytes) -> str:
    return f"{IPv6Address(value[1:17])}/{value[0]}" if len(value) == 17 else hexadecimal(value)


_GROUPED = {260, 279, 284, 297, 348, 401, 486, 581, 590, 591}
_EAP_PAYLOAD, _SESSION_ID = 462, 263
_WISH = enumerated({0: "EITHER", 1: "HOME", 2: "LOCAL"})
_AVPS: dict[int, tuple[str, Write]] = {
    1: ("User-Name", text),
    6: ("Service-Type", number),
    24: ("State", hexadecimal),
    25: ("Class", hexadecimal),
    27: ("Session-Timeout", number),
    31: ("Calling-Station-Id", text),
    32: ("NAS-Identifier", text),
    33: ("Proxy-State", hexadecimal),
    55: ("Event-Timestamp", _time),
    61: ("NAS-Port-Type", number),
    95: ("NAS-IPv6-Address", address),
    102: ("EAP-Key-Name", hexadecimal),
    124: ("MIP6-Feature-Vector", number),
    125: ("MIP6-Home-Link-Prefix", _prefix),
    257: ("Host-IP-Address", _address),
    258: ("Auth-Application-Id", enumerated(_APPLICATIONS)),
    259: ("Acct-Application-Id", enumerated(_APPLICATIONS)),
    260: ("Vendor-Specific-Application-Id", hexadecimal),
    _SESSION_ID: ("Session-Id", text),
    264: ("Origin-Host", text),
    265: ("Supported-Vendor-Id", number),
    266: ("Vendor-Id", number),
    267: ("Firmware-Revision", number),
    268: ("Result-Code", enumerated(_RESULTS)),
    269: ("Product-Name", text),
    272: ("Multi-Round-Time-Out", number),
    273: ("Disconnect-Cause", number),
    274: ("Auth-Request-Type", number),
    276: ("Auth-Grace-Period", number),
    277: ("Auth-Session-State", number),
    278: ("Origin-State-Id", number),
    279: ("Failed-AVP", hexadecimal),
    280: ("Proxy-Host", text),
    281: ("Error-Message", text),
    282: ("Route-Record", text),
    283: ("Destination-Realm", text),
    284: ("Proxy-Info", hexadecimal),
    285: ("Re-Auth-Request-Type", number),
    291: ("Authorization-Lifetime", number),
    293: ("Destination-Host", text),
    295: ("Termination-Cause", number),
    296: ("Origin-Realm", text),
    299: ("Inband-Security-Id", enumerated({0: "NO_INBAND_SECURITY", 1: "TLS"})),
    333: ("MIP-Mobile-Node-Address", _address),
    334: ("MIP-Home-Agent-Address", _address),
    348: ("MIP-Home-Agent-Host", hexadecimal),
    _EAP_PAYLOAD: ("EAP-Payload", hexadecimal),
    463: ("EAP-Reissued-Payload", hexadecimal),
    464: ("EAP-Master-Session-Key", secret),
    465: ("Accounting-EAP-Auth-Method", number),
    486: ("MIP6-Agent-Info", hexadecimal),
    487: ("MIP-Careof-Address", _address),
    581: ("Key", hexadecimal),
    582: ("Key-Type", number),
    583: ("Keying-Material", secret),
    584: ("Key-Lifetime", number),
    590: ("IKEv2-Identity", hexadecimal),
    591: ("Initiator-Identity", hexadecimal),
    592: ("ID-Type", number),
    593: ("Identification-Data", text),
}
_OWN: dict[int, tuple[str, Write]] = {
    1: ("Home-Agent-Wish", _WISH),
    2: ("Sealed-Assignment", hexadecimal),
    3: ("Local-Home-Agent-Key", secret),
    4: ("Home-Agent-Load", number),
}
_EAP_MESSAGE, _VENDOR_SPECIFIC, _PASSWORD = 79, 26, 2
_ATTRIBUTES: dict[int, tuple[str, Write]] = {
    1: ("User-Name", text),
    _PASSWORD: ("User-Password", secret),
    6: ("Service-Type", number),
    12: ("Framed-MTU", number),
    18: ("Reply-Message", text),
    24: ("State", hexadecimal),
    25: ("Class", hexadecimal),
    27: ("Session-Timeout", number),
    29: ("Termination-Action", number),
    31: ("Calling-Station-Id", text),
    32: ("NAS-Identifier", text),
    33: ("Proxy-State", hexadecimal),
    40: ("Acct-Status-Type", enumerated({1: "Start", 2: "Stop", 3: "Interim-Update"})),
    44: ("Acct-Session-Id", text),
    49: ("Acct-Terminate-Cause", number),
    61: ("NAS-Port-Type", number),
    80: ("Message-Authenticator", hexadecimal),
    95: ("NAS-IPv6-Address", address),
    101: ("Error-Cause", number),
    124: ("MIP6-Feature-Vector", number),
    125: ("MIP6-Home-Link-Prefix", _prefix),
    168: ("Framed-IPv6-Address", address),
}
_OF_VENDORS: dict[tuple[int, int], tuple[str, Write]] = {
    (_MICROSOFT, 16): ("MS-MPPE-Send-Key", secret),
    (_MICROSOFT, 17): ("MS-MPPE-Recv-Key", secret),
    (_EXAMPLE, 1): ("Home-Agent-Wish", _WISH),
    (_EXAMPLE, 2): ("Sealed-Assignment", hexadecimal),
    (_EXAMPLE, 3): ("Local-Home-Agent-Key", secret),
    (_EXAMPLE, 11): ("MIP6-HA", prefixed),
    (_EXAMPLE, 12): ("MIP6-HA-FQDN", text),
    (_EXAMPLE, 13): ("MIP6-HOA", prefixed),
}


def diameter_name(message: bytes) -> str:
    """Return what a Diameter message is called: DER, CEA."""
    code, flags = int.from_bytes(message[5:8]), message[4]
    letter = "R" if flags & _REQUEST else "A"
    if code not in _COMMANDS:
        return f"command {code} {letter}"
    return _COMMANDS[code] + letter


def diameter(message: bytes, eap: Conversations) -> Lines:
    """Yield the fields of a Diameter message."""
    flags, code = message[4], int.from_bytes(message[5:8])
    application, hop, end = struct.unpack_from("!III", message, 8)
    bits = ((_REQUEST, "R"), (_PROXIABLE, "P"), (_ERROR, "E"), (_AGAIN, "T"))
    yield f"Diameter {diameter_name(message)}"
    letters = " ".join(letter for bit, letter in bits if flags & bit)
    yield f"  Command: {code}, flags {letters or 'none'}"
    yield f"  Application: {named(_APPLICATIONS, application)}"
    yield f"  Hop-by-Hop and End-to-End Identifier: {hop:#010x}, {end:#010x}"
    session = next((v for c, w, v in _avps(message[20:]) if (c, w) == (_SESSION_ID, None)), b"")
    yield from within(_group(message[20:], eap, session))


def _group(data: bytes, eap: Conversations, session: bytes) -> Lines:
    for code, vendor, value in _avps(data):
        table = _OWN if vendor == _EXAMPLE else {} if vendor else _AVPS
        of = f" of vendor {vendor}" if vendor else ""
        name, write = table.get(code, (f"AVP {code}{of}", hexadecimal))
        if vendor is None and code == _EAP_PAYLOAD:
            yield name
            yield from within(eap.lines(session, value))
        elif vendor is None and code in _GROUPED:
            yield name
            yield from within(_group(value, eap, session))
        else:
            yield f"{name}: {write(value)}"


def _avps(data: bytes) -> Iterator[tuple[int, int | None, bytes]]:
    """Yield code, vendor and value of AVPs, as far as they are well-formed."""
    while len(data) >= 8:
        code, flags = struct.unpack_from("!IB", data)
        length, header = int.from_bytes(data[5:8]), 12 if flags & 0x80 else 8
        if not header <= length <= len(data):
            return
        vendor = int.from_bytes(data[8:12]) if header == 12 else None
        yield code, vendor, data[header:length]
        data = data[length + -length % 4 :]


def radius(data: bytes, eap: Conversations, client: object) -> Lines:
    """Yield the fields of a RADIUS packet; a conversation is told by its client and Calling id."""
    code, identifier, length = struct.unpack_from("!BBH", data)
    yield f"RADIUS {named(RADIUS_CODES, code)}"
    yield f"  Identifier: {identifier}"
    yield f"  Authenticator: {data[4:20].hex()}"
    parts: list[bytes] = []
    for kind, value in _attributes(data[20:length]):
        if kind == _EAP_MESSAGE:
            parts.append(value)
        elif kind == _VENDOR_SPECIFIC:
            yield from within(_vendor_specific(value))
        else:
            name, write = _ATTRIBUTES.get(kind, (f"Attribute {kind}", hexadecimal))
            yield f"  {name}: {write(value)}"
    if parts:
        yield "  EAP-Message"
        yield from within(within(eap.lines(client, b"".join(parts))))


def _vendor_specific(value: bytes) -> Lines:
    vendor = int.from_bytes(value[:4])
    for kind, inner in _attributes(value[4:]):
        unknown = (f"Attribute {kind} of vendor {vendor}", hexadecimal)
        name, write = _OF_VENDORS.get((vendor, kind), unknown)
        yield f"{name}: {write(inner)}"


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 2:
        kind, length = data[0], data[1]
        if not 2 <= length <= len(data):
            return
        yield kind, data[2:length]
        data = data[length:]
