"""Whether what is held grows with the number of bootstraps: slopes with intervals.

Theil and Sen's slope is the median over all pairs of samples, so that a step or an odd sample does
not make one; its interval is by ranks (Sen 1968). The first part of a run is left out: caches,
pools and tables of what was seen fill then. A run with too few samples behind it is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy import stats

from testbed.base.words import several
from testbed.results.folder import Results
from testbed.results.runs import KERNEL_MEMORY, MEMORY, Held, Run

OCTETS = (MEMORY, KERNEL_MEMORY)
"""Kinds that are octets; all others are numbers."""

CONFIDENCE = 0.95
FILLING = 0.2
"""The part of all samples, the first ones, that is left out."""

FILLS = 240.0
"""Seconds that are left out at least: so long a Diameter server knows duplicates."""

LEAST = 5
"""Samples for a slope."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How an amount of a kind changed over the cycles that are judged.

    `slope` and its interval are per cycle.
    """

    kind: str
    whose: str
    first: float
    last: float
    slope: float
    ci95: tuple[float, float]
    cycles: int

    @property
    def verdict(self) -> str:
        """Whether it grew, by the interval."""
        low, high = self.ci95
        return "grows" if low > 0 else "shrinks" if high < 0 else "flat"

    def exceeds(self, octets: float) -> bool:
        """Return whether it grew by more than so many octets of memory a cycle; else, at all."""
        return self.ci95[0] > (octets if self.kind in OCTETS else 0.0)

    def as_json(self) -> dict[str, Any]:
        """Return it in the form of summary.json."""
        return asdict(self) | {"verdict": self.verdict}


def judged(held: Sequence[Held]) -> Sequence[Held]:
    """Return the samples behind those during which things fill."""
    return [one for one in held[round(FILLING * len(held)) :] if one.seconds >= FILLS]


def too_short(run: Run) -> str:
    """Return why a run is not judged, empty if it is."""
    if (number := len(judged(run.held))) >= LEAST:
        return ""
    return (
        f"too short to judge: {several(number, 'sample')} after the first {FILLING:.0%} and"
        f" {FILLS:g} s, in which things fill; {LEAST} are needed: take more `cycles`, or longer"
        " ones (`lasts`)"
    )


def growth_over(run: Run, octets: float) -> str:
    """Return what of a run grew though it must not, empty if nothing did; see Growth.exceeds."""
    over = [f"{one.whose}: {one.kind}" for one in growths(run) if one.exceeds(octets)]
    return f"grows with the cycles: {', '.join(over)}" if over else ""


def growths(run: Run) -> list[Growth]:
    """Return how each amount of a run changed; nothing of too few samples."""
    held = judged(run.held)
    if len(held) < LEAST:
        return []
    names = [(kind, whose) for kind, found in held[-1].amounts.items() for whose in found]
    return [_growth(held, kind, whose) for kind, whose in names]


def _growth(held: Sequence[Held], kind: str, whose: str) -> Growth:
    cycles = [one.cycles for one in held]
    values = [one.amounts[kind].get(whose, 0.0) for one in held]
    if len(set(values)) == 1:
        slope, low, high = 0.0, 0.0, 0.0
    else:
        slope, _, low, high = map(float, stats.theilslopes(values, cycles, CONFIDENCE))
    return Growth(kind, whose, values[0], values[-1], slope, (low, high), cycles[-1] - cycles[0])


def soaked(results: Results) -> dict[str, Run]:
    """Return the last run of each variant in which it was noted what is held."""
    found = {run.variant: run for run in results.runs if run.held}
    return {name: found[name] for name in results.variants if name in found}


def as_json(results: Results, variant: str) -> dict[str, Any] | None:
    """Return how what is held changed in a variant, or why that is not judged; None if not held."""
    run = soaked(results).get(variant)
    if run is None:
        return None
    return {
        "not_judged": too_short(run) or None,
        "amounts": [one.as_json() for one in growths(run)],
    }
