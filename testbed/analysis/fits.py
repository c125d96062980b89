"""Round trips over each link fitted from the totals of a sweep over the links' delays.

total = sum of k(link) * RTT(link) + constant, where RTT is twice the measured one-way delay.
Totals have a tail to one side, as when a message is sent again or the machine is busy, and a grid
has few runs per point: Huber's loss keeps every run and bounds what one of them can do, where the
medians of a point with two or three runs would not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import optimize, stats

from testbed.base.phases import TOTAL
from testbed.results.folder import Results
from testbed.results.runs import Run

AGREES = 0.2
RESAMPLES = 1999
CONFIDENCE = 0.95
HUBER = 1.345  # 95 % efficiency for normal errors (Huber 1981, section 4.5).
TO_SIGMA = 1.4826  # From the median absolute deviation, for normal errors.
LEAST_FREEDOM = 1e-3  # Of a row that all but fixes its own fitted value.
FREEDOM = 9  # Runs beyond the coefficients: with fewer, intervals hold less than they say.
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
    the median absolute residual in seconds. `draws` are the bootstrap's coefficients, a row per
    draw: the links' in the order of `round_trips`, then the constant.
    """

    variant: str
    fixed: Mapping[str, Any]
    round_trips: Mapping[str, Estimate]
    counted: Mapping[str, Counted]
    constant: Estimate
    scatter: float
    n: int
    draws: Any = field(repr=False, compare=False)

    def agrees(self, link: str) -> bool | None:
        """Tell whether fit and count differ by 0.2 at most; None without a count."""
        if link not in self.counted:
            return None
        return abs(self.round_trips[link].value - self.counted[link].median) <= AGREES

    def total(self, delays: Mapping[str, float]) -> Estimate:
        """Return the fitted total for one-way delays in seconds."""
        draws = self.total_draws(delays)
        crossing = (k.value * 2 * delays[link] for link, k in self.round_trips.items())
        return Estimate(self.constant.value + sum(crossing), interval(draws))

    def total_draws(self, delays: Mapping[str, float]) -> Any:
        """Return the total of every draw of the bootstrap."""
        return self.draws @ [*(2 * delays[link] for link in self.round_trips), 1.0]

    def link_draws(self, link: str) -> Any:
        """Return a link's round trips in every draw of the bootstrap."""
        return self.draws[:, list(self.round_trips).index(link)]

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


def interval(draws: Any) -> tuple[float, float]:
    """Return the 95 % interval that a bootstrap's draws span."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def fits(results: Results, variant: str) -> list[Fit]:
    """Fit each series of a variant: runs that differ in delays only. Too few runs: no fit."""
    seed = results.manifest.seed if results.manifest else 0
    links = swept_links(results)
    delays = {delay_path(link) for link in links}
    series: dict[str, tuple[dict[str, Any], list[Run]]] = {}
    for run in results.bootstrapped(variant) if links else ():
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
    x = np.array([[*(2 * one_way(run, link) for link in links), 1.0] for run in runs])
    y = np.array([(run.phases or {})[TOTAL] for run in runs])
    if len(y) < x.shape[1] + FREEDOM or not _tells(x):
        return None
    best, threshold = _huber(x, y)
    if not _tells(x[np.abs(y - x @ best) <= threshold]):
        return None
    # Variants draw apart from each other, so that the difference of two of them has its interval.
    draws = _draws(x, y, best, threshold, np.random.default_rng([seed, *variant.encode()]))
    estimates = [Estimate(float(k), interval(of)) for k, of in zip(best, draws.T, strict=True)]
    counts = {link: counted(runs, link) for link in links}
    return Fit(
        variant=variant,
        fixed=fixed,
        round_trips=dict(zip(links, estimates, strict=False)),
        counted={link: one for link, one in counts.items() if one},
        constant=estimates[-1],
        scatter=float(np.median(np.abs(y - x @ best))),
        n=len(runs),
        draws=draws,
    )


def _tells(x: Any) -> bool:
    """Return whether the rows tell all coefficients apart."""
    return bool(np.linalg.matrix_rank(x, tol=1e-6) == x.shape[1])


def _huber(x: Any, y: Any) -> tuple[Any, float]:
    """Return the coefficients that minimise Huber's loss, and beyond what a residual is bounded."""
    start = np.linalg.lstsq(x, y)[0]

    def solve(initial: Any, loss: str, scale: float) -> Any:
        residuals = optimize.least_squares(
            lambda k: x @ k - y, initial, jac=lambda _: x, loss=loss, f_scale=scale
        )
        return residuals.x

    rough = solve(start, "soft_l1", FLOOR)  # Nearly least absolute deviations.
    spread = float(np.median(np.abs(y - x @ rough)))
    threshold = max(HUBER * TO_SIGMA * spread, FLOOR)
    return solve(rough, "huber", threshold), threshold


def _draws(x: Any, y: Any, best: Any, threshold: float, rng: np.random.Generator) -> Any:
    """Return the coefficients in every draw of the wild bootstrap (Wu 1986), a row per draw.

    Delays are the experiment's own choice, so rows stay and their scores, which are the residuals
    bounded by Huber's loss, change sign at random. One step of Newton's leads from the scores to
    the coefficients; rows that are bounded have no part in its slope (Huber 1981, section 7.6).
    Scores are scaled by leverage, as in the jackknife, and draws spread as Student's t does against
    the normal. Drawing runs instead would now and then leave too few delays for a fit.
    """
    residuals = y - x @ best
    inside = x[np.abs(residuals) <= threshold]
    leverage = np.einsum("ij,ji->i", x, np.linalg.pinv(x))
    scores = np.clip(residuals, -threshold, threshold) / np.maximum(1 - leverage, LEAST_FREEDOM)
    signs = rng.choice([-1.0, 1.0], size=(RESAMPLES, len(y)))
    tail = (1 - CONFIDENCE) / 2
    spread = stats.t.ppf(tail, len(y) - x.shape[1]) / stats.norm.ppf(tail)
    return best + spread * (signs * scores) @ x @ np.linalg.inv(inside.T @ inside)
