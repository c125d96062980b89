"""IPv6 packets: their headers, ICMPv6, TCP, the Mobility Header, and what ESP hides."""

from __future__ import annotations

from pathlib import Path

from testbed.trace.decode.text import Lines
from testbed.trace.dissect import Packet, Seen, Tunnelled
from testbed.trace.streams import Segment

_TCP_FLAGS = ((2, "SYN"), (1, "FIN"), (4, "RST"), (16, "ACK"))
_ICMPV6 = {
    1: "Destination Unreachable",
    2: "Packet Too Big",
    3: "Time Exceeded",
    128: "Echo Request",
    129: "Echo Reply",
    133: "Router Solicitation",
    134: "Router Advertisement",
    135: "Neighbour Solicitation",
    136: "Neighbour Advertisement",
    143: "Multicast Listener Report",
}


class Opener:
    """Reads the packets of a run, in order, with the keys of its folder."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys

    def name(
        self, packet: Packet, message: Seen | None, segment: Segment | None
    ) -> tuple[str, str]:
        """Return the protocol of a packet, and what it is called."""
        if segment and segment.has_data:
            return "Diameter", "Diameter"
        if message and not isinstance(message, Tunnelled):
            return message.protocol, message.label
        match packet.protocol:
            case 6:
                flags = packet.payload[13]
                return "TCP", " ".join(name for bit, name in _TCP_FLAGS if flags & bit)
            case 58:
                return "ICMPv6", _ICMPV6.get(packet.payload[0], f"type {packet.payload[0]}")
            case 41:
                return "IPv6 tunnel", "IPv6 in IPv6"
            case 50:
                return "ESP", "ESP"
        return "other", f"protocol {packet.protocol}"

    def fields(self, packet: Packet, message: Seen | None, segment: Segment | None) -> Lines:
        """Yield the fields of a packet."""
        yield f"Source: {packet.source}"
        yield f"Destination: {packet.destination}"
