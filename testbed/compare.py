"""Samples against each other: differences of medians, Mann-Whitney's U, and Cliff's delta."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats as scipy_stats

from testbed.jsonl import DataError
from testbed.results import Results
from testbed.stats import CONFIDENCE, RESAMPLES

SIGNIFICANT = 0.05
SIZES = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))
"""Cliff's delta in words (Romano and others 2006); above the last it is large."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The times in seconds of one variant's successful runs at one point of a grid."""

    name: str
    point: Mapping[str, Any]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second sample against the first; times in seconds.

    `difference` and `ratio` are of the medians, with 95 % bootstrap intervals, which need two
    values a sample. `u` and `p` are Mann-Whitney's, two-sided, `p_holm` is corrected for all
    comparisons made with it (Holm 1979). `delta` is Cliff's: the share of pairs in which the
    second is longer less that in which it is shorter.
    """

    point: Mapping[str, Any]
    first: str
    second: str
    n: tuple[int, int]
    medians: tuple[float, float]
    difference: float
    difference_ci95: tuple[float, float] | None
    ratio: float
    ratio_ci95: tuple[float, float] | None
    u: float
    p: float
    p_holm: float
    delta: float

    @property
    def size(self) -> str:
        """How large the effect is, in a word."""
        return next((word for limit, word in SIZES if abs(self.delta) < limit), "large")

    @property
    def verdict(self) -> str:
        """What the test says of the second sample."""
        if self.p_holm >= SIGNIFICANT:
            return "not told apart"
        return "longer" if self.delta > 0 else "shorter"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self) | {"size": self.size, "verdict": self.verdict}


def names(loaded: Sequence[Results]) -> list[dict[str, str]]:
    """Return a name for every variant of every folder that tells it from all others."""
    every = [variant for one in loaded for variant in one.variants]
    return [
        {
            variant: variant
            if every.count(variant) == 1
            else f"{one.experiment}/{one.folder.name} {variant}"
            for variant in one.variants
        }
        for one in loaded
    ]


def samples(loaded: Sequence[Results], phase: str, fixed: Mapping[str, Any]) -> list[Sample]:
    """Return the samples of folders, at the points of a grid that `fixed` leaves.

    Of a grid with several points left only the first and the last are taken: all parameters at
    their least and at their greatest. Raises DataError if `fixed` names what was not swept.
    """
    unknown = set(fixed).difference(*(one.axes for one in loaded))
    if unknown:
        raise DataError(f"{', '.join(sorted(unknown))}: not swept in these results")
    found = []
    for one, called in zip(loaded, names(loaded), strict=True):
        own = {path: value for path, value in fixed.items() if path in one.axes}
        points = one.at(own).points
        if not points:
            raise DataError(f"{one.folder}: no run at {written(own)}")
        for point in {json.dumps(p): p for p in (points[0], points[-1])}.values():
            there = one.at(point)
            left = {path: value for path, value in point.items() if path not in own}
            found += [
                Sample(called[variant], left, values)
                for variant in one.variants
                if (values := there.values(variant, phase))
            ]
    return found


def written(point: Mapping[str, Any]) -> str:
    """Write a point of a grid for people; delays in milliseconds."""
    return ", ".join(
        f"{path.split('.')[1]} {value * 1e3:g} ms"
        if path.startswith("links.") and path.endswith(".delay")
        else f"{path.removeprefix('settings.')} {value}"
        for path, value in point.items()
    )


def compare(
    found: Sequence[Sample], baseline: str | None = None, seed: int = 0
) -> list[Comparison]:
    """Compare the samples at each point, all pairs, or all with the one called `baseline`.

    Raises DataError if there is nothing to compare.
    """
    if baseline is not None and baseline not in {one.name for one in found}:
        raise DataError(f"no successful run of {baseline}")
    pairs = [
        (one, other) if baseline in (None, one.name) else (other, one)
        for one, other in combinations(found, 2)
        if one.point == other.point and baseline in (None, one.name, other.name)
    ]
    if not pairs:
        raise DataError("there are no two samples to compare")
    made = [_pair(one, other, seed) for one, other in pairs]
    corrected = holm([one.p for one in made])
    return [replace(one, p_holm=p) for one, p in zip(made, corrected, strict=True)]


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down procedure."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected = [0.0] * len(values)
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[i]))
        corrected[i] = least
    return corrected


def _pair(one: Sample, other: Sample, seed: int) -> Comparison:
    a, b = (np.asarray(sample.values, dtype=float) for sample in (one, other))
    test = scipy_stats.mannwhitneyu(a, b, alternative="two-sided")
    u, p = float(test.statistic), float(test.pvalue)
    medians = float(np.median(a)), float(np.median(b))
    return Comparison(
        point=one.point,
        first=one.name,
        second=other.name,
        n=(len(a), len(b)),
        medians=medians,
        difference=medians[1] - medians[0],
        difference_ci95=interval(a, b, _difference, seed),
        ratio=medians[1] / medians[0],
        ratio_ci95=interval(a, b, _ratio, seed),
        u=u,
        p=p,
        p_holm=p,
        delta=1 - 2 * u / (len(a) * len(b)),  # U counts the pairs in which the first is longer.
    )


def _difference(a: Any, b: Any, axis: int = -1) -> Any:
    return np.median(b, axis=axis) - np.median(a, axis=axis)


def _ratio(a: Any, b: Any, axis: int = -1) -> Any:
    return np.median(b, axis=axis) / np.median(a, axis=axis)


def interval(a: Any, b: Any, statistic: Any, seed: int) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of a statistic of two samples."""
    if min(len(a), len(b)) < 2:
        return None
    found = scipy_stats.bootstrap(
        (a, b),
        statistic,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def ratio_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the ratio of two medians, the second to the first."""
    return interval(np.asarray(a), np.asarray(b), _ratio, 0)
