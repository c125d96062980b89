"""What crosses each link during a bootstrap: round trips, messages and octets, from captures.

The round trips are those of the critical path (testbed.trace.critical). Messages that were sent
again are left out of it, and so are acknowledgements of TCP. Those are counted apart, at the end
that sends them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from testbed.base.jsonl import Whole
from testbed.trace.critical import DIAMETER, MIPV6, RESOLUTION, Crossing, Trip, critical_path
from testbed.trace.dissect import (
    EAP_SUCCESS,
    Eapol,
    Ike,
    Lookup,
    Mobility,
    Packet,
    Pana,
    Radius,
    Seen,
    Tunnelled,
    recognise,
)
from testbed.trace.esp import read_whole_frames
from testbed.trace.fleet import Frames
from testbed.trace.frames import Frame
from testbed.trace.phases import Timeline
from testbed.trace.streams import TCP, Streams
from topologies.model import HostRole, Link, Topology, mac_address

ICMPV6 = 58
SOLICITATION, ADVERTISEMENT = 135, 136


class Count(msgspec.Struct):
    """Messages of a protocol at the near end of a link, and the octets of their frames.

    `repeated` were sent again: retransmissions, counted where they were sent, of what was lost too.
    """

    messages: Whole = 0
    octets: Whole = 0
    repeated: Whole = 0


class LinkTraffic(msgspec.Struct):
    """What crossed a link; `round_trips` are those of the critical path."""

    round_trips: Whole
    protocols: dict[str, Count]


class Traffic(msgspec.Struct):
    """What crossed each link from the bootstrap's first message to the Binding Acknowledgement.

    `home_agents` are those that the home AAA server named in the clear, in order; `home_agent` is
    the one that the mobile node registered with.
    """

    links: dict[str, LinkTraffic]
    home_agents: list[str] = []
    home_agent: str | None = None


def near_ends(topology: Topology) -> dict[str, str]:
    """Return the host at each link's end that is nearer to the mobile node."""
    known = [topology.host(HostRole.MOBILE_NODE)]
    near: dict[str, str] = {}
    for host in known:  # It grows while it is walked: hosts in the order of their distance.
        for link in topology.links:
            ends = [end.host for end in link.ends]
            if host in ends and link.name not in near:
                near[link.name] = host
                known += [end for end in ends if end not in known]
    return near


def beyond(topology: Topology) -> dict[str, list[str]]:
    """Return the links that lie behind each link, as the mobile node sees it; "" is the node."""
    near = near_ends(topology)
    own = topology.host(HostRole.MOBILE_NODE)
    behind = {"": [name for name, host in near.items() if host == own]}
    for name, host in near.items():
        far = [end.host for end in topology.link(name).ends if end.host != host]
        behind[name] = [other for other, start in near.items() if start in far and start != own]
    return behind


def count(captures: Path, topology: Topology, timeline: Timeline) -> Traffic:
    """Count what the captures `<host>.pcapng` of a run show during its bootstrap.

    A link is read from the capture of its end nearer to the mobile node; links without are left
    out. Raises DataError for a bad capture.
    """
    seen, sent = _crossed(captures, topology, timeline)
    every = [crossing for one in seen.values() for crossing in one]
    answered = [str(address) for c in every for address in c.home_agents]
    updates = [c.destination for c in every if c.protocol == MIPV6 and c.outward]
    trips = critical_path(seen, beyond(topology))
    links = {
        name: LinkTraffic(len(trips[name]), _protocols(one, sent[name]))
        for name, one in seen.items()
    }
    return Traffic(links, list(dict.fromkeys(answered)), str(updates[0]) if updates else None)


def path(captures: Path, topology: Topology, timeline: Timeline) -> dict[str, list[Trip]]:
    """Return the round trips over each link on the critical path, links as in count()."""
    return critical_path(_crossed(captures, topology, timeline)[0], beyond(topology))


_Crossed = dict[str, list[Crossing]]


def _crossed(captures: Path, topology: Topology, timeline: Timeline) -> tuple[_Crossed, _Crossed]:
    """Return by link what its nearer end saw during a bootstrap, and what both have sent."""
    near = near_ends(topology)
    frames = {
        host: read_whole_frames(path)
        for host in dict.fromkeys(end.host for link in topology.links for end in link.ends[:2])
        if (path := captures / f"{host}.pcapng").exists()
    }
    ends = timeline.start, timeline.start + round(timeline.binding_end * 1e9)
    seen: _Crossed = {}
    sent: _Crossed = {}
    for name, host in near.items():
        if host in frames:
            seen[name], sent[name] = _on_link(frames, topology, topology.link(name), host, ends)
    return seen, sent


def _on_link(
    frames: Mapping[str, Sequence[Frame]],
    topology: Topology,
    link: Link,
    near: str,
    ends: tuple[int, int],
) -> tuple[list[Crossing], list[Crossing]]:
    """Return what is seen at a link's near end in a time, and what each end has sent."""

    def heard_at(host: str) -> list[Crossing]:
        found = crossings(frames[host], topology, link, near)
        return [c for c in found if ends[0] <= c.time <= ends[1]]

    seen = heard_at(near)
    far = next((e.host for e in link.ends[:2] if e.host != near and e.host in frames), None)
    there = heard_at(far) if far else seen
    return seen, [c for c in seen if c.outward] + [c for c in there if not c.outward]


def crossings(frames: Iterable[Frame], topology: Topology, link: Link, near: str) -> list[Crossing]:
    """Return the frames of one link in a capture; its ends are told by their MAC addresses.

    Of a shared link those from or to other hosts than the first two are left out.
    """
    macs = [
        bytes.fromhex(mac_address(topology, link, i).replace(":", ""))
        for i in range(len(link.ends))
    ]
    senders = {mac: end.host == near for mac, end in zip(macs[:2], link.ends, strict=False)}
    others = set(macs[2:])
    own = [f for f in frames if f.data[6:12] in senders and f.data[:6] not in others]
    reader = _Reader()
    return [
        reader.crossing(frame, senders[frame.data[6:12]], packet, message)
        for frame, packet, message in recognise(own)
    ]


def repeated(frames: Frames) -> dict[str, int]:
    """Return by protocol how many of a mobile node's messages, and of those to it, came again.

    Each is counted where it was sent, so that what was lost counts too.
    """
    found: dict[str, int] = {}
    for sent, outward in ((frames.passed, True), (frames.routed, False)):
        reader = _Reader()
        for frame, packet, message in recognise(sent):
            own = frame.data[6:12] == frames.mac
            crossing = reader.crossing(frame, own, packet, message)
            if crossing.again and own is outward:
                found[crossing.protocol] = found.get(crossing.protocol, 0) + 1
    return found


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
        if isinstance(message, Eapol):
            again = not self._new(outward, message.octets, message.label)
            final = message.eap == EAP_SUCCESS
            return Crossing(*base, message.protocol, octets, again=again, step=True, final=final)
        if packet is None:
            return Crossing(*base, "other", octets)
        if message and not isinstance(message, Tunnelled):
            again = self._again(outward, packet, message)
            asks = isinstance(message, Pana) and message.request
            final = isinstance(message, Pana) and asks and message.final
            return Crossing(
                *base,
                message.protocol,
                octets,
                again=again,
                step=not (again or (isinstance(message, Radius) and message.accounting)),
                final=final,
                early=isinstance(message, Pana) and asks and message.sealed and not final,
                home_agents=message.home_agents if isinstance(message, Radius) else (),
                destination=message.destination,
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
            case Radius():
                return not self._new(outward, message.identifier, message.authenticator)
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


def _protocols(seen: Sequence[Crossing], sent: Sequence[Crossing]) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for crossing in seen:
        one = counts.setdefault(crossing.protocol, Count())
        one.messages += crossing.messages
        one.octets += crossing.octets
    for crossing in sent:
        counts.setdefault(crossing.protocol, Count()).repeated += crossing.again
    return counts
