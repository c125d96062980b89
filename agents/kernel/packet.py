"""tmp"""
from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.ike.esp import EspSa


@dataclass(frozen=True, slots=True)
class Packet:
    """tmp"""
    source: IPv6Address
    destination: IPv6Address
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    payload: bytes = b""
    hop_limit: int = 64
    home_address: IPv6Address | None = None
    routing: IPv6Address | None = None
    esp: EspSa | None = None
    inner: Packet | None = None
    segment: object | None = None
