"""What bootstraps came to over bad links, by what went wrong there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from testbed.base.phases import TOTAL
from testbed.results.folder import Results
from testbed.results.runs import Run
from topologies.model import Shape

LOSS, BURSTS = "loss", "bursts"
KINDS = {LOSS: "loss", BURSTS: "burst_begins"} | {
    name: name for name in ("duplication", "reordering", "corruption")
}
"""What may go wrong, and the field of a link's shape that says so."""

_WHISKERS = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that goes wrong to a percentage of packets, on these links and on no other."""

    links: tuple[str, ...]
    kind: str
    percent: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The runs of a variant in one condition; those of several attempts have succeeded too."""

    variant: str
    condition: Condition
    runs: Sequence[Run]

    @property
    def good(self) -> list[Run]:
        """Those that ended in a bootstrap."""
        return [run for run in self.runs if run.status == "ok"]

    @property
    def success(self) -> float:
        """The part that bootstrapped."""
        return len(self.good) / len(self.runs)

    @property
    def at_once(self) -> float:
        """The part that bootstrapped at the first attempt."""
        return sum(run.attempts <= 1 for run in self.good) / len(self.runs)

    @property
    def totals(self) -> tuple[float, float, float] | None:
        """The median of the totals, and between what the middle 90 % are; None of no bootstrap."""
        values = [(run.phases or {})[TOTAL] for run in self.good]
        if not values:
            return None
        low, high = np.quantile(values, _WHISKERS)
        return median(values), float(low), float(high)

    @property
    def repeated(self) -> dict[str, float]:
        """Messages sent again by protocol on all links, means of the bootstraps."""
        counted: dict[str, int] = {}
        runs = [run.traffic for run in self.good if run.traffic]
        for traffic in runs:
            for link in traffic.links.values():
                for protocol, count in link.protocols.items():
                    counted[protocol] = counted.get(protocol, 0) + count.repeated
        return {name: number / len(runs) for name, number in counted.items() if number}

    @property
    def found(self) -> dict[str, dict[str, float]]:
        """What was measured of the links before runs, in percent by kind of fault: medians."""
        found: dict[str, dict[str, float]] = {}
        for link in self.condition.links:
            names = dict.fromkeys(name for run in self.runs for name in run.measured.get(link, ()))
            for name in names.keys() & KINDS.keys():
                values = [run.measured[link][name] for run in self.runs if link in run.measured]
                known = [value for value in values if value is not None]
                if known:
                    found.setdefault(link, {})[name] = median(known)
        return found


def condition(shapes: dict[str, Shape]) -> Condition | None:
    """Return what goes wrong on links of these shapes; None if it is more than one thing."""
    faulty = {name: shape for name, shape in shapes.items() if shape.is_faulty}
    found = {_fault(shape) for shape in faulty.values()} or {(LOSS, 0.0)}
    if len(found) > 1 or None in found:
        return None
    kind, percent = found.pop() or (LOSS, 0.0)
    return Condition(tuple(faulty), kind, percent)


def _fault(shape: Shape) -> tuple[str, float] | None:
    kinds = [kind for kind, field in KINDS.items() if getattr(shape, field)]
    if len(kinds) != 1:
        return None
    percent = shape.mean_loss if kinds == [BURSTS] else getattr(shape, kinds[0])
    return kinds[0], round(percent, 3)


def samples(results: Results) -> list[Sample]:
    """Return what there is of each condition and variant; nothing if no link is bad."""
    if results.spec is None:
        return []
    found = []
    for point in results.points:
        spec, there = results.spec.at(point), results.at(point)
        for variant in filter(spec.variants.__contains__, results.variants):
            shapes: dict[str, Any] = {
                link.name: link.shape for link in spec.topology(variant).links
            }
            now = condition(shapes)
            if now and there.of(variant):
                found.append(Sample(variant, now, there.of(variant)))
    return found if any(sample.condition.links for sample in found) else []
