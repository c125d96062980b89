"""What each mechanism adds, in an experiment whose variants each add one to the variant before.

An experiment says so of itself by `cumulative = true`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal

from testbed.base.phases import PHASES, TITLES, TOTAL
from testbed.results.folder import Results

Kind = Literal["start", "adds", "together", "paper", "unexplained"]
_COLUMNS = (*PHASES, TOTAL)


@dataclass(frozen=True, slots=True)
class Share:
    """Seconds by phase: a variant's, what one adds to the variant before, or what is left."""

    name: str
    kind: Kind
    seconds: dict[str, float]


def is_cumulative(results: Results) -> bool:
    """Return whether each variant adds one thing to the one before."""
    return bool(results.spec and results.spec.experiment.cumulative) and not results.axes


def explain(results: Results) -> list[Share]:
    """Return the first variant's phases, what each further one adds, and what stays unexplained.

    They are means, as the paper's are averages: means add up, where a mechanism's time depends on
    chance and medians would not. Variants without a successful run are left out.
    """
    means = {
        name: {phase: fmean(results.values(name, phase)) for phase in _COLUMNS}
        for name in results.variants
        if results.bootstrapped(name)
    }
    if not means:
        return []
    names = list(means)
    shares = [Share(names[0], "start", means[names[0]])]
    for before, name in pairwise(names):
        shares.append(Share(name, "adds", _minus(means[name], means[before])))
    last, paper = means[names[-1]], results.paper.seconds
    return [
        *shares,
        Share("together", "together", last),
        Share("the paper", "paper", paper),
        Share("unexplained", "unexplained", _minus(paper, last)),
    ]


def _minus(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {phase: one[phase] - other[phase] for phase in _COLUMNS}


def share_rows(results: Results) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the heads and rows of the table: seconds, signed where they are differences."""
    rows = [
        (share.name, *(_cell(share.seconds[phase], share.kind) for phase in _COLUMNS))
        for share in explain(results)
    ]
    return ["mean seconds", *(TITLES[phase] for phase in _COLUMNS)], rows


def _cell(value: float, kind: Kind) -> str:
    signed = kind in ("adds", "unexplained")
    if signed and abs(value) < 0.005:
        return "\N{MIDDLE DOT}"
    return f"{value:+.2f}" if signed else f"{value:.2f}"
