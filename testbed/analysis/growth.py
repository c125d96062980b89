"""Whether what is held grows with the number of bootstraps: slopes with intervals.

Theil and Sen's slope is the median over all pairs of samples, so that a step or an odd sample does
not make one; its interval is by ranks (Sen 1968). The first part of a run is left out: caches,
pools and tables of what was seen fill then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from testbed.results.folder import Results
from testbed.results.runs import Held, Run

CONFIDENCE = 0.95
FILLING = 0.2
"""The part of all samples, the first ones, that is left out."""

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


def judged(held: Sequence[Held]) -> Sequence[Held]:
    """Return the samples behind those during which things fill."""
    return held[round(FILLING * len(held)) :]


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
