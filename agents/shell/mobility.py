"""Mobile IPv6 on raw sockets: Mobility Headers, and Neighbor Discovery on the home link.

The kernel fills in and verifies checksums, adds and removes ESP, the Home Address option and the
type 2 routing header; what is sent and received here runs between home address and home agent.
A message that the kernel will not send, for want of an SA say, counts as lost.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.machine import Event
from agents.mip6.binding_cache import NeighbourAdvertised, NeighbourSolicited
from agents.mip6.codec import PROTOCOL
from agents.mip6.home_agent import HomeAgent
from agents.mip6.mobile_node import HomeRegistration
from agents.mip6.neighbour import (
    ALL_NODES,
    advertisement,
    read_claim,
    solicitation,
    solicited_node,
)
from agents.shell.datagrams import DatagramEndpoint, received, send


class MobileNodeEndpoint(DatagramEndpoint):
    """Runs a HomeRegistration on a socket bound to its home address (flags home, nodad)."""

    def __init__(
        self,
        machine: HomeRegistration,
        home_address: IPv6Address,
        on_event: Callable[[Event], None],
    ) -> None:
        super().__init__(machine, (str(home_address), 0), on_event, protocol=PROTOCOL)


class HomeAgentEndpoint(DatagramEndpoint):
    """Runs a HomeAgent on a socket bound to `address`, and watches its home link `interface`."""

    def __init__(
        self,
        machine: HomeAgent,
        address: IPv6Address,
        interface: str,
        on_event: Callable[[Event], None],
    ) -> None:
        self._home_agent = machine
        self._address = address
        self._listener = on_event
        self._link = _HomeLink(interface, self._claimed)
        try:
            super().__init__(machine, (str(address), 0), self._handle, protocol=PROTOCOL)
        except BaseException:
            self._link.close()
            raise

    def _handle(self, event: Event) -> None:
        match event:
            case NeighbourSolicited(target=target, nonce=nonce):
                self._link.send(solicitation(target, nonce), solicited_node(target))
            case NeighbourAdvertised(target=target):
                packet = advertisement(self._address, target, self._link.link_address)
                self._link.send(packet, ALL_NODES)
        self._listener(event)

    def _claimed(self, packet: bytes) -> None:
        claim = read_claim(packet)
        if claim:
            self.driver.call(self._home_agent.duplicate_seen, claim, self.driver.now())

    def close(self) -> None:
        """Close the sockets and stop the machine's timer; nothing is sent any more."""
        self._link.close()
        super().close()


# A filter program for a packet socket without link-layer header: Neighbor Advertisements, and
# Neighbor Solicitations from ::. Each line: code, jump if true, jump if false, operand.
_LOAD_OCTET, _LOAD_WORD, _EQUAL, _RETURN = 0x30, 0x20, 0x15, 0x06
_WHOLE_PACKET = 65535
_CLAIMS = (
    (_LOAD_OCTET, 0, 0, 6),
    (_EQUAL, 0, 12, socket.IPPROTO_ICMPV6),
    (_LOAD_OCTET, 0, 0, 40),
    (_EQUAL, 9, 0, 136),
    (_EQUAL, 0, 9, 135),
    (_LOAD_WORD, 0, 0, 8),
    (_EQUAL, 0, 7, 0),
    (_LOAD_WORD, 0, 0, 12),
    (_EQUAL, 0, 5, 0),
    (_LOAD_WORD, 0, 0, 16),
    (_EQUAL, 0, 3, 0),
    (_LOAD_WORD, 0, 0, 20),
    (_EQUAL, 0, 1, 0),
    (_RETURN, 0, 0, _WHOLE_PACKET),
    (_RETURN, 0, 0, 0),
)
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _ADD_MEMBERSHIP, _ALL_MULTICAST = 263, 1, 2
_PACKET_OUTGOING = 4
_ETHERTYPE_IPV6 = 0x86DD


class _HomeLink:
    """A packet socket on the home link: a raw IPv6 socket cannot send from ::."""

    def __init__(self, interface: str, receive: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._interface = interface
        self._receive = receive
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        try:
            self._socket.setblocking(False)
            self._attach_filter()
            self._socket.bind((interface, _ETHERTYPE_IPV6))
            index = socket.if_nametoindex(interface)
            membership = struct.pack("=iHH8s", index, _ALL_MULTICAST, 0, b"")
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        except BaseException:
            self._socket.close()
            raise
        self.link_address: bytes = self._socket.getsockname()[4]
        self._loop.add_reader(self._socket, self._readable)

    def _attach_filter(self) -> None:
        program = b"".join(struct.pack("=HBBI", *line) for line in _CLAIMS)
        code = ctypes.create_string_buffer(program)
        option = struct.pack("@HP", len(_CLAIMS), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)

    def send(self, packet: bytes, group: IPv6Address) -> None:
        """Send an IPv6 packet to a multicast group on the link; a refusal counts as a loss."""
        link_group = b"\x33\x33" + group.packed[-4:]
        send(self._socket, packet, (self._interface, _ETHERTYPE_IPV6, 0, 0, link_group))

    def _readable(self) -> None:
        for packet, source in received(self._socket):
            if source[2] != _PACKET_OUTGOING:
                self._receive(packet)

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
