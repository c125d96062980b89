"""Medians of what was measured under several names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median


def medians(measured: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each name, over those that have it."""
    found: dict[str, list[float]] = {}
    for one in measured:
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return {name: float(median(values)) for name, values in found.items()}
