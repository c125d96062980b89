"""Variants against each other: medians, averaged over points, a rank test, and Cliff's delta.

Runs of a sweep are compared with runs at the same point of its grid only (stratified by point), so
that a few runs at each of many points tell as much as many runs at one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from math import comb, prod
from typing import Any

import numpy as np
from scipy import stats as scipy_stats

from agents.core.documents import shown
from testbed.analysis.fits import interval
from testbed.base.files import plain
from testbed.base.jsonl import DataError
from testbed.results.folder import Results, flat
from testbed.results.manifest import LABELS

RESAMPLES = 9999
SIGNIFICANT = 0.05
LEAST, LEAST_AT_POINT = 6, 3
"""Runs of each that an interval needs, in all and at most points."""
LOAD = 1.0  # By how much the processes that wait for a processor may differ.
SIZES = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))
"""Cliff's delta in words (Romano and others 2006); above the last it is large."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The times in seconds of one variant's successful runs, by the point of a grid."""

    name: str
    points: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second sample against the first, over the points that both have; times in seconds.

    `mean_of_medians` is the mean, over the points, of the median at each: at one point the median.
    `difference` and `ratio` are those of the two, with 95 % bootstrap intervals where there are
    runs enough; there is no ratio to nothing. `delta` is Cliff's, the share of pairs in which the
    second is longer less that in which it is shorter, averaged over the points; `p` is two-sided,
    and `p_holm` is corrected for all comparisons made with it (Holm 1979). `p_least` is the least
    that so many runs can come to, corrected likewise.
    """

    first: str
    second: str
    points: int
    n: tuple[int, int]
    mean_of_medians: tuple[float, float]
    difference: float
    difference_ci95: tuple[float, float] | None
    ratio: float | None
    ratio_ci95: tuple[float, float] | None
    p: float
    p_holm: float
    p_least: float
    delta: float

    @property
    def size(self) -> str:
        """How large the effect is, in a word."""
        return next((word for limit, word in SIZES if abs(self.delta) < limit), "large")

    @property
    def verdict(self) -> str:
        """What the test says of the second sample."""
        if self.p_least > SIGNIFICANT:
            return "too few runs"
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
    """Return the samples of folders, at all points of a grid that `fixed` leaves.

    Raises DataError if `fixed` names what was not swept.
    """
    unknown = set(fixed).difference(*(one.axes for one in loaded))
    if unknown:
        swept = ", ".join(dict.fromkeys(path for one in loaded for path in one.axes))
        named = ", ".join(sorted(unknown))
        raise DataError(f"{named}: not swept in these results; swept are: {swept or 'none'}")
    found = []
    for one, called in zip(loaded, names(loaded), strict=True):
        own = {path: value for path, value in fixed.items() if path in one.axes}
        points = one.at(own).points
        if not points:
            swept = "; ".join(f"{path}: {', '.join(map(shown, one.axes[path]))}" for path in own)
            raise DataError(f"{one.folder}: no run at {written(own)}; there are {swept}")
        for variant in one.variants:
            times = {
                written({k: v for k, v in point.items() if k not in own}): values
                for point in points
                if (values := one.at(point).values(variant, phase))
            }
            if times:
                found.append(Sample(called[variant], times))
    return found


def surroundings(loaded: Sequence[Results]) -> list[str]:
    """Return what folders lack, and in what they differ beside their experiments."""
    told = [f"{plain(one.folder)}: {one.unfinished}" for one in loaded if one.unfinished]
    simulated = [one for one in loaded if one.manifest and one.manifest.is_simulated]
    told += [f"{plain(one.folder)}: simulated, no measurement" for one in simulated]
    if len(loaded) < 2:
        return told
    manifests = [one.manifest for one in loaded]
    known = [one for one in manifests if one]
    if len(known) < len(manifests):
        told.append("a folder has no manifest: what its runs were made on is not known")
    for what in ("lab", "jobs", "kernel", "cpu", "cpus"):
        values = dict.fromkeys(str(getattr(one, what)) for one in known)
        if len(values) > 1:
            told.append(f"the {LABELS.get(what, what)} differs: {', '.join(values)}")
    if len({one.emulated for one in known}) > 1:
        told.append("in some the processor was emulated: their times are not to be compared")
    for name in dict.fromkeys(name for one in loaded for name in one.variants):
        were = dict.fromkeys(filter(None, (one.warmth(name) for one in loaded)))
        if len(were) > 1:
            told.append(f"the programs of {name} differ: {', '.join(were)}")
    loads = [one.load_before[0] for one in known if one.load_before]
    if loads and max(loads) - min(loads) > LOAD:
        told.append(
            f"the load before the first run differs: {', '.join(f'{one:.1f}' for one in loads)}"
        )
    return told


def axis(path: str) -> str:
    """Write what a grid's axis is for people."""
    return path.split(".")[1] if _is_delay(path) else path.removeprefix("settings.")


def position(path: str, value: object) -> str:
    """Write a value of a grid's axis for people; delays in milliseconds."""
    if isinstance(value, Mapping):
        parts = [f"{name.replace('.', ' ')} {part}" for name, part in flat(value)]
        return ", ".join(parts) or "as they are"
    return f"{value * 1e3:g} ms" if isinstance(value, float) and _is_delay(path) else str(value)


def _is_delay(path: str) -> bool:
    return path.startswith("links.") and path.endswith(".delay")


def written(point: Mapping[str, Any]) -> str:
    """Write a point of a grid for people."""
    return ", ".join(f"{axis(path)} {position(path, value)}" for path, value in point.items())


def _named(wanted: str, names: Sequence[str]) -> str:
    """Return the sample's name that ends with these words: those of several have their folder's."""
    fitting = [name for name in names if f" {name}".endswith((f" {wanted}", f"/{wanted}"))]
    if len(fitting) == 1 or wanted in fitting:
        return wanted if wanted in fitting else fitting[0]
    there = ", ".join(f'"{name}"' for name in fitting or names)
    wrong = "is in several folders" if fitting else "has no successful run"
    raise DataError(f'"{wanted}" {wrong}; use one of {there}')


def compare(
    found: Sequence[Sample], baseline: str | None = None, seed: int = 0
) -> list[Comparison]:
    """Compare the samples, all pairs, or all with the one called `baseline`.

    Its folder can be left out where only one has it. Raises DataError if there is nothing to
    compare.
    """
    if baseline is not None:
        baseline = _named(baseline, [one.name for one in found])
    pairs = [
        (one, other) if baseline in (None, one.name) else (other, one)
        for one, other in combinations(found, 2)
        if one.points.keys() & other.points.keys() and baseline in (None, one.name, other.name)
    ]
    if not pairs:
        raise DataError("there are no two samples to compare")
    made = [_pair(one, other, seed) for one, other in pairs]
    corrected = holm([one.p for one in made])
    return [
        replace(one, p_holm=p, p_least=min(1.0, one.p_least * len(made)))
        for one, p in zip(made, corrected, strict=True)
    ]


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down procedure."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected = [0.0] * len(values)
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[i]))
        corrected[i] = least
    return corrected


Strata = list[tuple[Any, Any]]  # At each point, the times of the first and of the second.


def _pair(one: Sample, other: Sample, seed: int) -> Comparison:
    strata: Strata = [
        (np.asarray(values, dtype=float), np.asarray(other.points[point], dtype=float))
        for point, values in one.points.items()
        if point in other.points
    ]
    first, second = (
        float(np.mean([np.median(values) for values in side])) for side in zip(*strata, strict=True)
    )
    draws = _means_of_medians(strata, seed)
    p, least, delta = _test(strata, seed)
    return Comparison(
        first=one.name,
        second=other.name,
        points=len(strata),
        n=(sum(len(a) for a, _ in strata), sum(len(b) for _, b in strata)),
        mean_of_medians=(first, second),
        difference=second - first,
        difference_ci95=None if draws is None else interval(draws[1] - draws[0]),
        ratio=second / first if first else None,
        ratio_ci95=interval(draws[1] / draws[0]) if draws is not None and draws[0].all() else None,
        p=p,
        p_holm=p,
        p_least=least,
        delta=delta,
    )


def _means_of_medians(strata: Strata, seed: int) -> Any:
    """Return the means of both in every draw of the bootstrap within points; None of too few."""
    counts = np.array([(len(a), len(b)) for a, b in strata])
    few = counts.min() < LEAST_AT_POINT - 1 or np.median(counts, axis=0).min() < LEAST_AT_POINT
    if few or counts.sum(axis=0).min() < LEAST:
        return None

    def averaged(*samples: Any, axis: int) -> Any:
        medians = np.array([np.median(one, axis=axis) for one in samples])
        return medians.reshape(2, len(strata), *medians.shape[1:]).mean(axis=1)

    return scipy_stats.bootstrap(
        [*(a for a, _ in strata), *(b for _, b in strata)],
        averaged,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).bootstrap_distribution


def _test(strata: Strata, seed: int) -> tuple[float, float, float]:
    """Return p, the least p that so many runs can come to, and the mean of Cliff's delta.

    At one point that is Mann-Whitney's test. Over several, runs are dealt anew to the two within
    each point, and p is the share of deals with such a mean or one farther from 0 (a stratified
    permutation test, as van Elteren's).
    """
    sizes = [(len(a), len(b)) for a, b in strata]
    least = min(1.0, 2 / prod(comb(n + m, n) for n, m in sizes))
    if len(strata) == 1:
        [(a, b)] = strata
        test = scipy_stats.mannwhitneyu(a, b, alternative="two-sided")
        return float(test.pvalue), least, float(_delta(test.statistic, *sizes[0]))
    rng = np.random.default_rng(seed)
    delta, dealt = 0.0, np.zeros(RESAMPLES)
    for (a, b), (n, m) in zip(strata, sizes, strict=True):
        ranks = scipy_stats.rankdata([*a, *b])
        deals = rng.permuted(np.tile(ranks, (RESAMPLES, 1)), axis=1)
        for_none = n * (n + 1) / 2  # The ranks of the first if it is always shorter.
        delta += _delta(ranks[:n].sum() - for_none, n, m) / len(sizes)
        dealt += _delta(deals[:, :n].sum(axis=1) - for_none, n, m) / len(sizes)
    extreme = np.count_nonzero(np.abs(dealt) >= abs(delta) - 1e-9)
    return float((extreme + 1) / (RESAMPLES + 1)), max(least, 1 / (RESAMPLES + 1)), float(delta)


def _delta(u: Any, n: int, m: int) -> Any:
    """Return Cliff's delta from U, which counts the pairs in which the first is longer."""
    return 1 - 2 * u / (n * m)
