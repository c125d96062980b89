"""How long negotiations took on the wire, and how two sides compare."""

from __future__ import annotations

import statistics
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from testbed.trace.dissect import UDP, Ike, dissect, parse
from testbed.trace.frames import Frame

MAIN, QUICK, IKE_SA_INIT, IKE_AUTH = 2, 32, 34, 35
NEGOTIATIONS = {1: [MAIN] * 6 + [QUICK] * 3, 2: [IKE_SA_INIT] * 2 + [IKE_AUTH] * 2}
"""The exchanges of each message of a negotiation, by IKE's version."""

ACCESS_ACCEPT = 2  # RFC 2865 section 3


def negotiations(frames: Iterable[Frame], version: int) -> list[float]:
    """Return the seconds from first to last message of each negotiation that was captured.

    Deletions in between are passed over. ValueError if there are other messages than those of
    whole negotiations: retransmissions cannot be compared.
    """
    wanted = NEGOTIATIONS[version]
    seen = [m for m in dissect(frames) if isinstance(m, Ike) and m.exchange in wanted]
    found = []
    for start in range(0, len(seen), len(wanted)):
        messages = seen[start : start + len(wanted)]
        if [m.exchange for m in messages] != wanted or any(m.again for m in messages):
            raise ValueError(f"not a negotiation: {', '.join(m.label for m in messages)}")
        found.append((messages[-1].time - messages[0].time) / 1e9)
    return found


def authentications(frames: Iterable[Frame], port: int) -> list[float]:
    """Return the seconds from first Access-Request to Access-Accept of each authentication.

    ValueError for a message that was sent again, for one that is not accepted, and if one has
    fewer messages than others, as one that resumes a TLS session has.
    """
    conversations: list[list[tuple[int, bytes]]] = [[]]
    for packet in filter(None, map(parse, frames)):
        if packet.protocol == UDP and port in struct.unpack_from("!HH", packet.payload):
            conversations[-1].append((packet.time, packet.payload[8:]))
            if packet.payload[8] == ACCESS_ACCEPT:
                conversations.append([])
    if conversations.pop():
        raise ValueError("the last authentication has no Access-Accept")
    if len({len(messages) for messages in conversations}) > 1:
        raise ValueError(f"messages of each: {[len(messages) for messages in conversations]}")
    for messages in conversations:
        if len({data for _, data in messages}) < len(messages):
            raise ValueError("a message was sent again")
    return [(messages[-1][0] - messages[0][0]) / 1e9 for messages in conversations]


class Spread(NamedTuple):
    """Median, least and greatest of a few measurements."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def show(self, scale: float = 1.0) -> str:
        """Return it as text: 1.23 (1.20 to 1.31)."""
        middle, low, high = (f"{value * scale:.2f}" for value in self)
        return f"{middle} ({low} to {high})"


@dataclass(slots=True)
class Times:
    """What one side took, in seconds, a value a round.

    `warm` has the medians of what came after the first.
    """

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)

    def add(self, session: Sequence[float]) -> None:
        """Take what a session of at least two took, in their order."""
        first, *others = session
        self.cold.append(first)
        self.warm.append(statistics.median(others))


def rows(what: str, theirs: Times, ours: Times) -> list[list[str]]:
    """Return a table's rows: milliseconds of both, and the ratio within a round."""
    found = []
    for state in ("cold", "warm"):
        other, own = getattr(theirs, state), getattr(ours, state)
        ratios = [a / b for a, b in zip(own, other, strict=True)]
        milliseconds = (Spread.of(values).show(1e3) for values in (other, own))
        found.append([what, state, *milliseconds, Spread.of(ratios).show()])
    return found


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * 2 + ["--:"] * (len(head) - 2), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
