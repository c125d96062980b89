"""The bootstraps of many mobile nodes, told apart in what their access routers have captured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from testbed.trace.esp import read_whole_frames
from testbed.trace.frames import Frame
from topologies.model import HostRole, Topology, mac_address

_DESTINATION, _SOURCE = slice(0, 6), slice(6, 12)


def frames_of(captures: Path, topology: Topology) -> Mapping[str, list[Frame]]:
    """Return the frames from and to each mobile node by its host, as they passed its interface.

    They are known by the MAC addresses. The access router's times differ from the mobile node's by
    the link's delay, which is made up for; what waits for the link's rate counts for the link.
    Raises DataError for a bad capture.
    """
    found: dict[str, list[Frame]] = {}
    for router in topology.hosts_with(HostRole.ACCESS_ROUTER):
        owners: dict[bytes, tuple[str, int]] = {}
        for link, _ in topology.at(router):
            for number, end in enumerate(link.ends):
                if end.autoconfigure:
                    mac = bytes.fromhex(mac_address(topology, link, number).replace(":", ""))
                    owners[mac] = (end.host, round(link.shape.delay * 1e9))
                    found[end.host] = []
        for frame in read_whole_frames(captures / f"{router}.pcapng"):
            for part, sign in ((_SOURCE, -1), (_DESTINATION, 1)):
                if owner := owners.get(frame.data[part]):
                    host, delay = owner
                    found[host].append(replace(frame, time=frame.time + sign * delay))
    for frames in found.values():
        frames.sort(key=lambda frame: frame.time)
    return found
