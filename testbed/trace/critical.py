"""The critical path of a bootstrap over the links: which round trips others waited for.

It is walked back in time from the Binding Acknowledgement, over the captures of all links, which
share one clock. At the mobile node's link what came was caused by the last message sent in the same
protocol, and what was sent by what it had waited for: each such pair is one round trip. While the
mobile node waited, the path went on over the links beyond: their round trips count as far as they
are part of that wait. Address resolution on a link counts: the packet that waits for it waits a
round trip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

RESOLUTION, DIAMETER, RADIUS, MIPV6 = "address resolution", "Diameter", "RADIUS", "MIPv6"
IKE = frozenset({"IKEv1", "IKEv2"})
LOOKUPS = frozenset({"DHCPv6", "DNS", "DHAAD"})
AAA = frozenset({DIAMETER, RADIUS})
BY_AAA = IKE | {"PANA", "802.1X"}
"""Protocols whose messages an access router or a home agent may carry on to the AAA server."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A frame on a link; `outward` from the end that is nearer to the mobile node.

    `step` tells whether it is a message that others may wait for, `solicits` whether it asks for
    a neighbour's link-layer address, `final` whether it is PANA's result, and `early` whether it
    has what IKE needs to begin before that.
    """

    time: int
    outward: bool
    protocol: str
    octets: int
    messages: int = 1
    again: bool = False
    step: bool = False
    solicits: bool = False
    final: bool = False
    early: bool = False
    home_agents: tuple[IPv6Address, ...] = ()
    destination: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Trip:
    """A round trip of the path: when it began and ended, and the protocol that waited for it."""

    protocol: str
    start: int
    end: int


def critical_path(
    seen: Mapping[str, Sequence[Crossing]], behind: Mapping[str, Sequence[str]]
) -> dict[str, list[Trip]]:
    """Return the round trips over each link on the critical path, the last first.

    It ends with the last Binding Acknowledgement to the mobile node. `seen` is in the order of
    time; `behind` names the links behind each, those at the mobile node under "".
    """
    steps = {name: [c for c in one if c.step] for name, one in seen.items()}
    found: dict[str, list[Trip]] = {name: [] for name in steps}
    pending = [(name, t) for name in behind[""] for t in _to_binding(steps.get(name, []))]
    while pending:
        link, trip = pending.pop()
        found[link].append(trip)
        for name in behind.get(link, ()):
            pending += [(name, inner) for inner in _during(steps.get(name, []), trip)]
    return found


def _to_binding(steps: Sequence[Crossing]) -> Iterator[Trip]:
    acks = [i for i, c in enumerate(steps) if c.protocol == MIPV6 and not c.outward]
    return _back(steps, acks[-1]) if acks else iter(())


def _during(steps: Sequence[Crossing], trip: Trip) -> Iterator[Trip]:
    """Yield the round trips over a link farther away that are part of a nearer one.

    They are in the same protocol, or in the AAA server's if that does not cross the link.
    """
    protocols = frozenset({trip.protocol})
    if trip.protocol in BY_AAA and all(c.protocol != trip.protocol for c in steps):
        protocols = AAA
    answers = [
        i
        for i, c in enumerate(steps)
        if c.protocol in protocols and not c.outward and trip.start < c.time < trip.end
    ]
    return _back(steps, answers[-1], trip.start) if answers else iter(())


def _back(steps: Sequence[Crossing], last: int, since: int = -1) -> Iterator[Trip]:
    """Walk back from an answer, as far as answers came after `since`."""
    at: int | None = last
    protocol = steps[last].protocol
    while at is not None and steps[at].time > since:
        if steps[at].protocol != RESOLUTION:  # That belongs to what it held up.
            protocol = steps[at].protocol
        asked = _asked(steps, at, protocol)
        if asked is None:
            return
        yield Trip(protocol, steps[asked].time, steps[at].time)
        at = _waited_for(steps, asked, protocol)


def _asked(steps: Sequence[Crossing], at: int, protocol: str) -> int | None:
    """Return what made the far side send an answer: the last message to it in `protocol`.

    An address that the far side had to resolve in the meantime held the answer up.
    """
    answer = steps[at]
    for i in reversed(range(at)):
        step = steps[i]
        if not step.outward:
            continue
        if step.protocol != RESOLUTION:
            if step.protocol == protocol and (answer.protocol == protocol or answer.solicits):
                return i
        elif not answer.solicits and step.solicits == (answer.protocol == RESOLUTION):
            return i
    return None


def _waited_for(steps: Sequence[Crossing], at: int, protocol: str) -> int | None:
    """Return what from the far side a message waited for; `protocol` is what it is about."""
    asked = steps[at]
    before = [i for i in range(at) if not steps[i].outward]
    if asked.protocol == RESOLUTION and not asked.solicits:
        return next((i for i in reversed(before) if steps[i].solicits), None)
    causes = _causes([(i, steps[i]) for i in before], protocol)
    if asked.protocol != RESOLUTION:
        causes += [i for i in before if steps[i].protocol == RESOLUTION and not steps[i].solicits]
    return max(causes, default=None)


def _causes(came: Sequence[tuple[int, Crossing]], protocol: str) -> list[int]:
    """Return which of the messages that came a message in `protocol` may have waited for.

    A protocol waits for its own last answer. What its first message waits for is known of IKE and
    of the search for a home agent, and what comes beside it is not it.
    """
    finals = [i for i, c in came if c.final]
    if protocol == MIPV6:
        return finals + [i for i, c in came if c.protocol in IKE]
    own = [i for i, c in came if c.protocol == protocol]
    if own:
        return own
    if protocol in IKE:
        early = [i for i, c in came if c.early]
        return (early or finals) + [i for i, c in came if c.protocol in LOOKUPS]
    return finals if protocol in LOOKUPS else []
