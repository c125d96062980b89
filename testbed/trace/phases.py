"""Where the time of a bootstrap goes: its phases, from a capture or from the agents' events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec

from testbed.base.jsonl import DataError, Whole, read_whole
from testbed.base.phases import PHASES, TITLES, TOTAL
from testbed.trace.dissect import (
    EAP_SUCCESS,
    IKE_AUTH,
    QUICK,
    Eapol,
    Ike,
    Lookup,
    Mobility,
    Pana,
    Seen,
    Tunnelled,
    dissect,
)
from testbed.trace.esp import read_whole_frames
from testbed.trace.frames import Frame
from testbed.trace.resolution import asked
from topologies.model import HostRole, Topology, mac_address

QUICK_MODE_MESSAGES = 3

M = TypeVar("M", bound=Seen)


class PhaseError(DataError):
    """A bootstrap that was not seen whole: which message is missing or out of order."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The moments that part the phases, in seconds since the first message of the bootstrap.

    `first_packet` is when the first packet for the home address came out of the home agent's
    tunnel, None if none did. `start` is when that first message was seen, in nanoseconds of the
    clock that told the times. `discovery` is how long DHCPv6, DNS or DHAAD took to find the home
    agent, from their first message to the answer that ended it; None if there was none, as in
    events.
    `overlap` is how long IKE was already under way before PANA ended, which counts for PANA.
    """

    pana_end: float
    ike_start: float
    ike_end: float
    binding_start: float
    binding_end: float
    first_packet: float | None = None
    start: int = 0
    discovery: float | None = None
    overlap: float = 0.0

    @property
    def phases(self) -> dict[str, float]:
        """The five contiguous phases and their sum, `total`, in seconds."""
        marks = (0.0, *self.marks)
        lengths = {name: marks[i + 1] - marks[i] for i, name in enumerate(PHASES)}
        return lengths | {TOTAL: self.binding_end}

    @property
    def marks(self) -> tuple[float, ...]:
        """The ends of the five phases in seconds since the start."""
        return (
            self.pana_end,
            self.ike_start,
            self.ike_end,
            self.binding_start,
            self.binding_end,
        )


NOISE = 0.02
"""Seconds by which capture and events may differ in `total`.

Agents log what they have handled, captures what is on the wire: that is 1 to 3 ms apart, and up to
some 40 ms on hosts that are slowed down to a fifth. What is farther apart is an exchange, or a
wait, that one of the two does not see.
"""


def disagreement(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return by how many seconds two measurements of a run differ, phase by phase."""
    return {name: abs(one[name] - other[name]) for name in one if name in other}


def contradiction(
    seen: Mapping[str, float], logged: Mapping[str, float], share: float = 1.0
) -> str | None:
    """Tell by what capture and events contradict each other; None if that is noise.

    A host with a `share` of a CPU takes so much longer from a message to its event.
    """
    apart = disagreement(seen, logged)
    if apart.get(TOTAL, 0.0) <= NOISE / share:
        return None
    phase = max((name for name in PHASES if name in apart), key=apart.__getitem__, default=TOTAL)
    return (
        f"capture and events differ by {apart[TOTAL] * 1e3:.1f} ms in total, most in the phase"
        f" {TITLES[phase]} ({apart[phase] * 1e3:.1f} ms)"
    )


def macs(topology: Topology) -> frozenset[bytes]:
    """Return the MAC addresses of the mobile node."""
    host = topology.host(HostRole.MOBILE_NODE)
    return frozenset(
        bytes.fromhex(mac_address(topology, link, number).replace(":", ""))
        for link, _ in topology.at(host)
        for number, end in enumerate(link.ends)
        if end.host == host
    )


def from_capture(path: Path, mobile_node: Collection[bytes] = ()) -> Timeline:
    """Find the phases in a capture of the mobile node's access interface.

    Only frames from or to one of `mobile_node`'s MAC addresses count, all if it is empty: on a
    shared link others bootstrap too. Retransmissions count for the phase that waits for them: a
    phase starts with the first transmission of its first message, and the first one with what asks
    for the neighbour's address that this message waits for. Raises PhaseError, or DataError for a
    bad file.
    """
    frames = _frames(path, mobile_node)
    return _timeline(frames, list(dissect(frames)), path)


def from_frames(frames: Sequence[Frame], origin: Path) -> Timeline:
    """Find the phases in the frames of one mobile node, which are from `origin`; as above."""
    return _timeline(frames, list(dissect(frames)), origin)


def ended_in(whole: Collection[str]) -> str | None:
    """Return the first phase that is not among those gone through whole; None if all are."""
    return next((name for name in PHASES if name not in whole), None)


def reached(path: Path, mobile_node: Collection[bytes] = ()) -> dict[str, float]:
    """Return the phases that a capture shows whole, before the first that it does not, in seconds.

    For bootstraps that did not get through; `mobile_node` as above. Raises DataError for a bad
    file.
    """
    return reached_in(_frames(path, mobile_node), path)


def reached_in(frames: Sequence[Frame], origin: Path) -> dict[str, float]:
    """Return the phases that the frames of one mobile node show whole, as reached()."""
    found: list[int] = []
    with suppress(PhaseError):
        for moment in _moments(frames, list(dissect(frames)), origin):
            # IKE may start, and even end, while PANA is still going on.
            found.append(max(moment, found[1]) if len(found) in (2, 3) else moment)
    lengths: dict[str, float] = {}
    for name, (begin, end) in zip(PHASES, pairwise(found), strict=False):
        if end < begin:
            break
        lengths[name] = (end - begin) / 1e9
    return lengths


def began(path: Path, mobile_node: Collection[bytes] = ()) -> int:
    """Return when a bootstrap begins in a capture, in nanoseconds, however far it got.

    `mobile_node` as above. Raises DataError for a bad file, PhaseError if there is no message at
    all.
    """
    frames = _frames(path, mobile_node)
    seen = list(dissect(frames))
    if not seen:
        raise PhaseError(f"{path}: no message of a bootstrap was seen")
    first = next((m for m in seen if _begins_access(m)), seen[0]).time
    return asked(frames, first, NOISE)


def _frames(path: Path, mobile_node: Collection[bytes]) -> list[Frame]:
    return [
        frame
        for frame in read_whole_frames(path)
        if not mobile_node or frame.destination in mobile_node or frame.source in mobile_node
    ]


def _timeline(frames: Sequence[Frame], seen: list[Seen], path: Path) -> Timeline:
    start, *times = _moments(frames, seen, path)
    bindings = {
        (m.destination, m.home_address) for m in seen if isinstance(m, Mobility) and m.update
    }
    packets = (
        m.time
        for m in seen
        if isinstance(m, Tunnelled)
        and m.time >= times[3]
        and (m.source, m.inner_destination) in bindings
    )
    found = _ordered(start, times, next(packets, None), path)
    lookups = [m for m in seen if isinstance(m, Lookup)]
    return replace(found, discovery=_discovery(lookups, start, times[1]))


def _moments(frames: Sequence[Frame], seen: list[Seen], path: Path) -> Iterator[int]:
    """Yield when the bootstrap starts and each phase ends, in nanoseconds.

    Raises PhaseError at the first that was not seen. Whose Binding Update is in the clear needs no
    IKE (RFC 4285), which then takes no time.
    """
    ike = [m for m in seen if isinstance(m, Ike)]
    binding = [m for m in seen if isinstance(m, Mobility)]
    lookups = [m for m in seen if isinstance(m, Lookup)]
    access = [m for m in seen if isinstance(m, Pana | Eapol)]
    by_itself = [m for m in binding if m.update and m.in_clear and not ike]
    start = asked(frames, _start(access, [*lookups, *(ike or by_itself)], path), NOISE)
    yield start
    yield _access_end(access, path).time if access else start
    yield by_itself[0].time if by_itself else _need(ike, path, "IKE message").time
    update = _need((m for m in binding if m.update), path, "Binding Update (HAO before ESP)")
    yield update.time if by_itself else _ike_end(ike, update, path).time
    yield update.time
    yield _binding_ack(binding, update, path).time


def _discovery(lookups: list[Lookup], start: int, ike_start: int) -> float | None:
    """Return how long the search for a home agent took, in seconds; None if none ended."""
    found = [m for m in lookups if start <= m.time <= ike_start]
    answers = [m for m in found if m.answer]
    return (answers[-1].time - found[0].time) / 1e9 if answers else None


def _begins_access(message: Seen) -> bool:
    match message:
        case Pana(initiation=True) | Eapol(start=True):
            return True
    return False


def _start(access: list[Pana | Eapol], rest: list[Seen], path: Path) -> int:
    """Return when access starts, or on an open network what comes first."""
    if rest and not access:
        return min(message.time for message in rest)
    what = "PANA client initiation (PCI), or EAPOL-Start"
    return _need(filter(_begins_access, access), path, what).time


def _need(found: Iterable[M], path: Path, what: str) -> M:
    for message in found:
        return message
    raise PhaseError(f"{path}: no {what} was seen")


def _access_end(access: list[Pana | Eapol], path: Path) -> Seen:
    """Return the message that ends a successful authentication: EAP's own with IEEE 802.1X."""
    pana = [m for m in access if isinstance(m, Pana)]
    if pana:
        return _pana_end(pana, path)
    successes = (m for m in access if isinstance(m, Eapol) and m.eap == EAP_SUCCESS)
    return _need(successes, path, "EAP-Success")


def _pana_end(pana: list[Pana], path: Path) -> Pana:
    """Return the client's answer to the request that ends a successful authentication."""
    results = [m for m in pana if m.final and m.request]
    granted = {m.sequence for m in results if m.result_ok}
    if not results:
        raise PhaseError(f"{path}: no PANA result (PAR[C], PBR) was seen")
    if not granted:
        raise PhaseError(f"{path}: PANA ended without success")
    answers = (m for m in pana if m.final and not m.request and m.sequence in granted)
    return _need(answers, path, "answer to the PANA result (PAN[C], PBA)")


def _ike_end(ike: list[Ike], update: Mobility, path: Path) -> Ike:
    """Return the message that completed the Child SA with which the Binding Update was sent.

    An initiator may use its SAs before message 3 of quick mode has left, and be overtaken by it.
    """
    new = [m for m in ike if not m.again]
    begun = [m.time for m in new if (m.exchange, m.index) == (QUICK, 1) and m.time <= update.time]
    if begun:
        ends = [m for m in new if (m.exchange, m.index) == (QUICK, QUICK_MODE_MESSAGES)]
        last = [m for m in ends if m.time >= begun[-1]][:1]
    else:
        # How many messages IKE_AUTH has depends on EAP (RFC 7296 section 2.16): take the last.
        last = [m for m in new if m.exchange == IKE_AUTH and m.time <= update.time][-1:]
    return _need(last, path, "complete IKE exchange before the first Binding Update")


def _binding_ack(binding: list[Mobility], update: Mobility, path: Path) -> Mobility:
    """Return the answer to an update: to the first one, or of a later attempt to another."""
    updates = {(m.destination, m.home_address, m.source) for m in binding if m.update}
    acks = [
        m
        for m in binding
        if not m.update
        and m.time >= update.time
        and (m.source, m.home_address, m.destination) in updates
    ]
    if acks and all(m.refused for m in acks):
        raise PhaseError(f"{path}: the Binding Update was refused")
    accepted = (m for m in acks if not m.refused)
    return _need(accepted, path, "Binding Acknowledgement (RH2 before ESP)")


def _ordered(start: int, times: list[int], packet: int | None, path: Path) -> Timeline:
    """Turn times in nanoseconds into a timeline, if every phase ends after it starts.

    IKE may start, and even end, while PANA is still going on: what overlaps counts for PANA. Its
    last message may be overtaken by the first Binding Update, at which IKE then ends.
    """
    if times[1] <= times[3] < times[2]:
        times = [*times[:2], times[3], *times[3:]]
    under_way = max(0, min(times[0], times[2]) - times[1]) / 1e9
    times = [times[0], *(max(time, times[0]) for time in times[1:3]), *times[3:]]
    for name, begin, end in zip(PHASES, [start, *times], times, strict=False):
        if end < begin:
            late = (begin - end) / 1e9
            raise PhaseError(f"{path}: the phase {name} ends {late:.6f} s before it starts")
    pana_end, ike_start, ike_end, binding_start, binding_end = ((t - start) / 1e9 for t in times)
    first_packet = None if packet is None else (packet - start) / 1e9
    ends = (pana_end, ike_start, ike_end, binding_start, binding_end)
    return Timeline(*ends, first_packet, start, overlap=under_way)


class Event(msgspec.Struct):
    """What every event of an agent has; `t` in nanoseconds."""

    t: Whole
    host: str
    agent: str
    event: str


STARTS = frozenset((agent, "Started") for agent in ("pana", "dot1x", "dhcpv6", "dns", "dhaad"))
IKE_STARTS = frozenset({("ikev1", "Phase1Started"), ("ikev2", "IkeStarted")})
MILESTONES: tuple[tuple[str, frozenset[tuple[str, str]]], ...] = (
    ("start", STARTS | IKE_STARTS),
    ("pana_end", frozenset({("pana", "Authenticated"), ("dot1x", "Authenticated")})),
    ("ike_start", IKE_STARTS),
    ("ike_end", frozenset({("ikev1", "ChildEstablished"), ("ikev2", "ChildEstablished")})),
    ("binding_start", frozenset({("mip6", "BindingUpdateSent")})),
    ("binding_end", frozenset({("mip6", "BindingAccepted")})),
)
"""The agents' events that part the phases, each phase beginning with its own.

Each counts when it comes first, but for the Child SA: that one with which the binding begins.
"""


def reach(reached: dict[str, int], name: str, time: int) -> None:
    """Note that a milestone is reached, in nanoseconds; those of a host come in order."""
    if name == "ike_end" and "binding_start" not in reached:
        reached[name] = time
    reached.setdefault(name, time)


def from_events(path: Path, host: str) -> Timeline:
    """Find the phases in the events that the agents of `host` logged.

    They begin with the first event called Started, of whatever agent: an exchange that captures
    do not know shows in how far the two differ. Raises PhaseError naming the event that is
    missing, or DataError for a bad line.
    """
    return _logged([e for e in read_whole(path, Event) if e.host == host], host, path)


def from_events_of_all(path: Path, hosts: Iterable[str]) -> dict[str, Timeline]:
    """Find the phases of those of several hosts that went through all; DataError as above."""
    told: dict[str, list[Event]] = {host: [] for host in hosts}
    for event in read_whole(path, Event):
        if event.host in told:
            told[event.host].append(event)
    found = {}
    for host, events in told.items():
        with suppress(PhaseError):
            found[host] = _logged(events, host, path)
    return found


def _filled_in(first: Mapping[str, int], *, access: bool = False) -> dict[str, int]:
    """Return the moments with those of stages that there are not, which take no time.

    There is no IKE if nothing is told of it before a binding; `access` tells that there is access.
    """
    found = dict(first)
    if "binding_start" in found and not found.keys() & {"ike_start", "ike_end"}:
        found["ike_start"] = found["ike_end"] = found["binding_start"]
        found.setdefault("start", found["binding_start"])
    if not access and "start" in found:
        found.setdefault("pana_end", found["start"])
    return found


def from_moments(first: Mapping[str, int], origin: str) -> Timeline:
    """Find the phases in when each milestone was reached, as reach() has it; as above."""
    found = _filled_in(first)
    for name, _ in MILESTONES:
        if name not in found:
            raise PhaseError(f"{origin} has no {name}")
    moments = [found[name] for name, _ in MILESTONES[1:]]
    return _ordered(found["start"], moments, None, Path(origin))


def _logged(events: Iterable[Event], host: str, path: Path) -> Timeline:
    first: dict[str, int] = {}
    told = sorted(events, key=lambda event: event.t)
    with_access = any(event.agent in ("pana", "dot1x") for event in told)
    for event in told:
        for name, wanted in MILESTONES:
            begins = name == "start" and event.event == "Started"
            if begins or (event.agent, event.event) in wanted:
                reach(first, name, event.t)
    first = _filled_in(first, access=with_access)
    for name, wanted in MILESTONES:
        if name not in first:
            expected = " or ".join(sorted(f"{agent} {event}" for agent, event in wanted))
            raise PhaseError(f"{path}: host {host} logged no event {expected}")
    return _ordered(first["start"], [first[name] for name, _ in MILESTONES[1:]], None, path)
