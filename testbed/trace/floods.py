"""What a stranger sent, from its events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from testbed.base.jsonl import Whole, read_whole


class _Event(msgspec.Struct):
    event: str
    seconds: float = 0.0
    attempts: Whole = 0
    sent: Whole = 0
    octets: Whole = 0
    answered: Whole = 0
    octets_back: Whole = 0
    accepted: Whole = 0
    refused: Whole = 0


def octets_back(flood: Mapping[str, float]) -> float | None:
    """Return how many octets came back for one that was sent; None if that is not known."""
    return flood["octets_back"] / flood["octets"] if flood.get("octets") else None


def from_events(path: Path) -> dict[str, float] | None:
    """Return the last that a stranger told of its flood; None if there was none.

    Raises DataError for a bad line.
    """
    if not path.exists():
        return None
    told = [event for event in read_whole(path, _Event) if event.event == "Flooded"]
    if not told:
        return None
    found: dict[str, float] = msgspec.to_builtins(told[-1])
    return {name: value for name, value in found.items() if name != "event"}
