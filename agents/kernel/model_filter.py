"""The verdicts of the access router's filter (the table in agents/kernel/filter.py) on packets."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.usage import Usage
from agents.kernel.filter import DHCPV6_PORT, LINK_LOCAL, PANA_PORT, UNSPECIFIED
from agents.kernel.packet import ICMPV6, UDP, Packet
from agents.kernel.port import AccessLink

_ERRORS, _ECHO_REPLY = range(1, 128), 129


class ModelCounters:
    """What has passed in the names of those that are counted; `size` tells a packet's octets."""

    def __init__(self, size: Callable[[Packet], int]) -> None:
        self._size = size
        self.of: dict[IPv6Address, Usage] = {}

    def note_input(self, address: IPv6Address, packet: Packet) -> None:
        """Count a packet from an address."""
        if before := self.of.get(address):
            self.of[address] = before + Usage(self._size(packet), 1)

    def note_output(self, address: IPv6Address, packet: Packet) -> None:
        """Count a packet to an address."""
        if before := self.of.get(address):
            self.of[address] = before + Usage(0, 0, self._size(packet), 1)


class ModelFilter:
    """Open until it is closed; numbers in comments are those of the table's rules."""

    def __init__(self) -> None:
        self.access: AccessLink | None = None
        self.authorised: set[IPv6Address] = set()
        self.pinholes: set[tuple[IPv6Address, IPv6Address, int]] = set()

    def close(self, access: AccessLink) -> None:
        """Let nobody through a link, whoever was authorised before."""
        self.open()
        self.access = access

    def open(self) -> None:
        """Let everything through; nobody is authorised any more."""
        self.access = None
        self.authorised.clear()
        self.pinholes.clear()

    def admits(self, packet: Packet, incoming: str) -> bool:
        """Return whether a packet for this host itself passes."""
        if self.access is None:
            return True
        source, on_link = packet.source, packet.source in self.access.prefix
        if incoming != self.access.interface:
            return not on_link  # 202, 203
        if self._has_pinhole(source, packet.destination, packet):
            return False  # 102: the main table does not lead to this host.
        if source in self.authorised:
            return True  # 120, 121
        near = on_link or source in LINK_LOCAL
        heard = packet.visible_protocol, packet.destination_port
        if heard == (UDP, PANA_PORT):
            return on_link  # 110
        if heard == (UDP, DHCPV6_PORT):
            return near  # 111
        return heard[0] == ICMPV6 and (near or source in UNSPECIFIED)  # 112, 199

    def forwards(self, packet: Packet, incoming: str) -> bool:
        """Return whether a packet for another host passes."""
        if self.access is None:
            return True
        source, destination = packet.source, packet.destination
        if incoming == self.access.interface:
            # 102, 120, 122
            return source in self.authorised or self._has_pinhole(source, destination, packet)
        if source in self.access.prefix:
            return False  # 202
        # 211, 240
        return (
            destination in self.authorised
            or self._has_pinhole(destination, source, packet)
            or destination not in self.access.prefix
        )

    def lets_out(self, packet: Packet, outgoing: str | None) -> bool:
        """Return whether what this host makes for another one passes.

        `outgoing` is the interface that its sender has chosen, if any.
        """
        if self.access is None or packet.destination in self.authorised:
            return True  # 220
        near = packet.destination in self.access.prefix or outgoing == self.access.interface
        return not (near and _quotes(packet))  # 220, 230

    def _has_pinhole(self, near: IPv6Address, far: IPv6Address, packet: Packet) -> bool:
        return (
            packet.visible_protocol == UDP and (near, far, packet.destination_port) in self.pinholes
        )


def _quotes(packet: Packet) -> bool:
    """Return whether a packet is an ICMPv6 error or an echo reply."""
    if packet.visible_protocol != ICMPV6 or not packet.payload:
        return False
    return packet.payload[0] in _ERRORS or packet.payload[0] == _ECHO_REPLY
