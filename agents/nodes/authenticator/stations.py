"""Stations by their MAC addresses, as RADIUS writes them and as IPv6 makes addresses of them."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, IPv6Network

_WRITTEN = re.compile(r"[0-9A-F]{2}(-[0-9A-F]{2}){5}", re.ASCII | re.IGNORECASE)
_GROUP = 1


def read_station(text: str | None) -> bytes | None:
    """Return the station that calls (RFC 3580 section 3.21), None if that is no station."""
    if text is None or not _WRITTEN.fullmatch(text):
        return None
    station = bytes.fromhex(text.replace("-", ""))
    return None if station[0] & _GROUP else station


def write_station(station: bytes) -> str:
    """Return a station as RFC 3580 section 3.21 writes it."""
    return station.hex("-").upper()


def address_of_station(prefix: IPv6Network, station: bytes) -> IPv6Address:
    """Return the address that a station makes of a prefix (RFC 4862, RFC 4291 appendix A)."""
    identifier = bytes((station[0] ^ 2,)) + station[1:3] + b"\xff\xfe" + station[3:]
    return prefix.network_address + int.from_bytes(identifier)
