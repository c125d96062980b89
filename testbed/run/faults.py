"""What goes wrong on a link, measured: datagrams over it, heard where they leave and arrive."""

from __future__ import annotations

import select
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass

from agents.core.patience import patient
from testbed.run.capture import packet_socket, receive
from testbed.run.net import Network
from topologies.model import Interface, Link, link_local_address

_PROBES = 200  # Each way.
_DATAGRAM = struct.Struct("!I60x")
_FRAME = 14 + 40 + 8 + _DATAGRAM.size
_DISCARD = 9
_SILENCE = 0.5


@dataclass(frozen=True, slots=True)
class Faults:
    """What went wrong, in percent: loss of what was sent, all else of what arrived of it."""

    loss: float
    duplication: float
    reordering: float
    corruption: float


def measure_faults(network: Network, link: Link) -> Faults:
    """Send datagrams both ways between a link's first two ends; tell what became of them."""
    near, far = link.ends[:2]
    ways = [_cross(network, link, *way) for way in ((near, far), (far, near))]
    found = [asdict(way) for way in ways]
    return Faults(**{name: sum(one[name] for one in found) / len(found) for name in found[0]})


def _cross(network: Network, link: Link, sender: Interface, receiver: Interface) -> Faults:
    ends = [
        (end.host, network.topology.interface_name(end.host, link.name))
        for end in (sender, receiver)
    ]
    opened = []
    for host, interface in ends:
        with network.inside(host):
            opened.append(packet_socket(interface))
    with closing(opened[0]), closing(opened[1]):
        _send(network, *ends[0], str(link_local_address(network.topology, link, receiver.host)))
        left = {data: time for time, leaves, data in _heard(opened[0], 0.0) if leaves}
        silence = 4 * link.shape.delay + patient(_SILENCE)
        came = [(at, data) for at, leaves, data in _heard(opened[1], silence) if not leaves]
    return _judge(left, came, link.shape.delay)


def _send(network: Network, host: str, interface: str, destination: str) -> None:
    with network.inside(host):
        scope = socket.if_nametoindex(interface)
        opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with opened:
        for number in range(_PROBES):
            opened.sendto(_DATAGRAM.pack(number), (destination, _DISCARD, 0, scope))


def _heard(opened: socket.socket, silence: float) -> Iterator[tuple[int, bool, bytes]]:
    """Yield the frames as long as a probe, with time and direction, until nothing comes."""
    while select.select([opened], [], [], silence)[0]:
        found = receive(opened)
        if found and len(found[2]) == _FRAME:
            yield found


def _judge(left: dict[bytes, int], came: list[tuple[int, bytes]], delay: float) -> Faults:
    """Compare what came with what left; what overtook came in less than half of the delay."""
    intact = Counter(data for _, data in came if data in left)
    corrupted = len(came) - intact.total()
    early = sum(data in left and at - left[data] < delay / 2 * 1e9 for at, data in came)
    arrived = max(len(intact) + corrupted, 1)
    return Faults(
        loss=100 * (1 - min(1.0, (len(intact) + corrupted) / max(len(left), 1))),
        duplication=100 * (intact.total() - len(intact)) / arrived,
        reordering=100 * early / arrived,
        corruption=100 * corrupted / arrived,
    )
