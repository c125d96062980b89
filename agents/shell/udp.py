"""A machine on a UDP socket over IPv6."""

from __future__ import annotations

import asyncio
import errno
import socket
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
}


class UdpEndpoint:
    """One bound socket, one machine. Must be made inside a running event loop.

    A datagram that the kernel will not send counts as lost, as one lost on the wire does; the
    machine's retransmission deals with both. Raises OSError if the address cannot be bound.
    """

    def __init__(
        self,
        machine: Machine,
        local: Address,
        on_event: Callable[[Event], None],
        *,
        interface: str | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if interface:
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0"
            )
        self._socket.bind(local)
        self.driver = Driver(machine, self._send, on_event)
        self._loop.add_reader(self._socket, self._readable)

    @property
    def address(self) -> Address:
        """The address and port that the socket is bound to."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    def _send(self, data: bytes, destination: Address) -> None:
        try:
            self._socket.sendto(data, destination)
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
            self.driver.receive(data, (source[0], source[1]))

    def close(self) -> None:
        """Close the socket and stop the machine's timer."""
        self.driver.close()
        self._loop.remove_reader(self._socket)
        self._socket.close()
