"""A machine on a socket for IPv6 datagrams: UDP, or a raw socket for another protocol."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from agents.core.machine import Address, Event, Machine
from agents.shell.driver import Driver

_MAX_DATAGRAM = 65535
_BATCH = 32
_LOST = {
    errno.EACCES,
    errno.EADDRNOTAVAIL,
    errno.EAGAIN,
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.EMSGSIZE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOBUFS,
    errno.ENODEV,
    errno.EPERM,
    errno.EPROTO,
    errno.ESRCH,  # There is no SA.
}


def send(sock: socket.socket, data: bytes, destination: tuple[Any, ...]) -> None:
    """Send one datagram; one that the kernel will not send counts as lost on the wire."""
    try:
        sock.sendto(data, destination)
    except OSError as error:
        if error.errno not in _LOST:
            raise


def received(sock: socket.socket) -> Iterator[tuple[bytes, Any]]:
    """Yield what has arrived, a batch at most, each with the kernel's form of its source."""
    for _ in range(_BATCH):
        try:
            datagram = sock.recvfrom(_MAX_DATAGRAM)
        except BlockingIOError:
            return
        except OSError as error:  # An ICMPv6 error about an earlier datagram.
            if error.errno not in _LOST:
                raise
        else:
            yield datagram


def socket_address(address: Address) -> tuple[str, int, int, int]:
    """Return what the kernel needs; a host's zone ("fe80::1%eth0") names an interface."""
    host, _, zone = address[0].partition("%")
    return host, address[1], 0, socket.if_nametoindex(zone) if zone else 0


class DatagramSocket:
    """One bound socket, with addresses as machines have them; link-local hosts carry their zone.

    `protocol` other than UDP makes it a raw socket, whose port is 0. `interface` ties the socket
    to an interface; `multicast` is a group to join there, `multicast_hops` how far what is sent to
    groups goes. Must be made inside a running event loop. Raises OSError if the address cannot
    be bound or the group not joined.
    """

    def __init__(
        self,
        local: Address,
        receive: Callable[[bytes, Address], None],
        *,
        protocol: int = socket.IPPROTO_UDP,
        interface: str | None = None,
        multicast: str | None = None,
        multicast_hops: int = 1,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        kind = socket.SOCK_DGRAM if protocol == socket.IPPROTO_UDP else socket.SOCK_RAW
        self._socket = socket.socket(socket.AF_INET6, kind, protocol)
        try:
            self._configure(local, interface, multicast)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, multicast_hops)
        except BaseException:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._readable)

    def _configure(self, local: Address, interface: str | None, multicast: str | None) -> None:
        self._socket.setblocking(False)
        if interface:
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0"
            )
        if multicast:
            index = socket.if_nametoindex(interface) if interface else 0
            request = socket.inet_pton(socket.AF_INET6, multicast) + struct.pack("@I", index)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        self._socket.bind(socket_address(local))

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram; it is lost if the kernel refuses, or the zone's interface is gone."""
        try:
            to = socket_address(destination)
        except OSError:
            return
        send(self._socket, data, to)

    def _readable(self) -> None:
        for data, source in received(self._socket):
            self._receive(data, (source[0], source[1]))

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()


class DatagramEndpoint:
    """One bound socket, one machine; the machine's retransmission deals with what is lost.

    The arguments and errors are those of DatagramSocket; no group is joined.
    """

    def __init__(
        self,
        machine: Machine,
        local: Address,
        on_event: Callable[[Event], None],
        *,
        protocol: int = socket.IPPROTO_UDP,
        interface: str | None = None,
    ) -> None:
        self._socket = DatagramSocket(local, self._receive, protocol=protocol, interface=interface)
        self.driver = Driver(machine, self._socket.send, on_event)

    def _receive(self, data: bytes, source: Address) -> None:
        self.driver.receive(data, source)

    def close(self) -> None:
        """Close the socket and stop the machine's timer; nothing is sent any more."""
        self.driver.close()
        self._socket.close()
