"""Mobile IPv6 on raw sockets: Mobility Headers, and Neighbor Discovery on the home link.

The kernel fills in and verifies checksums, adds and removes ESP, the Home Address option and the
type 2 routing header; what is sent and received here runs between home address and home agent.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv6Address

from agents.machine import Address, Event, Machine
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
from agents.shell.driver import Driver

_MAX_DATAGRAM = 65535
_BATCH = 32
_LOST = {
    errno.EACCES,
    errno.EADDRNOTAVAIL,
    errno.EAGAIN,
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENOBUFS,
    errno.EPERM,
    errno.EPROTO,
    errno.ESRCH,
}


class _MobilitySocket:
    """A raw socket for Mobility Headers and the driver of one machine.

    A message that the kernel will not send (there is no SA, say) counts as lost; the machine's
    retransmission deals with it.
    """

    def __init__(
        self, machine: Machine, local: IPv6Address, on_event: Callable[[Event], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, PROTOCOL)
        try:
            self._socket.setblocking(False)
            self._socket.bind((str(local), 0))
        except BaseException:
            self._socket.close()
            raise
        self.driver = Driver(machine, self._send, on_event)
        self._loop.add_reader(self._socket, self._readable)

    def _send(self, data: bytes, destination: Address) -> None:
        try:
            self._socket.sendto(data, (destination[0], 0))
        except OSError as error:
            if error.errno not in _LOST:
                raise

    def _readable(self) -> None:
        for _ in range(_BATCH):
            try:
                data, source = self._socket.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:  # An ICMPv6 error about an earlier message.
                if error.errno not in _LOST:
                    raise
                continue
            self.driver.receive(data, (source[0], 0))

    def close(self) -> None:
        """Close the socket and stop the machine's timer; nothing is sent any more."""
        self.driver.close()
        self._loop.remove_reader(self._socket)
        self._socket.close()


class MobileNodeEndpoint(_MobilitySocket):
    """Runs a HomeRegistration on a socket bound to its home address (flags home, nodad)."""

    def __init__(
        self,
        machine: HomeRegistration,
        home_address: IPv6Address,
        on_event: Callable[[Event], None],
    ) -> None:
        super().__init__(machine, home_address, on_event)


class HomeAgentEndpoint(_MobilitySocket):
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
        self._link = _HomeLink(interface)
        try:
            super().__init__(machine, address, self._handle)
        except BaseException:
            self._link.close()
            raise
        self._loop.add_reader(self._link, self._claimed)

    def _handle(self, event: Event) -> None:
        match event:
            case NeighbourSolicited(target=target, nonce=nonce):
                self._link.send(solicitation(target, nonce), solicited_node(target))
            case NeighbourAdvertised(target=target):
                packet = advertisement(self._address, target, self._link.link_address)
                self._link.send(packet, ALL_NODES)
        self._listener(event)

    def _claimed(self) -> None:
        for packet in self._link.received():
            claim = read_claim(packet)
            if claim:
                self.driver.call(self._home_agent.duplicate_seen, claim, self.driver.now())

    def close(self) -> None:
        """Close the sockets and stop the machine's timer; nothing is sent any more."""
        self._loop.remove_reader(self._link)
        self._link.close()
        super().close()


# A filter program for a packet socket without link-layer header: Neighbor Advertisements, and
# Neighbor Solicitations from ::. Each line: code, jump if true, jump if false, operand.
_LOAD_OCTET, _LOAD_WORD, _EQUAL, _RETURN = 0x30, 0x20, 0x15, 0x06
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
    (_RETURN, 0, 0, _MAX_DATAGRAM),
    (_RETURN, 0, 0, 0),
)
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _ADD_MEMBERSHIP, _ALL_MULTICAST = 263, 1, 2
_PACKET_OUTGOING = 4
_ETHERTYPE_IPV6 = 0x86DD


class _HomeLink:
    """A packet socket on the home link: a raw IPv6 socket cannot send from ::."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
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

    def _attach_filter(self) -> None:
        program = b"".join(struct.pack("=HBBI", *line) for line in _CLAIMS)
        code = ctypes.create_string_buffer(program)
        option = struct.pack("@HP", len(_CLAIMS), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    def send(self, packet: bytes, group: IPv6Address) -> None:
        """Send an IPv6 packet to a multicast group on the link; a refusal counts as a loss."""
        link_group = b"\x33\x33" + group.packed[-4:]
        destination = (self._interface, _ETHERTYPE_IPV6, 0, 0, link_group)
        try:
            self._socket.sendto(packet, destination)
        except OSError as error:
            if error.errno not in _LOST | {errno.ENETDOWN}:
                raise

    def received(self) -> list[bytes]:
        """Return the packets of other nodes that have arrived."""
        found = []
        for _ in range(_BATCH):
            try:
                packet, source = self._socket.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENETDOWN:
                    raise
                break
            if source[2] != _PACKET_OUTGOING:
                found.append(packet)
        return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
