"""A machine on a UDP socket over IPv6."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable

from agents.machine import Address, Event, Machine
from agents.shell.driver import Driver

_MAX_DATAGRAM = 65535
_BATCH = 32
_UNREACHABLE = {
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EACCES,
    errno.EAGAIN,
    errno.ENOBUFS,
    errno.EMSGSIZE,
    errno.ENODEV,
    errno.EADDRNOTAVAIL,
}


def socket_address(address: Address) -> tuple[str, int, int, int]:
    """Return what the kernel needs; a host's zone ("fe80::1%eth0") names an interface."""
    host, _, zone = address[0].partition("%")
    return host, address[1], 0, socket.if_nametoindex(zone) if zone else 0


class UdpSocket:
    """One bound socket, with addresses as machines have them; link-local hosts carry their zone.

    A datagram that the kernel will not send counts as lost, as one lost on the wire does.
    `interface` ties the socket to an interface; `multicast` is a group to join and the interface
    to join it on. Must be made inside a running event loop. Raises OSError if the address cannot
    be bound or the group not joined.
    """

    def __init__(
        self,
        local: Address,
        receive: Callable[[bytes, Address], None],
        *,
        interface: str | None = None,
        multicast: tuple[str, str] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        try:
            self._configure(local, interface, multicast)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._readable)

    def _configure(
        self, local: Address, interface: str | None, multicast: tuple[str, str] | None
    ) -> None:
        self._socket.setblocking(False)
        if interface:
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0"
            )
        if multicast:
            group, link = multicast
            request = socket.inet_pton(socket.AF_INET6, group) + struct.pack(
                "@I", socket.if_nametoindex(link)
            )
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        self._socket.bind(socket_address(local))

    @property
    def address(self) -> Address:
        """The address and port that the socket is bound to."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram."""
        try:
            self._socket.sendto(data, socket_address(destination))
        except OSError as error:
            if error.errno not in _UNREACHABLE:
                raise

    def _readable(self) -> None:
        for _ in range(_BATCH):
            try:
                data, source = self._socket.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:  # An ICMPv6 error about an earlier datagram.
                if error.errno not in _UNREACHABLE:
                    raise
                continue
            self._receive(data, (source[0], source[1]))

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()


class UdpEndpoint:
    """One bound socket, one machine; the machine's retransmission deals with what is lost.

    The arguments and errors are those of UdpSocket.
    """

    def __init__(
        self,
        machine: Machine,
        local: Address,
        on_event: Callable[[Event], None],
        *,
        interface: str | None = None,
        multicast: tuple[str, str] | None = None,
    ) -> None:
        self._socket = UdpSocket(local, self._receive, interface=interface, multicast=multicast)
        self.driver = Driver(machine, self._socket.send, on_event)

    def _receive(self, data: bytes, source: Address) -> None:
        self.driver.receive(data, source)

    @property
    def address(self) -> Address:
        """The address and port that the socket is bound to."""
        return self._socket.address

    def close(self) -> None:
        """Close the socket and stop the machine's timer."""
        self.driver.close()
        self._socket.close()
