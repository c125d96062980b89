"""What crosses each link during a bootstrap: round trips, messages and octets, from captures.

A round trip of the critical path is found by walking back in time from the Binding
Acknowledgement: what the far side sent was caused by the last message sent to it in the same
protocol, and what was sent to it by the last message that had come from it. Each pair of the two
is one round trip. Messages that were sent again are left out, and so are acknowledgements of TCP.
Address resolution on the link counts: the packet that waits for it waits a round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

import msgspec

from testbed.dissect import Ike, Lookup, Mobility, Packet, Pana, Seen, Tunnelled, recognise
from testbed.frames import Frame, read_frames
from testbed.net import mac_address
from testbed.phases import Timeline
from testbed.streams import TCP, Streams
from topologies.model import Link, Topology

MOBILE_NODE = "mobile node"
ICMPV6 = 58
SOLICITATION, ADVERTISEMENT = 135, 136
RESOLUTION, DIAMETER, MIPV6 = "address resolution", "Diameter", "MIPv6"
LOCK_STEP = frozenset({"PANA", "DHCPv6", "DNS", DIAMETER})
"""Protocols whose every message but the first waits for the one before it."""


class Count(msgspec.Struct):
    """Messages of a protocol, those sent again among them, and the octets of their frames."""

    messages: int = 0
    octets: int = 0
    repeated: int = 0


class LinkTraffic(msgspec.Struct):
    """What crossed a link; `round_trips` are those of the critical path."""

    round_trips: int
    protocols: dict[str, Count]


class Traffic(msgspec.Struct):
    """What crossed each link from the bootstrap's first message to the Binding Acknowledgement.

    `home_agents` are those that the home AAA server named in clear, in order; `home_agent` is the
    one that the mobile node registered with.
    """

    links: dict[str, LinkTraffic]
    home_agents: list[str] = []
    home_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A frame on a link; `outward` from the end that is nearer to the mobile node.

    `step` tells whether it is a message that others may wait for, `solicits` whether it asks for
    a neighbour's link-layer address.
    """

    time: int
    outward: bool
    protocol: str
    octets: int
    messages: int = 1
    again: bool = False
    step: bool = False
    solicits: bool = False
    home_agents: tuple[IPv6Address, ...] = ()
    destination: IPv6Address | None = None


def near_ends(topology: Topology) -> dict[str, str]:
    """Return the host at each link's end that is nearer to the mobile node."""
    known = [host.name for host in topology.hosts if host.role == MOBILE_NODE]
    near: dict[str, str] = {}
    for host in known:  # It grows while it is walked: hosts in the order of their distance.
        for link in topology.links:
            ends = [end.host for end in link.ends]
            if host in ends and link.name not in near:
                near[link.name] = host
                known += [end for end in ends if end not in known]
    return near


def count(captures: Path, topology: Topology, timeline: Timeline) -> Traffic:
    """Count what the captures `<host>.pcapng` of a run show during its bootstrap.

    A link is read from the capture of its end nearer to the mobile node; links without are left
    out. Raises DataError for a bad capture.
    """
    end = timeline.start + round(timeline.binding_end * 1e9)
    links: dict[str, LinkTraffic] = {}
    answered: list[str] = []
    home_agent = None
    frames: dict[str, list[Frame]] = {}
    for name, host in near_ends(topology).items():
        path = captures / f"{host}.pcapng"
        if host not in frames and path.exists():
            frames[host] = read_frames(path)
        if host not in frames:
            continue
        seen = crossings(frames[host], topology, topology.link(name), host)
        seen = [c for c in seen if timeline.start <= c.time <= end]
        links[name] = LinkTraffic(round_trips(seen), _protocols(seen))
        answered += [str(address) for c in seen for address in c.home_agents]
        updates = [c.destination for c in seen if c.protocol == MIPV6 and c.outward]
        home_agent = home_agent or (str(updates[-1]) if updates else None)
    return Traffic(links, list(dict.fromkeys(answered)), home_agent)


def crossings(frames: Iterable[Frame], topology: Topology, link: Link, near: str) -> list[Crossing]:
    """Return the frames of one link in a capture; its ends are told by their MAC addresses."""
    senders = {
        bytes.fromhex(mac_address(topology, link, i).replace(":", "")): end.host == near
        for i, end in enumerate(link.ends)
    }
    own = [frame for frame in frames if frame.data[6:12] in senders]
    reader = _Reader()
    return [
        reader.crossing(frame, senders[frame.data[6:12]], packet, message)
        for frame, packet, message in recognise(own)
    ]


class _Reader:
    """Tells what the frames of one link are, and which are there again."""

    def __init__(self) -> None:
        self._streams = Streams()
        self._seen: set[tuple[object, ...]] = set()
        self._last: dict[str, tuple[object, ...]] = {}
        self._resolving: set[bytes] = set()

    def crossing(
        self, frame: Frame, outward: bool, packet: Packet | None, message: Seen | None
    ) -> Crossing:
        base = (frame.time, outward)
        octets = len(frame.data)
        if packet is None:
            return Crossing(*base, "other", octets)
        if message and not isinstance(message, Tunnelled):
            again = self._again(outward, packet, message)
            to = message.destination
            return Crossing(
                *base, message.protocol, octets, again=again, step=not again, destination=to
            )
        if packet.protocol == TCP:
            return self._segment(base, octets, packet)
        if packet.protocol == ICMPV6:
            return self._icmp(base, octets, packet)
        return Crossing(*base, message.protocol if message else "other", octets)

    def _segment(self, base: tuple[int, bool], octets: int, packet: Packet) -> Crossing:
        segment = self._streams.segment(packet)
        if segment is None or not segment.has_data:
            return Crossing(*base, "TCP", octets)
        return Crossing(
            *base,
            DIAMETER,
            octets,
            messages=segment.counts,
            again=segment.again,
            step=segment.matters,
            home_agents=segment.home_agents,
        )

    def _icmp(self, base: tuple[int, bool], octets: int, packet: Packet) -> Crossing:
        """Tell address resolution from what asks whether a known neighbour is still there."""
        kind, target = packet.payload[:1], packet.payload[8:24]
        if kind == bytes([SOLICITATION]) and packet.destination.is_multicast:
            again = not self._new("resolve", base[1], target)
            self._resolving.add(target)
        elif kind == bytes([ADVERTISEMENT]) and target in self._resolving:
            self._resolving.discard(target)
            self._seen.discard(("resolve", not base[1], target))
            again = False
        else:
            return Crossing(*base, "ICMPv6", octets)
        solicits = kind == bytes([SOLICITATION])
        return Crossing(*base, RESOLUTION, octets, again=again, step=not again, solicits=solicits)

    def _again(self, outward: bool, packet: Packet, message: Seen) -> bool:
        match message:
            case Ike():
                return message.again
            case Pana():
                return not self._new(outward, message.label, message.sequence)
            case Lookup(protocol="DNS"):  # Two questions may be asked at once.
                return not self._new(outward, packet.payload[20:])
            case Mobility() | Lookup():  # What is sent again differs: number, elapsed time.
                return self._repeats(message.protocol, (outward, message.label))
        return False

    def _new(self, *key: object) -> bool:
        known = key in self._seen
        self._seen.add(key)
        return not known

    def _repeats(self, protocol: str, now: tuple[object, ...]) -> bool:
        before, self._last[protocol] = self._last.get(protocol), now
        return before == now


def _protocols(seen: Sequence[Crossing]) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for crossing in seen:
        one = counts.setdefault(crossing.protocol, Count())
        one.messages += crossing.messages
        one.octets += crossing.octets
        one.repeated += crossing.again
    return counts


def round_trips(seen: Sequence[Crossing]) -> int:
    """Count the round trips over a link on the critical path.

    It ends with the last Binding Acknowledgement, on a link without any with the last message from
    the far side. `seen` is in the order of time.
    """
    steps = [c for c in seen if c.step]
    answers = [i for i, c in enumerate(steps) if not c.outward]
    acks = [i for i in answers if steps[i].protocol == MIPV6]
    at = next(reversed(acks or answers), None)
    found = 0
    while at is not None:
        asked = _asked(steps, at)
        if asked is None:
            break
        found += 1
        at = _waited_for(steps, asked)
    return found


def _asked(steps: Sequence[Crossing], at: int) -> int | None:
    """Return what made the far side send an answer: the last message of the same protocol to it.

    An address that the far side had to resolve in the meantime held the answer up.
    """
    answer = steps[at]
    for i in reversed(range(at)):
        step = steps[i]
        if not step.outward:
            continue
        if step.protocol != RESOLUTION:
            if step.protocol == answer.protocol or answer.solicits:
                return i
        elif step.solicits == (answer.protocol == RESOLUTION):
            return i
    return None


def _waited_for(steps: Sequence[Crossing], at: int) -> int | None:
    """Return what a message waited for: the last message from the far side before it.

    In a protocol that goes in lock-step it is the last one of that protocol; others may come from
    what goes on meanwhile.
    """
    asked = steps[at]
    before = [i for i in range(at) if not steps[i].outward]
    if asked.protocol == RESOLUTION and not asked.solicits:
        return next((i for i in reversed(before) if steps[i].solicits), None)
    if asked.protocol in LOCK_STEP:
        own = (RESOLUTION, asked.protocol)
        same = [i for i in before if steps[i].protocol in own and not steps[i].solicits]
        if any(steps[i].protocol == asked.protocol for i in same):
            return same[-1]
    return before[-1] if before else None
