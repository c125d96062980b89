"""Tells of each frame of a run which message it is, and what is in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.trace.decode.packets import Opener
from testbed.trace.decode.text import UNREADABLE, printable
from testbed.trace.dissect import Eapol, recognise
from testbed.trace.flights import Flight
from testbed.trace.streams import Streams


@dataclass(frozen=True, slots=True)
class Told:
    """A frame that has been read: its protocol, what it is called, and its fields as lines."""

    flight: Flight
    protocol: str
    label: str
    fields: tuple[str, ...]


def read(flights: Iterable[Flight], keys: Path) -> Iterator[Told]:
    """Yield what every frame is, in order; `keys` is the folder of the run's keys.

    Raises DataError for bad keys.
    """
    opener = Opener(keys)
    by_link: dict[str, list[Flight]] = defaultdict(list)
    for flight in flights:
        by_link[flight.link].append(flight)
    every = []
    for number, one in enumerate(by_link.values()):
        streams = Streams()
        read = recognise([flight.frame for flight in one])
        for flight, (_, packet, message) in zip(one, read, strict=True):
            every.append((flight.time, number, flight, packet, message, streams))
    for _, _, flight, packet, message, streams in sorted(every, key=lambda item: item[:2]):
        protocol, label = "other", "frame"
        fields: tuple[str, ...] = ()
        if isinstance(message, Eapol):
            protocol, label = message.protocol, message.label
            with suppress(*UNREADABLE):
                fields = tuple(map(printable, opener.eapol(message)))
        elif packet:
            with suppress(*UNREADABLE):
                protocol, label, lines = opener.read(packet, message, streams.segment(packet))
                fields = tuple(map(printable, lines))
        yield Told(flight, protocol, label, fields)
