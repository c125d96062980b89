"""A simulation held against a real lab: the same round trips, and phases about as long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from testbed.base.files import plain
from testbed.base.jsonl import DataError
from testbed.base.phases import PHASES, TOTAL
from testbed.results.folder import Results
from testbed.results.manifest import SIM

TOLERANCE = 0.10
"""By how much a phase's median may differ, as a part of the real one."""

LEAST_DELAY = 0.02
"""Seconds, one way, of the longest link of a point from which on phases are judged."""

_DELAY = ".delay"


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a variant at a point of a sweep's grid: its medians in seconds.

    It is `judged` if it holds a round trip over a link that is long; else it is computing time.
    """

    variant: str
    point: dict[str, Any]
    name: str
    simulated: float
    real: float
    judged: bool

    @property
    def deviation(self) -> float:
        """The simulated median's deviation, as a part of the real one."""
        return self.simulated / self.real - 1 if self.real else 0.0

    @property
    def agrees(self) -> bool:
        """Whether that is within the tolerance, as far as it is judged."""
        return not self.judged or abs(self.deviation) <= TOLERANCE


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """The round trips of a variant over a link, of every run."""

    variant: str
    link: str
    simulated: tuple[int, ...]
    real: tuple[int, ...]

    @property
    def agrees(self) -> bool:
        """Whether the usual numbers are the same."""
        return median(self.simulated) == median(self.real)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two results agree, over the variants and points that both have."""

    phases: list[Phase]
    round_trips: list[RoundTrips]

    @property
    def whole(self) -> bool:
        """Whether everything that is judged agrees."""
        return all(p.agrees for p in self.phases) and all(t.agrees for t in self.round_trips)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "agrees": self.whole,
            "tolerance": TOLERANCE,
            "phases": [asdict(one) | {"agrees": one.agrees} for one in self.phases],
            "round_trips": [asdict(one) | {"agrees": one.agrees} for one in self.round_trips],
        }


def check_labs(simulated: Results, real: Results) -> None:
    """Raise DataError if the first results are known to be no simulation's, or the second one's."""
    for results, wanted, lab in ((simulated, True, "no simulation"), (real, False, "a simulation")):
        manifest = results.manifest
        if manifest and (manifest.lab == SIM) is not wanted:
            raise DataError(
                f"{plain(results.folder)} is {lab}, but of the lab {manifest.lab};"
                " first goes what --lab sim left, then what another lab did:"
                " mip6lab agree SIMULATED REAL"
                if wanted
                else f"{plain(results.folder)} is {lab} too; what is to be held against it is of"
                " another lab: mip6lab agree SIMULATED REAL"
            )


def agreement(simulated: Results, real: Results) -> Agreement:
    """Compare two results; DataError if they have nothing in common that can be judged."""
    phases = list(_phases(simulated, real))
    where = f"{plain(simulated.folder)} and {plain(real.folder)}"
    if not phases:
        raise DataError(f"{where} have no variant's bootstrap at the same point in common")
    round_trips = list(_round_trips(simulated, real))
    if not round_trips and not any(phase.judged for phase in phases):
        raise DataError(
            f"{where}: there is nothing to judge: both have round trips of no variant (they are"
            " counted of one mobile node, not of many), and no phase takes"
            f" {2 * LEAST_DELAY * 1e3:g} ms or more where a link has a delay of"
            f" {LEAST_DELAY * 1e3:g} ms or more"
        )
    return Agreement(phases, round_trips)


def _phases(simulated: Results, real: Results) -> Iterator[Phase]:
    for point in real.points:
        if point not in simulated.points:
            continue
        here, there = simulated.at(point), real.at(point)
        delays = _longest_delays(real, point)
        for variant in real.variants:
            long = delays[variant]
            for name in (*PHASES, TOTAL):
                ours, theirs = here.values(variant, name), there.values(variant, name)
                if ours and theirs:
                    length = median(ours)
                    judged = long >= LEAST_DELAY and length >= 2 * LEAST_DELAY
                    yield Phase(variant, point, name, length, median(theirs), judged)


def _longest_delays(results: Results, point: dict[str, Any]) -> dict[str, float]:
    """Return the longest delay of each variant's links; that which is swept if no more is known."""
    swept = max((v for path, v in point.items() if path.endswith(_DELAY)), default=0.0)
    delays = dict.fromkeys(results.variants, swept)
    if results.spec:
        there = results.spec.at(point)
        for variant in there.variants:
            delays[variant] = max(link.shape.delay for link in there.topology(variant).links)
    return delays


def _round_trips(simulated: Results, real: Results) -> Iterator[RoundTrips]:
    for variant in real.variants:
        ours, theirs = _counts(simulated, variant), _counts(real, variant)
        for link in sorted(ours.keys() & theirs.keys()):
            yield RoundTrips(variant, link, tuple(ours[link]), tuple(theirs[link]))


def _counts(results: Results, variant: str) -> dict[str, list[int]]:
    counts: dict[str, list[int]] = {}
    for run in results.bootstrapped(variant):
        for name, link in (run.traffic.links if run.traffic else {}).items():
            counts.setdefault(name, []).append(link.round_trips)
    return counts
