"""Address resolution on a link (RFC 4861): what is sent to a neighbour waits until it is known.

A neighbour that is known stays so; that it is still there is not asked again (section 7.3).
"""

from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from agents.kernel.packet import ICMPV6, Packet, is_link_local, is_multicast
from agents.mip6.neighbour import ALL_NODES, solicited_node

if TYPE_CHECKING:
    from agents.simulation.stack import Interface
    from agents.simulation.world import Appointment

SOLICITATION, ADVERTISEMENT = 135, 136
_SOURCE_ADDRESS, _TARGET_ADDRESS = 1, 2
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20
_HOP_LIMIT = 255
_TARGET, _OPTIONS = slice(8, 24), 24

_INTERVAL, _ATTEMPTS = 1.0, 3
"""Seconds between questions, and how many there are (section 10)."""

_QUEUE = 100
"""Packets that wait for one neighbour at most; Linux counts their octets."""


class _Resolution:
    """Packets that wait for a neighbour, and when it is asked for again."""

    def __init__(self, packet: Packet) -> None:
        self.packets = [packet]
        self.asked = 0
        self.next: Appointment | None = None


class Neighbours:
    """The neighbours of one interface."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._known: dict[int, bytes] = {}  # By the address as a number.
        self._waiting: dict[IPv6Address, _Resolution] = {}

    def forget(self) -> None:
        """Know nobody any more."""
        self._known.clear()

    def send(self, packet: Packet, hop: IPv6Address) -> bool:
        """Send a packet now or later; return whether it has not been lost."""
        interface = self._interface
        if known := self._known.get(int(hop)):
            return interface.link.send(packet, interface, known)
        waiting = self._waiting.get(hop)
        if waiting is None:
            waiting = self._waiting[hop] = _Resolution(packet)
            self._ask(hop, waiting)
        elif len(waiting.packets) < _QUEUE:
            waiting.packets.append(packet)
        return True

    def _ask(self, hop: IPv6Address, waiting: _Resolution) -> None:
        """Ask for a neighbour's link-layer address, from the address of who sends to it."""
        if waiting.asked == _ATTEMPTS:
            del self._waiting[hop]
            return
        waiting.asked += 1
        interface = self._interface
        addresses = interface.addresses
        source = waiting.packets[0].source
        if source not in addresses:
            source = next((a for a in addresses if is_link_local(a)), addresses[0])
        body = _message(SOLICITATION, 0, hop, _SOURCE_ADDRESS, interface.mac)
        group = solicited_node(hop)
        interface.link.send(_packet(source, group, body), interface)
        clock = interface.stack.world.clock
        waiting.next = clock.at(clock.now + _INTERVAL, partial(self._ask, hop, waiting))

    def hear(self, packet: Packet) -> None:
        """Take an ICMPv6 message off the link, if it is a valid one (sections 7.1.1, 7.1.2)."""
        body = packet.payload
        if packet.hop_limit != _HOP_LIMIT or len(body) < _OPTIONS or body[1]:
            return
        target, options = IPv6Address(body[_TARGET]), _read_options(body)
        if options is None or is_multicast(target) or is_multicast(packet.source):
            return
        if body[0] == SOLICITATION:
            mac = options.get(_SOURCE_ADDRESS)
            if not int(packet.source) and (mac or packet.destination != solicited_node(target)):
                return
            self._asked(packet.source, target, mac)
        elif body[0] == ADVERTISEMENT:
            if is_multicast(packet.destination) and body[4] & _SOLICITED:
                return
            self._told(target, options.get(_TARGET_ADDRESS), bool(body[4] & _OVERRIDE))

    def _asked(self, source: IPv6Address, target: IPv6Address, mac: bytes | None) -> None:
        """Answer who asks for an address of this host, or whether it is taken."""
        interface = self._interface
        stack = interface.stack
        if target not in interface.addresses and not stack.proxies(target):
            return
        flags = _ROUTER if stack.forwards else 0
        flags |= 0 if stack.proxies(target) else _OVERRIDE
        is_known = int(source) != 0
        body = _message(
            ADVERTISEMENT,
            flags | (_SOLICITED if is_known else 0),
            target,
            _TARGET_ADDRESS,
            interface.mac,
        )
        own = target if target in interface.addresses else interface.addresses[0]
        if not is_known:
            interface.link.send(_packet(own, ALL_NODES, body), interface)
            return
        if mac:
            self.learn(source, mac)
        answer = _packet(own, source, body)
        interface.link.send(answer, interface, self._known.get(int(source)) or mac)

    def _told(self, target: IPv6Address, mac: bytes | None, overrides: bool) -> None:
        """Note where a neighbour is; what nobody wanted to know is not noted (section 7.2.5)."""
        if mac and (target in self._waiting or (overrides and int(target) in self._known)):
            self.learn(target, mac)

    def learn(self, address: IPv6Address, mac: bytes) -> None:
        """Know where a neighbour is, and send what waits for it."""
        self._known[int(address)] = mac
        waiting, interface = self._waiting.pop(address, None), self._interface
        if waiting is None:
            return
        if waiting.next:
            interface.stack.world.clock.cancel(waiting.next)
        for packet in waiting.packets:
            interface.link.send(packet, interface, mac)


def acquaint(one: Interface, other: Interface) -> None:
    """Let two on a link know each other, as after a ping, so that neither has to ask."""
    for here, there in ((one, other), (other, one)):
        for address in there.addresses:
            here.neighbours.learn(address, there.mac)


def _message(kind: int, flags: int, target: IPv6Address, option: int, link_address: bytes) -> bytes:
    """Return a message with a checksum of 0 (sections 4.3, 4.4)."""
    return (
        bytes((kind, 0, 0, 0, flags, 0, 0, 0)) + target.packed + bytes((option, 1)) + link_address
    )


def _packet(source: IPv6Address, destination: IPv6Address, body: bytes) -> Packet:
    return Packet(source, destination, ICMPV6, payload=body, hop_limit=_HOP_LIMIT)


def _read_options(body: bytes) -> dict[int, bytes] | None:
    """Return what is in the options, by their types; None if one has no length (section 4.6)."""
    found: dict[int, bytes] = {}
    at = _OPTIONS
    while at < len(body):
        length = 8 * body[at + 1] if at + 1 < len(body) else 0
        if not length or at + length > len(body):
            return None
        found.setdefault(body[at], body[at + 2 : at + 8])
        at += length
    return found
