"""A host without credentials that floods a node, to see whether others are still served.

It sends to hosts of a laboratory alone: to an address of the prefix for documentation (RFC 3849),
over one interface, and never more than `limit` attempts.
"""

from __future__ import annotations

import asyncio
import errno
import random
import resource
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol

from agents.core.eventlog import EventLog
from agents.mip6.codec import Status, internet_checksum
from agents.nodes.flooder.floods import (
    Attack,
    BindingUpdates,
    DiameterConnections,
    acknowledged,
)
from agents.nodes.flooder.settings import PORTS, FlooderConfiguration, FloodSettings
from agents.shell.program import run
from agents.shell.sockets import hearing_all

FIRST_PORT = 20_000
"""Where the source ports of the attempts begin, and how many there are: an attempt has its own."""

_TICK = 0.01
"""Seconds between looks at how many attempts are due."""

_REPORT = 0.5
"""Seconds between reports of what was sent and what came back."""

_BATCH = 64
_MAX_DATAGRAM = 65535
_UDP_HEADER, _IPV6_HEADER, _HOP_LIMIT = 8, 40, 64
_FIRST_FALSE = 0xFA15E00000
"""Where false addresses begin in their prefix."""

_CHECKSUM_AT = 6  # Octets into the UDP header.
_ETHERTYPE_IPV6 = 0x86DD
_BUSY = (errno.EAGAIN, errno.ENOBUFS, errno.ENETUNREACH, errno.EHOSTUNREACH)


@dataclass
class Count:
    """What was tried, and what came of it; of TCP, packets are connections and messages."""

    attempts: int = 0
    sent: int = 0
    octets: int = 0
    answered: int = 0
    octets_back: int = 0
    """Of IPv6 packets; of TCP, of what they carry. Both together are the amplification."""

    accepted: int = 0
    """Home addresses that a home agent has bound for it."""

    refused: int = 0
    """Packets that the own kernel did not send, and connections that were not accepted."""


class Wire(Protocol):
    """How the packets of an attack are sent, and what is answered."""

    def send(self, number: int, packet: bytes) -> None:
        """Begin an attempt."""

    def close(self) -> None:
        """Leave everything as it is, and send nothing more."""


class _Sockets:
    """The base of a wire with one socket to send by and one to receive from."""

    def __init__(self, sender: socket.socket, receiver: socket.socket, count: Count) -> None:
        self._count = count
        self._sender, self._receiver = sender, receiver
        for one in (sender, receiver):
            one.setblocking(False)
        asyncio.get_running_loop().add_reader(receiver, self._readable)

    def _readable(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._receiver.recv(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            self._received(data)

    def _received(self, data: bytes) -> None:
        raise NotImplementedError

    def _transmit(self, packet: bytes, to: str) -> None:
        try:
            self._sender.sendto(packet, (to, 0))
            self._count.sent += 1
            self._count.octets += len(packet)
        except OSError as error:
            if error.errno not in _BUSY:
                raise
            self._count.refused += 1

    def close(self) -> None:
        """Close the sockets."""
        asyncio.get_running_loop().remove_reader(self._receiver)
        self._sender.close()
        self._receiver.close()


class UdpWire(_Sockets):
    """UDP out of a raw socket: each attempt has a source port, and none a socket of its own."""

    def __init__(self, configuration: FlooderConfiguration, attack: Attack, count: Count) -> None:
        opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_UDP)
        _tie(opened, configuration.interface)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, _CHECKSUM_AT)
        opened.bind((configuration.address, 0))
        super().__init__(opened, opened, count)
        self._attack, self._target = attack, configuration.target

    def send(self, number: int, packet: bytes) -> None:
        """Send a datagram of an attempt."""
        length = _UDP_HEADER + len(packet)
        ports = FIRST_PORT + number % PORTS, self._attack.port
        self._transmit(struct.pack("!HHHH", *ports, length, 0) + packet, self._target)
        self._count.octets += _IPV6_HEADER

    def _received(self, data: bytes) -> None:
        source, port, *_ = struct.unpack_from("!HHHH", data)
        number = port - FIRST_PORT
        if source != self._attack.port or not 0 <= number < PORTS:
            return
        self._count.answered += 1
        self._count.octets_back += _IPV6_HEADER + len(data)
        if (packet := self._attack.answer(number, data[_UDP_HEADER:])) is not None:
            self.send(number, packet)


class _Packets(_Sockets):
    """The base of wires that send whole IPv6 packets, and hear all that is on the link."""

    def __init__(self, configuration: FlooderConfiguration, count: Count) -> None:
        sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        _tie(sender, configuration.interface)
        receiver = hearing_all(configuration.interface, socket.SOCK_DGRAM, _ETHERTYPE_IPV6)
        super().__init__(sender, receiver, count)
        self._target = configuration.target
        self._from = IPv6Address(configuration.target).packed


class ForgedWire(_Packets):
    """UDP from addresses that nobody has, another for each attempt; no answer is answered."""

    def __init__(self, configuration: FlooderConfiguration, attack: Attack, count: Count) -> None:
        super().__init__(configuration, count)
        self._port = attack.port
        self._prefix = IPv6Network(configuration.false_prefix)

    def send(self, number: int, packet: bytes) -> None:
        """Send a datagram of an attempt."""
        source = self._prefix.network_address + (_FIRST_FALSE + number)
        length = _UDP_HEADER + len(packet)
        ports = FIRST_PORT + number % PORTS, self._port
        datagram = struct.pack("!HHHH", *ports, length, 0) + packet
        to = IPv6Address(self._target)
        found = internet_checksum(source, to, socket.IPPROTO_UDP, datagram) or 0xFFFF
        datagram = struct.pack("!HHHH", *ports, length, found) + packet
        head = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_UDP, _HOP_LIMIT)
        self._transmit(head + source.packed + self._from + datagram, self._target)

    def _received(self, data: bytes) -> None:
        to = int.from_bytes(data[24:40]) - int(self._prefix.network_address)
        if data[8:24] == self._from and _FIRST_FALSE <= to < _FIRST_FALSE + PORTS:
            self._count.answered += 1
            self._count.octets_back += len(data)


class PacketWire(_Packets):
    """Whole IPv6 packets; answers are Binding Acknowledgements in clear, to whatever address."""

    def send(self, number: int, packet: bytes) -> None:  # noqa: ARG002
        """Send a packet."""
        self._transmit(packet, self._target)

    def _received(self, data: bytes) -> None:
        status = acknowledged(data) if data[8:24] == self._from else None
        if status is not None:
            self._count.answered += 1
            self._count.octets_back += len(data)
            self._count.accepted += status < Status.UNSPECIFIED


class TcpWire:
    """TCP connections, held for as long as the peer lets them."""

    def __init__(self, configuration: FlooderConfiguration, port: int, count: Count) -> None:
        self._peer, self._local = (configuration.target, port), (configuration.address, 0)
        self._count = count
        self._tasks: set[asyncio.Task[None]] = set()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def send(self, number: int, packet: bytes) -> None:  # noqa: ARG002
        """Connect, and send `packet` if it is not empty."""
        task = asyncio.ensure_future(self._hold(packet))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hold(self, packet: bytes) -> None:
        self._count.sent += 1
        try:
            reader, writer = await asyncio.open_connection(*self._peer, local_addr=self._local)
        except OSError:
            self._count.refused += 1
            return
        try:
            if packet:
                writer.write(packet)
                self._count.sent += 1
                self._count.octets += len(packet)
            while data := await reader.read(_MAX_DATAGRAM):
                self._count.answered += 1
                self._count.octets_back += len(data)
        except OSError:
            pass
        finally:
            writer.close()

    def close(self) -> None:
        """Give up every connection."""
        for task in self._tasks:
            task.cancel()


def _tie(opened: socket.socket, interface: str) -> None:
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")


def _wire(configuration: FlooderConfiguration, attack: Attack, count: Count) -> Wire:
    match attack:
        case BindingUpdates():
            return PacketWire(configuration, count)
        case DiameterConnections():
            return TcpWire(configuration, attack.port, count)
    if configuration.flood.sources == "false":
        return ForgedWire(configuration, attack, count)
    return UdpWire(configuration, attack, count)


class Flooder:
    """Makes attempts at a steady rate, and reports."""

    def __init__(
        self,
        settings: FloodSettings,
        packets: Sequence[bytes],
        wire: Wire,
        count: Count,
        log: EventLog,
    ) -> None:
        self._settings = settings
        self._packets = packets
        self._wire = wire
        self._count = count
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()

    def _flood(self) -> None:
        """Make the attempts that are due."""
        elapsed = self._loop.time() - self._begun
        due = min(len(self._packets), int(elapsed * self._settings.rate) + 1)
        first = self._count.attempts
        for number in range(first, min(due, first + _BATCH)):
            self._wire.send(number, self._packets[number])
            self._count.attempts += 1
        head_start = self._settings.head_start
        if first < head_start <= self._count.attempts:
            self._log.write("Ready")

    def _report(self) -> None:
        count = self._count
        self._log.write(
            "Flooded",
            attack=self._settings.attack,
            seconds=round(self._loop.time() - self._begun, 6),
            attempts=count.attempts,
            sent=count.sent,
            octets=count.octets,
            answered=count.answered,
            octets_back=count.octets_back,
            accepted=count.accepted,
            refused=count.refused,
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Flood until `stop` is set."""
        reported = self._begun = self._loop.time()
        while not stop.is_set():
            self._flood()
            if (now := self._loop.time()) >= reported + _REPORT:
                reported = now
                self._report()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await stop.wait()
        self._report()


async def serve(configuration: FlooderConfiguration, stop: asyncio.Event) -> None:
    """Run the flooder until `stop` is set."""
    settings, count = configuration.flood, Count()
    attack = configuration.attack(random.SystemRandom())
    packets = [attack.open(number) for number in range(settings.limit)]
    wire = _wire(configuration, attack, count)
    log = EventLog(configuration.host, "flooder")
    try:
        await Flooder(settings, packets, wire, count, log).serve(stop)
    finally:
        wire.close()


def main() -> None:
    """Run the program."""
    run("agents.nodes.flooder.main", FlooderConfiguration, serve)


if __name__ == "__main__":
    main()
