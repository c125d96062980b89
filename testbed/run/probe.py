"""Measurements from inside a host: reachability, and what a link really does to traffic."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv6Address
from statistics import median

from testbed.run.faults import measure_faults
from testbed.run.net import Network
from testbed.run.nodes import NetError
from testbed.run.silence import Silences
from topologies.model import Link, link_local_address

_ECHO_REQUEST, _ECHO_REPLY = 128, 129
_ICMP6_FILTER = 1  # linux/icmpv6.h
_SO_TIMESTAMPNS = 35
_BURST = 0.04
_DATAGRAM = 1400
_HEADERS = 14 + 40 + 8
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_BUFFER = 8 << 20
_DELAY_PROBES = 3  # To each address.
REPLY_DEADLINE = 2.0
_STANDSTILL = 0.1
"""Seconds too late; a timer of user-mode Linux is late by some milliseconds every time."""


class Echo:
    """An ICMPv6 echo client (RFC 4443 section 4) that was opened inside a host."""

    def __init__(self, network: Network, host: str) -> None:
        with network.inside(host):
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        blocked = bytearray(b"\xff" * 32)
        blocked[_ECHO_REPLY // 8] &= ~(1 << _ECHO_REPLY % 8) & 0xFF
        self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
        self._sequence = 0

    def send(self, destination: IPv6Address) -> int:
        """Send one echo request; return its sequence number.

        A link-local destination has its interface's index for a scope: fe80::1%2.
        """
        self._sequence += 1
        host, _, scope = str(destination).partition("%")
        header = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, id(self) & 0xFFFF, self._sequence)
        with suppress(OSError):  # No route yet, or an earlier request was refused: it is lost.
            self._socket.sendto(header + bytes(56), (host, 0, 0, int(scope or 0)))
        return self._sequence

    def receive(self, wait: float) -> int | None:
        """Return the sequence number of the next reply, or None if none comes in time."""
        deadline = time.monotonic() + wait
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return None
            data = self._socket.recv(2048)
            _, _, _, identifier, sequence = struct.unpack_from("!BBHHH", data)
            if identifier == id(self) & 0xFFFF:
                return int(sequence)
        return None

    def send_all(self, destinations: Sequence[IPv6Address]) -> dict[int, float]:
        """Send to each; return when, by their sequence numbers."""
        return {self.send(destination): time.monotonic() for destination in destinations}

    def round_trips(self, sent: dict[int, float], wait: float) -> list[float]:
        """Return how long the answers took that come within `wait` seconds to what was sent."""
        deadline, times = time.monotonic() + wait, []
        while sent and (left := deadline - time.monotonic()) > 0:
            sequence = self.receive(left)
            if sequence in sent:
                times.append(time.monotonic() - sent.pop(sequence))
        return times

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Traffic:
    """Echo requests at a steady pace until they are stopped, and the longest silence meanwhile.

    While the machine stands still, as when its disk is busy, nobody asks: that is no silence.
    """

    def __init__(self, echo: Echo, destination: IPv6Address, interval: float) -> None:
        self._echo = echo
        self._destination = destination
        self._interval = interval
        self._stopped = threading.Event()
        self._sent = self._answered = 0
        self._silences = Silences()
        self._under_way: dict[int, float] = {}
        """When each request that has no answer yet was sent, by its number."""

        self._longest = interval
        """Round trip, in seconds: the last request has as long."""

        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        heard = time.monotonic()
        while not self._stopped.is_set():
            sent = time.monotonic()
            self._under_way[self._echo.send(self._destination)] = sent
            self._sent += 1
            heard = self._hear(sent + self._interval, heard)
        heard = self._hear(time.monotonic() + self._longest, heard)
        self._silences.note(time.monotonic() - heard)

    def _hear(self, until: float, heard: float) -> float:
        """Take answers until then, or until there are no more.

        Return when the last one came, moved by how long nothing ran if this ends much too late.
        """
        while (left := until - time.monotonic()) > 0 and not self._is_over:
            sequence = self._echo.receive(left)
            now = time.monotonic()
            if now - until > _STANDSTILL:
                heard += now - until
            if sequence in self._under_way:
                self._answered += 1
                self._longest = max(self._longest, now - self._under_way.pop(sequence))
                self._silences.note(now - heard)
                heard = now
        return heard

    @property
    def _is_over(self) -> bool:
        return self._stopped.is_set() and not self._under_way

    def wait_for(self, packets: int, timeout: float) -> None:
        """Wait until this many more requests are answered; NetError after `timeout` seconds."""
        wanted, deadline = self._answered + packets, time.monotonic() + timeout
        while self._answered < wanted:
            if time.monotonic() > deadline:
                missing = wanted - self._answered
                raise NetError(f"{missing} of {packets} packets were not answered in time")
            time.sleep(self._interval)

    def longest(self) -> float:
        """Return the longest silence in seconds since this was asked before."""
        return self._silences.take()

    def stop(self) -> dict[str, float]:
        """Stop; return the requests sent and answered and the longest silence in seconds."""
        self._stopped.set()
        self._thread.join()
        silence = round(self._silences.longest, 6)
        return {"sent": self._sent, "answered": self._answered, "silence": silence}


@dataclass(frozen=True, slots=True)
class Measured:
    """A link as measured: one-way delay in seconds, rate in Mbit/s, faults in percent.

    None is what was not measured, because nothing was asked for.
    """

    delay: float
    rate: float | None
    loss: float | None = None
    duplication: float | None = None
    reordering: float | None = None
    corruption: float | None = None


@dataclass(frozen=True, slots=True)
class _Path:
    """The way over a link, from a host to the addresses of the other end."""

    host: str
    far_host: str
    destination: IPv6Address
    link_local: IPv6Address


def _path(network: Network, link: Link) -> _Path:
    near, far = link.ends[:2] if link.ends[1].addresses else reversed(link.ends[:2])
    with network.inside(near.host):
        scope = socket.if_nametoindex(network.topology.interface_name(near.host, link.name))
    link_local = link_local_address(network.topology, link, far.host)
    return _Path(near.host, far.host, far.address, IPv6Address(f"{link_local}%{scope}"))


def _delay(echo: Echo, path: _Path, greetings: dict[int, float], *, at_once: bool) -> float:
    """Return half of the median of a few round trips in seconds, after the answered greetings."""
    probes = (path.destination, path.link_local) * _DELAY_PROBES
    echo.round_trips(greetings, REPLY_DEADLINE)
    rounds = [probes] if at_once else [(probe,) for probe in probes]
    answered = [t for sent in rounds for t in echo.round_trips(echo.send_all(sent), REPLY_DEADLINE)]
    if not answered:
        raise NetError(f"{path.host} gets no echo from {path.far_host}")
    return median(answered) / 2


def _udp_socket(network: Network, host: str) -> socket.socket:
    with network.inside(host):
        return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)


def _rate(network: Network, path: _Path, asked: float, delay: float) -> float:
    """Return the rate in Mbit/s at which a short burst arrives at the other end."""
    count = max(20, int(asked * 1e6 / 8 * _BURST / (_DATAGRAM + _HEADERS)))
    with (
        _udp_socket(network, path.host) as sender,
        _udp_socket(network, path.far_host) as receiver,
    ):
        sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        receiver.bind(("::", 0))
        receiver.settimeout(4 * delay + 0.2)
        port = receiver.getsockname()[1]
        for _ in range(count):
            sender.sendto(bytes(_DATAGRAM), (str(path.destination), port))
        arrivals: list[float] = []
        with suppress(TimeoutError):
            while len(arrivals) < count:
                _, ancillary, _, _ = receiver.recvmsg(_DATAGRAM, 64)
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                arrivals.append(seconds + nanoseconds / 1e9)
    # The token bucket lets the first packets through at once: the second half tells the rate.
    half = arrivals[len(arrivals) // 2 :]
    if len(half) < 2:
        raise NetError(f"of {count} datagrams {len(arrivals)} arrived at {path.far_host}")
    return (len(half) - 1) * (_DATAGRAM + _HEADERS) * 8 / (half[-1] - half[0]) / 1e6


class Measurement:
    """What links do, by name; once it is made, the ends of each resolve each other's addresses.

    So they are known as on links that are in use: no bootstrap after it waits for that, whichever
    host it has begin. What else there is to do can be done while the greetings are under way.
    """

    def __init__(self, network: Network, links: Sequence[Link]) -> None:
        self._network = network
        self._paths = {link: _path(network, link) for link in links}
        self._echoes = {link: Echo(network, path.host) for link, path in self._paths.items()}
        self._greetings = {
            link: self._echoes[link].send_all((path.destination, path.link_local))
            for link, path in self._paths.items()
        }

    def carry_out(self) -> dict[str, Measured]:
        """Measure what links were asked to do; NetError if one plainly does not do it.

        Faults are measured last: delay and rate could not be told with them.
        Who waits for a long link can wait for the others too; short ones have the processor alone.
        """
        slow = [link for link in self._paths if link.shape.delay]
        with ThreadPoolExecutor() as pool:
            delays = dict(zip(slow, pool.map(self._delay, slow), strict=True))
        found = {
            link.name: _measured(self._network, link, path, delays.get(link) or self._delay(link))
            for link, path in self._paths.items()
        }
        self._network.go_wrong()
        for link in self._paths:
            if link.shape.is_faulty:
                faults = measure_faults(self._network, link)
                found[link.name] = replace(found[link.name], **asdict(faults))
        self._network.go_wrong(wrong=False)
        return found

    def _delay(self, link: Link) -> float:
        with _about(link), closing(self._echoes[link]) as echo:
            at_once = link.shape.delay > 0
            return _delay(echo, self._paths[link], self._greetings[link], at_once=at_once)


def _measured(network: Network, link: Link, path: _Path, delay: float) -> Measured:
    asked = link.shape
    with _about(link):
        measured = Measured(
            delay=delay,
            rate=_rate(network, path, asked.rate, asked.delay) if asked.rate else None,
        )
        if measured.delay < 0.9 * asked.delay:
            raise NetError(f"{asked.delay} s of delay asked, {measured.delay:.6f} s measured")
        if measured.rate is not None and measured.rate > 1.25 * asked.rate:
            raise NetError(f"{asked.rate:g} Mbit/s asked, {measured.rate:.0f} measured")
    return measured


@contextmanager
def _about(link: Link) -> Iterator[None]:
    try:
        yield
    except NetError as error:
        raise NetError(f"link {link.name}: {error}") from None
