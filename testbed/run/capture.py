"""Packet captures: one packet socket an interface, drained while nothing is being timed.

The kernel stamps and keeps the packets, so that capturing costs no process and no time of the
machine while a bootstrap runs. A packet that leaves is stamped behind the delay that the interface
emulates; what is kept is the time before it, when the packet entered the link. Of a link on which
things go wrong the delay is behind the packet socket (testbed.run.nodes), and what is lost is kept.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed.run.net import Network
from testbed.trace import pcapng

_ETH_P_ALL = 3
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_BUFFER = 64 << 20
_MAX_FRAME = 1 << 16
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_RETURN = 0x06  # BPF_RET | BPF_K, linux/filter.h
_OUTGOING = 4  # linux/if_packet.h
_DRAIN_INTERVAL = 1.0


def packet_socket(interface: str) -> socket.socket:
    """Return a socket that hears all frames of an interface, with their times, and never waits."""
    # Protocol 0 receives nothing until the socket is bound to its interface.
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.bind((interface, _ETH_P_ALL))
    return opened


def receive(opened: socket.socket) -> tuple[int, bool, bytes] | None:
    """Return the next frame's time in nanoseconds, whether it leaves, and itself; None if none.

    An interface that is down is no error: it may come up again.
    """
    try:
        data, ancillary, _, (_, _, kind, *_) = opened.recvmsg(_MAX_FRAME, 64)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENETDOWN):
            return None
        raise
    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
    return seconds * 1_000_000_000 + nanoseconds, kind == _OUTGOING, data


Offset = tuple[int, int]
"""How far the time of day is ahead of the monotonic clock, in nanoseconds: at least and at most."""


def offset() -> Offset:
    """Read both clocks: what is between two readings of the one is not known better."""
    before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    return wall - after, wall - before


def step(one: Offset, other: Offset) -> float:
    """Return by how many seconds, at least, the time of day was set between two readings.

    What only runs it faster or slower, as NTP does, has both clocks do so.
    """
    forwards, backwards = other[0] - one[1], one[0] - other[1]
    return max(forwards, 0) / 1e9 - max(backwards, 0) / 1e9


class Capture:
    """A running capture of one host's interfaces, from the moment it is made."""

    def __init__(self, network: Network, host: str) -> None:
        self.host = host
        self._offset = offset()
        self.step = 0.0
        """By how many seconds the clock was set that the kernel stamps packets by."""

        self.interfaces = network.interfaces(host)
        links = network.topology.at(host)
        self._delays_ns = [
            0 if link.shape.is_faulty else round(link.shape.delay * 1e9) for link, _ in links
        ]
        self._packets: list[pcapng.Packet] = []
        with network.inside(host):
            self._sockets = [packet_socket(name) for name in self.interfaces]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_draining, daemon=True)
        self._thread.start()

    def _keep_draining(self) -> None:
        while not self._stopped.wait(_DRAIN_INTERVAL):
            self._drain()

    def _drain(self) -> None:
        for index, opened in enumerate(self._sockets):
            while found := receive(opened):
                time_ns, leaves, data = found
                if leaves:
                    time_ns -= self._delays_ns[index]
                self._packets.append(pcapng.Packet(time_ns, index, data))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep nothing of what passes meanwhile."""
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(nothing))
        for opened in self._sockets:
            opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        try:
            yield
        finally:
            for opened in self._sockets:
                opened.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def stop(self) -> int:
        """End the capture; return the number of packets that the kernel had to drop."""
        self._stopped.set()
        self._thread.join()
        self._drain()
        self.step = step(self._offset, offset())
        dropped = 0
        for opened in self._sockets:
            statistics = opened.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            dropped += struct.unpack("II", statistics)[1]
            opened.close()
        return int(dropped)

    def write(self, path: Path, tls_key_log: bytes = b"") -> None:
        """Write what was captured, in order of time, with the TLS secrets embedded."""
        self._packets.sort(key=lambda packet: packet.time_ns)
        pcapng.write(path, self.interfaces, self._packets, tls_key_log)


def start_captures(network: Network, hosts: Sequence[str]) -> list[Capture]:
    """Start captures in several hosts."""
    return [Capture(network, host) for host in hosts]
