"""Round trips over each link fitted from the totals of a sweep over the links' delays.

total = sum of k(link) * RTT(link) + constant, where RTT is twice the measured one-way delay.
Totals have a tail to one side, as when a message is sent again or the machine is busy, and a grid
has few runs a point: Huber's loss keeps every run and bounds what one of them can do, where the
medians of a point with two or three runs would not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from testbed.phases import TOTAL
from testbed.results import Results, Run

AGREES = 0.2
RESAMPLES = 1999
CONFIDENCE = 0.95
HUBER = 1.345  # 95 % efficiency for normal errors (Huber 1981, section 4.5).
TO_SIGMA = 1.4826  # From the median absolute deviation, for normal errors.
LEAST_FREEDOM = 1e-3  # Of a row that all but fixes its own fitted value.
FLOOR = 1e-5  # Seconds: what no clock here resolves is no scatter.


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted value and its 95 % bootstrap interval."""

    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Counted:
    """Round trips as captures show them: median, least and greatest over the runs."""

    median: float
    least: int
    greatest: int


@dataclass(frozen=True, slots=True)
class Fit:
    """What the runs of one series say: round trips by link, and the rest in seconds.

    `fixed` are the swept parameters that are no delay and are the same in the series; `scatter` is
    the median absolute residual in seconds.
    """

    variant: str
    fixed: Mapping[str, Any]
    round_trips: Mapping[str, Estimate]
    counted: Mapping[str, Counted]
    constant: Estimate
    scatter: float
    n: int

    def agrees(self, link: str) -> bool | None:
        """Tell whether fit and count differ by 0.2 at most; None without a count."""
        if link not in self.counted:
            return None
        return abs(self.round_trips[link].value - self.counted[link].median) <= AGREES

    def total(self, delays: Mapping[str, float]) -> float:
        """Return the fitted total for one-way delays in seconds."""
        crossing = (k.value * 2 * delays[link] for link, k in self.round_trips.items())
        return self.constant.value + sum(crossing)

    def as_json(self) -> dict[str, Any]:
        """Return it in the form of summary.json."""
        return {
            "parameters": dict(self.fixed),
            "links": {link: self._link(link, one) for link, one in self.round_trips.items()},
            "constant": {"seconds": self.constant.value, "ci95": list(self.constant.ci95)},
            "scatter": self.scatter,
            "n": self.n,
        }

    def _link(self, link: str, fitted: Estimate) -> dict[str, Any]:
        counted = self.counted.get(link)
        return {
            "round_trips": fitted.value,
            "ci95": list(fitted.ci95),
            "counted": counted
            and {"median": counted.median, "min": counted.least, "max": counted.greatest},
            "agrees": self.agrees(link),
        }


def delay_path(link: str) -> str:
    """Return the dotted path of a link's delay."""
    return f"links.{link}.delay"


def swept_links(results: Results) -> list[str]:
    """Return the links whose delay takes several values."""
    found = []
    for path, values in results.axes.items():
        start, _, rest = path.partition(".")
        link, _, what = rest.rpartition(".")
        if (start, what) == ("links", "delay") and len(values) > 1:
            found.append(link)
    return found


def fits(results: Results, variant: str, seed: int = 0) -> list[Fit]:
    """Fit each series of a variant: runs that differ in delays only. Too few runs: no fit."""
    links = swept_links(results)
    delays = {delay_path(link) for link in links}
    series: dict[str, tuple[dict[str, Any], list[Run]]] = {}
    for run in results.succeeded(variant) if links else ():
        fixed = {k: v for k, v in run.parameters.items() if k not in delays}
        series.setdefault(repr(sorted(fixed.items())), (fixed, []))[1].append(run)
    found = [_fit(variant, fixed, runs, links, seed) for fixed, runs in series.values()]
    return [one for one in found if one]


def one_way(run: Run, link: str) -> float:
    """Return a link's one-way delay in seconds as measured before a run, or else as asked for."""
    measured = run.measured.get(link, {}).get("delay")
    return float(run.parameters[delay_path(link)] if measured is None else measured)


def counted(runs: Sequence[Run], link: str) -> Counted | None:
    """Return the round trips counted on a link, None if no run has a count."""
    found = [
        run.traffic.links[link].round_trips
        for run in runs
        if run.traffic and link in run.traffic.links
    ]
    return Counted(float(np.median(found)), min(found), max(found)) if found else None


def _fit(
    variant: str, fixed: Mapping[str, Any], runs: Sequence[Run], links: Sequence[str], seed: int
) -> Fit | None:
    rows = [[*(2 * one_way(run, link) for link in links), 1.0] for run in runs]
    x = np.array(rows)
    y = np.array([(run.phases or {})[TOTAL] for run in runs])
    if len(runs) < len(links) + 2 or np.linalg.matrix_rank(x, tol=1e-6) <= len(links):
        return None
    best, weights = _huber(x, y)
    intervals = _intervals(x, y, weights, seed)
    estimates = [Estimate(float(k), ci) for k, ci in zip(best, intervals, strict=True)]
    counts = {link: counted(runs, link) for link in links}
    return Fit(
        variant=variant,
        fixed=fixed,
        round_trips=dict(zip(links, estimates, strict=False)),
        counted={link: one for link, one in counts.items() if one},
        constant=estimates[-1],
        scatter=float(np.median(np.abs(y - x @ best))),
        n=len(runs),
    )


def _huber(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the coefficients that minimise Huber's loss, and each row's weight at them."""
    start = np.linalg.lstsq(x, y)[0]

    def solve(initial: Any, loss: str, scale: float) -> Any:
        residuals = optimize.least_squares(
            lambda k: x @ k - y, initial, jac=lambda _: x, loss=loss, f_scale=scale
        )
        return residuals.x

    rough = solve(start, "soft_l1", FLOOR)  # Nearly least absolute deviations.
    spread = float(np.median(np.abs(y - x @ rough)))
    threshold = max(HUBER * TO_SIGMA * spread, FLOOR)
    best = solve(rough, "huber", threshold)
    away = np.maximum(np.abs(y - x @ best), threshold)
    return best, threshold / away


def _intervals(x: Any, y: Any, weights: Any, seed: int) -> list[tuple[float, float]]:
    """Return each coefficient's interval by the wild bootstrap (Wu 1986).

    Delays are the experiment's own choice, so rows stay and their residuals change sign at random,
    each with the weight of its row; residuals are scaled by their leverage. Drawing runs instead
    would now and then leave too few delays for a fit.
    """
    root = np.sqrt(weights)
    solve = np.linalg.pinv(x * root[:, None]) * root
    best = solve @ y
    leverage = np.einsum("ij,ji->i", x, solve)
    residuals = (y - x @ best) / np.sqrt(np.maximum(1 - leverage, LEAST_FREEDOM))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(RESAMPLES, len(y)))
    drawn = best + (signs * residuals) @ solve.T
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
