"""Every frame of a run on its way over a link: when it was sent and arrived, by all captures."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from testbed.trace.frames import Frame, read_frames
from topologies.model import Link, Topology, mac_address

SLACK = 1_000_000
"""Nanoseconds by which a frame may seem to arrive before it was sent: two stamps of one clock."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A frame on a link; times in nanoseconds.

    `sent` is None if its sender has no capture that shows it. `arrived` is None if it was lost, or,
    where `heard` is False, if nobody listened at the receiver, or not any more.
    """

    link: str
    sender: str
    receiver: str
    sent: int | None
    arrived: int | None
    heard: bool
    data: bytes

    @property
    def time(self) -> int:
        """When it was first seen."""
        return next(time for time in (self.sent, self.arrived) if time is not None)

    @property
    def frame(self) -> Frame:
        """The frame, at the time at which it was first seen."""
        return Frame(self.time, self.data)


@dataclass(slots=True)
class _Seen:
    """When frames of the same octets left their sender, and reached each other host."""

    sent: list[int] = field(default_factory=list)
    heard: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def flights(captures: Path, topology: Topology) -> list[Flight]:
    """Return the frames in the captures `<host>.pcapng` of a run, in order of time.

    What a host outside the topology sent is left out. Raises DataError for a bad capture.
    """
    links, owners = _owners(topology)
    until: dict[str, int] = {}  # By host with a capture: its last frame.
    seen: dict[tuple[str, str, bytes], _Seen] = defaultdict(_Seen)
    for path in sorted(captures.glob("*.pcapng")):
        host, frames = path.stem, read_frames(path)
        until[host] = frames[-1].time if frames else 0
        for frame in frames:
            link, sender = owners.get(frame.source, ("", ""))
            if not link or all(end.host != host for end in links[link].ends):
                continue
            one = seen[link, sender, frame.data]
            (one.sent if sender == host else one.heard[host]).append(frame.time)
    found = [
        flight
        for (link, sender, data), one in seen.items()
        for flight in _flights(links[link], sender, data, one, owners, until)
    ]
    return sorted(found, key=lambda flight: flight.time)


def _owners(topology: Topology) -> tuple[dict[str, Link], dict[bytes, tuple[str, str]]]:
    """Return the links by their names, and the link and host of each MAC address."""
    owners = {
        bytes.fromhex(mac_address(topology, link, number).replace(":", "")): (link.name, end.host)
        for link in topology.links
        for number, end in enumerate(link.ends)
    }
    return {link.name: link for link in topology.links}, owners


def _flights(
    link: Link,
    sender: str,
    data: bytes,
    one: _Seen,
    owners: Mapping[bytes, tuple[str, str]],
    until: Mapping[str, int],
) -> Iterator[Flight]:
    """Yield what became of frames that are alike, each at the host that it was for."""
    others = [end.host for end in link.ends if end.host != sender]
    _, receiver = owners.get(data[:6], ("", ""))
    if receiver not in others:  # It went to a group: to who heard it first.
        receiver = min(one.heard, key=lambda host: min(one.heard[host]), default=others[0])
    came = one.heard.get(receiver, [])
    if sender not in until:
        yield from (Flight(link.name, sender, receiver, None, t, True, data) for t in came)
        return
    arrivals, strays = _paired(sorted(one.sent), sorted(came))
    for sent, arrived in zip(sorted(one.sent), arrivals, strict=True):
        heard = arrived is not None or until.get(receiver, 0) > sent + _in_flight(link)
        yield Flight(link.name, sender, receiver, sent, arrived, heard, data)
    for arrived in strays:  # A copy that the link made, or a frame that it altered.
        yield Flight(link.name, sender, receiver, None, arrived, True, data)


def _in_flight(link: Link) -> int:
    """Return how long a frame may be under way: one that is still so at the end is not lost."""
    return 2 * round(link.shape.delay * 1e9) + SLACK


def _paired(sent: list[int], came: list[int]) -> tuple[list[int | None], list[int]]:
    """Return for each sending when it came, None if it did not, and what came besides.

    What came belongs to the last sending before it: the earlier ones were lost.
    """
    arrivals: list[int | None] = [None] * len(sent)
    strays = []
    for time in came:
        at = bisect_right(sent, time + SLACK) - 1
        while at >= 0 and arrivals[at] is not None:
            at -= 1
        if at < 0:
            strays.append(time)
        else:
            arrivals[at] = time
    return arrivals, strays
