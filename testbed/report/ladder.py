"""One run as a ladder: every message between hosts at its time, by all captures and keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from testbed.analysis.compare import written
from testbed.base.files import plain
from testbed.base.jsonl import DataError, read_whole
from testbed.base.phases import PHASES, TOTAL
from testbed.base.words import several
from testbed.results.folder import Results, run_folder
from testbed.results.runs import Run
from testbed.trace import counts
from testbed.trace.counts import near_ends
from testbed.trace.critical import LOOKUPS
from testbed.trace.decode.decoder import Told, read
from testbed.trace.decode.text import printable
from testbed.trace.flights import Flight, flights
from testbed.trace.phases import MILESTONES, Timeline, began, from_capture, macs
from topologies.model import HostRole, Topology

MOST = 6000
"""Messages of a ladder; one of a crowd ends there."""

TUNNEL, FIRST = "IPv6 tunnel", "first packet for the HoA"
"""The protocol of the packet that shows the mobile node reachable, and what it is called."""

LANES = 12
"""Hosts that have a line of their own; mobile nodes share one if there are more."""


class Message(msgspec.Struct, array_like=True):
    """An arrow: times in nanoseconds since the bootstrap began, hosts by their numbers.

    `arrived` is None if it was lost; `listened` is 0 where one of its ends has no capture. `node`
    is the number of the mobile node that it is about, where there are many; -1 is not known.
    """

    sent: int
    arrived: int | None
    sender: int
    receiver: int
    protocol: int
    label: str
    octets: int
    link: int
    critical: int
    listened: int
    fields: str
    node: int


class Mark(msgspec.Struct, array_like=True):
    """An event that an agent told, at a host; `detail` are its fields as lines, `node` as above."""

    time: int
    host: int
    agent: str
    event: str
    detail: str
    node: int


class Ladder(msgspec.Struct, kw_only=True):
    """What is drawn of a run; `end` is when its bootstrap ended, or its last message."""

    run: int
    variant: str
    at: str
    came_to: str
    ok: bool
    hosts: list[tuple[str, str]]
    nodes: list[str]
    links: list[str]
    protocols: list[str]
    phases: list[tuple[str, int, int]]
    end: int
    messages: list[Message]
    events: list[Mark]
    files: list[str]
    cut: int = 0


def ladder(results: Results, run: Run) -> Ladder | None:
    """Return the ladder of a run; None if it has no captures. Raises DataError for bad ones."""
    folder = run_folder(results.folder, run.run)
    if not any((folder / "captures").glob("*.pcapng")):
        return None
    return _Builder(results, run, folder).build()


BOOTSTRAP = LOOKUPS | {"PANA", "802.1X", "RADIUS", "IKEv1", "IKEv2", "MIPv6"}
"""Protocols whose messages are of a bootstrap, whatever else there is on the links."""


@dataclass(slots=True)
class _Builder:
    """Puts a ladder together."""

    results: Results
    run: Run
    folder: Path
    topology: Topology = field(init=False)
    lanes: dict[str, int] = field(init=False)
    nodes: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        spec, point = self.results.spec, self.run.parameters
        known = spec and self.run.variant in spec.variants
        self.topology = (
            spec.at(point).topology(self.run.variant)
            if spec and known
            else self.results.topology(self.run.variant)
        )

    def build(self) -> Ladder:
        told = list(read(flights(self.folder / "captures", self.topology), self.folder / "keys"))
        if not told:
            raise DataError(
                f"{plain(self.folder)}: no capture has a frame of a host of its network"
            )
        timeline = self._timeline()
        zero = timeline.start if timeline else self._zero(told)
        hosts = self._hosts(told)
        end = self._end(told, timeline, zero)
        protocols = list(dict.fromkeys(one.protocol for one in told))
        links = list(dict.fromkeys(one.flight.link for one in told))
        critical = self._critical(timeline) if timeline else frozenset()
        through = timeline and timeline.first_packet
        first = zero + round(through * 1e9) if through else None
        near = near_ends(self.topology) if self._is_of_one else {}

        about = self._about(told)

        def message(one: Told, node: str | None) -> Message:
            flight = one.flight
            sent = flight.arrived if flight.sent is None else flight.sent
            here = flight.sent if near.get(flight.link) == flight.sender else flight.arrived
            arrived = flight.arrived if flight.heard else self._expected(flight)
            assert sent is not None  # noqa: S101  # One end has seen it.
            return Message(
                sent - zero,
                None if arrived is None else arrived - zero,
                self.lanes[flight.sender],
                self.lanes[flight.receiver],
                protocols.index(one.protocol),
                FIRST if one.protocol == TUNNEL and here == first else one.label,
                len(flight.data),
                links.index(flight.link),
                int((flight.link, here) in critical),
                int(flight.heard and flight.sent is not None),
                "\n".join(one.fields),
                self.nodes.get(node or "", -1),
            )

        return Ladder(
            run=self.run.run,
            variant=self.run.variant,
            at=written(self.run.parameters),
            came_to=self.run.came_to,
            ok=self.run.status != "failed",
            hosts=hosts,
            nodes=list(self.nodes),
            links=links,
            protocols=protocols,
            phases=self._phases(timeline),
            end=end,
            messages=[message(*both) for both in zip(told[:MOST], about, strict=False)],
            events=self._events(timeline, zero),
            files=files(self.results.folder, self.folder),
            cut=max(0, len(told) - MOST),
        )

    def _timeline(self) -> Timeline | None:
        """Return the phases of a bootstrap of one mobile node; None of anything else."""
        if self.run.status != "ok" or not self._is_of_one:
            return None
        with suppress(DataError):
            return from_capture(self._capture(), macs(self.topology))
        return None

    @property
    def _is_of_one(self) -> bool:
        return len(self.topology.hosts_with(HostRole.MOBILE_NODE)) == 1

    def _capture(self) -> Path:
        return self.folder / "captures" / f"{self.topology.host(HostRole.MOBILE_NODE)}.pcapng"

    def _zero(self, told: Sequence[Told]) -> int:
        """Return when the bootstrap of a run without phases began."""
        with suppress(DataError):
            if self._is_of_one:
                return began(self._capture(), macs(self.topology))
        bootstraps = (t.flight.time for t in told if t.protocol in BOOTSTRAP)
        return next(bootstraps, told[0].flight.time)

    def _end(self, told: Sequence[Told], timeline: Timeline | None, zero: int) -> int:
        if timeline:
            return round(max(timeline.binding_end, timeline.first_packet or 0.0) * 1e9)
        last = [t.flight.time for t in told if t.protocol in BOOTSTRAP] or [told[-1].flight.time]
        return last[-1] - zero

    def _hosts(self, told: Iterable[Told]) -> list[tuple[str, str]]:
        """Give the hosts with messages their lanes, those nearer to the mobile node first."""
        used = {host for one in told for host in (one.flight.sender, one.flight.receiver)}
        roles = {host.name: host.role for host in self.topology.hosts}
        order = [name for name in by_distance(self.topology) if name in used]
        nodes = [name for name in order if roles[name] is HostRole.MOBILE_NODE]
        grouped = set(nodes) if len(order) > LANES else set()
        hosts: list[tuple[str, str]] = []
        if grouped:
            hosts.append((several(len(grouped), "node"), HostRole.MOBILE_NODE))
        self.nodes = {name: i for i, name in enumerate(sorted(grouped))}
        self.lanes = dict.fromkeys(grouped, 0)
        for name in order:
            if name not in grouped:
                self.lanes[name] = len(hosts)
                hosts.append((name, roles[name]))
        return hosts

    def _about(self, told: Iterable[Told]) -> list[str | None]:
        """Return the mobile node that each message is about, where many share a lane.

        It is at one end, or its address or Diameter session is among the fields.
        """
        if not self.nodes:
            return [None for _ in told]
        known: dict[str, str] = {}
        found: list[str | None] = []
        for one in told:
            ends = one.flight.sender, one.flight.receiver
            own = next((host for host in ends if host in self.nodes), None)
            words = {word for line in one.fields for word in line.split() if len(word) > 7}
            node = own or next((known[word] for word in words if word in known), None)
            source = one.fields[0].split()[1:2] if one.fields else []
            if node and own == ends[0] and source:
                known.setdefault(source[0], node)
            for line in one.fields if node else ():
                if line.strip().startswith(("Session-Id: ", "Home-Address: ")):
                    known.setdefault(line.split()[-1], node or "")
            found.append(node)
        return found

    def _expected(self, flight: Flight) -> int | None:
        """Return when a frame should have come to an end where nobody listens."""
        if flight.sent is None:
            return flight.arrived
        return flight.sent + round(self.topology.link(flight.link).shape.delay * 1e9)

    def _critical(self, timeline: Timeline) -> frozenset[tuple[str, int]]:
        trips = counts.path(self.folder / "captures", self.topology, timeline)
        return frozenset(
            (link, t) for link, one in trips.items() for x in one for t in (x.start, x.end)
        )

    def _phases(self, timeline: Timeline | None) -> list[tuple[str, int, int]]:
        lengths = timeline.phases if timeline else self.run.phases or {}
        found, begin = [], 0.0
        for name in PHASES:
            if name not in lengths:
                break
            end = begin + lengths[name]
            if lengths[name]:
                found.append((name, round(begin * 1e9), round(end * 1e9)))
            begin = end
        return [] if self.run.members else found

    def _events(self, timeline: Timeline | None, zero: int) -> list[Mark]:
        """Return the events, at the times of the captures' clock."""
        path = self.folder / "events.jsonl"
        if not path.exists():
            return []
        known = (event for event in read_whole(path, dict) if _is_event(event))
        told = sorted(known, key=lambda event: event["t"])
        ahead = self._ahead(told, timeline, zero)
        if ahead is None:
            return []
        return [
            Mark(
                event["t"] + ahead - zero,
                self.lanes[event["host"]],
                str(event["agent"]),
                str(event["event"]),
                "\n".join(_lines(event)),
                self.nodes.get(event["host"], -1),
            )
            for event in told[:MOST]
            if event["host"] in self.lanes
        ]

    def _ahead(
        self, told: Sequence[Mapping[str, Any]], timeline: Timeline | None, zero: int
    ) -> int | None:
        """Return by how many nanoseconds the captures' clock is ahead of the events'.

        An event comes before the message that it is about leaves, by little where agents send: so
        the least difference of any is taken.
        """
        seen = {"start": zero}
        if timeline:
            seen["ike_start"] = zero + round(timeline.ike_start * 1e9)
            seen["binding_start"] = zero + round(timeline.binding_start * 1e9)
        first: dict[str, int] = {}
        for event in told:
            for name, wanted in MILESTONES:
                if (event["agent"], event["event"]) in wanted:
                    first.setdefault(name, event["t"])
        both = [seen[name] - first[name] for name in seen if name in first]
        return min(both, default=None)


def by_distance(topology: Topology) -> list[str]:
    """Return the hosts of a topology, those nearer to the mobile nodes first."""
    found = list(topology.hosts_with(HostRole.MOBILE_NODE))
    for host in found:  # It grows while it is walked.
        for link, _ in topology.at(host):
            found += [end.host for end in link.ends if end.host not in found]
    return [*found, *(host.name for host in topology.hosts if host.name not in found)]


def files(folder: Path, run: Path) -> list[str]:
    """Return what a run has left, as paths below the results folder."""
    kept = ("events.jsonl", "captures/*.pcapng", "logs/*", "keys/*", "configuration/*")
    found = [path for pattern in kept for path in sorted(run.glob(pattern))]
    return [plain(path.relative_to(folder)) for path in found]


def _is_event(event: Mapping[str, Any]) -> bool:
    named = all(isinstance(event.get(name), str) for name in ("host", "agent", "event"))
    return named and isinstance(event.get("t"), int)


def _lines(event: Mapping[str, Any]) -> list[str]:
    rest = {k: v for k, v in event.items() if k not in ("t", "host", "agent", "event")}
    return [f"{name}: {_plain(value)}" for name, value in rest.items()]


def _plain(value: Any) -> str:
    return printable(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def typical_run(results: Results) -> Run:
    """Return the run with a capture and the median total of the fastest variant that has one.

    Raises DataError if there is none.
    """
    found: list[list[Run]] = []
    for name in results.variants:
        runs = [run for run in results.bootstrapped(name) if has_captures(results, run)]
        if runs:
            found.append(sorted(runs, key=_total))
    if not found:
        raise DataError(f"{results.folder}: no successful run has a capture")
    fastest = min(found, key=lambda runs: _total(runs[len(runs) // 2]))
    return fastest[(len(fastest) - 1) // 2]


def has_captures(results: Results, run: Run) -> bool:
    """Return whether a run has kept captures."""
    return any((run_folder(results.folder, run.run) / "captures").glob("*.pcapng"))


def _total(run: Run) -> float:
    return (run.phases or {}).get(TOTAL, float("inf"))
