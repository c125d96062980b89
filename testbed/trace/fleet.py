"""The bootstraps of many mobile nodes, told apart in the captures of their access links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from testbed.trace.esp import read_whole_frames
from testbed.trace.frames import Frame
from topologies.model import HostRole, Link, Topology, mac_address

_DESTINATION, _SOURCE = slice(0, 6), slice(6, 12)


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames from and to a mobile node, by its MAC address, each in order of time.

    `passed` are those that passed its interface, `routed` those that its access router's capture
    has: of what was lost between them only its sender knows.
    """

    mac: bytes
    passed: list[Frame]
    routed: list[Frame]


def captured(topology: Topology) -> list[str]:
    """Return the hosts whose captures have what passes the mobile nodes' interfaces.

    These are the access routers, and the mobile nodes on links on which things go wrong.
    """
    routers = topology.hosts_with(HostRole.ACCESS_ROUTER)
    there = [(link, host) for router in routers for link, _, host in _behind(topology, router)]
    return [*routers, *(host for link, host in there if link.shape.is_faulty)]


def frames_of(captures: Path, topology: Topology) -> Mapping[str, Frames]:
    """Return each mobile node's frames by its host.

    An access router's times differ from the mobile node's by the link's delay, which is made up
    for; what waits for the link's rate counts for the link. Raises DataError for a bad capture.
    """
    found: dict[str, Frames] = {}
    for router in topology.hosts_with(HostRole.ACCESS_ROUTER):
        owners: dict[bytes, tuple[list[Frame], int]] = {}
        for link, mac, host in _behind(topology, router):
            routed: list[Frame] = []
            passed = routed
            if link.shape.is_faulty:
                own = read_whole_frames(captures / f"{host}.pcapng")
                passed = [f for f in own if mac in (f.data[_SOURCE], f.data[_DESTINATION])]
            found[host] = Frames(mac, passed, routed)
            owners[mac] = routed, round(link.shape.delay * 1e9)
        for frame in read_whole_frames(captures / f"{router}.pcapng"):
            for part, sign in ((_SOURCE, -1), (_DESTINATION, 1)):
                if owner := owners.get(frame.data[part]):
                    frames, delay = owner
                    frames.append(replace(frame, time=frame.time + sign * delay))
    for one in found.values():
        one.routed.sort(key=lambda frame: frame.time)
    return found


def _behind(topology: Topology, router: str) -> Iterator[tuple[Link, bytes, str]]:
    """Yield the mobile nodes on an access router's links: the link, MAC address and host."""
    for link, _ in topology.at(router):
        for number, end in enumerate(link.ends):
            if end.autoconfigure:
                mac = bytes.fromhex(mac_address(topology, link, number).replace(":", ""))
                yield link, mac, end.host
