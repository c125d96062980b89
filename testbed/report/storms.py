"""What many mobile nodes came to who were switched on at once: a figure and a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from testbed.analysis.compare import written
from testbed.base.words import several
from testbed.experiment.spec import Poisson
from testbed.report import style
from testbed.report.style import FAINT
from testbed.results.folder import Results
from testbed.results.runs import Crowd

Rows = list[tuple[str, ...]]
COLLAPSED = 0.5
"""The part of all attempts that failed, from which on it is a collapse."""


@dataclass(frozen=True, slots=True)
class Storm:
    """The runs of a variant at one point of a sweep; `variant` and `point` as they are written."""

    variant: str
    point: str
    runs: Sequence[Crowd]
    at_once: bool

    @property
    def name(self) -> str:
        """What it is called in figures."""
        return ", ".join(filter(None, (self.variant, self.point)))

    @property
    def nodes(self) -> int:
        """How many mobile nodes each run had."""
        return self.runs[0].nodes

    def median(self, value: Callable[[Crowd], float]) -> float:
        """Return the median of what each run came to."""
        return median(map(value, self.runs))

    def up(self, part: str) -> float | None:
        """Return when a part of all were up, as "50"; None if in a run it never was."""
        times = [crowd.up[part] for crowd in self.runs if part in crowd.up]
        return median(times) if len(times) == len(self.runs) else None

    @property
    def is_collapse(self) -> bool:
        """Whether most attempts failed."""
        return self.median(wasted) > COLLAPSED


def storms(results: Results) -> list[Storm]:
    """Return what the runs with many mobile nodes came to, by variant and point."""
    found = []
    for name in results.variants:
        for point in results.points:
            runs = [run.crowd for run in results.at(point).of(name) if run.crowd]
            if runs:
                begins = results.spec and results.spec.at(point).variants[name].arrivals
                at_once = not isinstance(begins, Poisson)
                found.append(Storm(name, written(point), runs, at_once))
    return found


def wasted(crowd: Crowd) -> float:
    """Return the part of all attempts that failed."""
    ended = crowd.failures + _up(crowd)
    return crowd.failures / ended if ended else 0.0


def _up(crowd: Crowd) -> int:
    return crowd.curve[-1][1] if crowd.curve else 0


def rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant and point: when how many are up, and what was sent; medians."""
    head = ["variant", "up", "50 %", "99 %", "100 %", "messages\neach", "sent\nagain"]
    head += [
        "datagrams\ndropped",
        "attempts\nfailed",
        "answers\ntoo late",
        "collapse",
        "public keys",
    ]
    return head, [_row(storm) for storm in storms(results)]


def _row(storm: Storm) -> tuple[str, ...]:
    runs = several(len(storm.runs), "run") if len(storm.runs) > 1 else ""
    times = map(storm.up, ("50", "99", "100"))
    again = storm.median(
        lambda one: sum(one.repeated.values()) / max(sum(one.messages.values()), 1)
    )
    return (
        "\n".join(filter(None, (storm.variant, storm.point, runs))),
        f"{storm.median(_up):.0f} of {storm.nodes}",
        *("-" if seconds is None else style.seconds(seconds) for seconds in times),
        f"{storm.median(lambda one: sum(one.messages.values())) / storm.nodes:.1f}",
        f"{100 * again:.1f} %",
        f"{storm.median(lambda one: sum(one.dropped.values())):.0f}",
        f"{storm.median(lambda one: one.failures):.0f}",
        f"{storm.median(lambda one: one.late):.0f}",
        "yes" if storm.is_collapse else "no",
        storm.runs[0].public_keys,
    )


def _how(found: Sequence[Storm]) -> str:
    """Write how many mobile nodes were switched on, and how."""
    numbers = sorted({storm.nodes for storm in found})
    nodes = " to ".join(str(number) for number in sorted({numbers[0], numbers[-1]}))
    ways = {storm.at_once: "at once" if storm.at_once else "one by one" for storm in found}
    return f"{nodes} mobile node{'s' * (numbers[-1] != 1)} switched on {' or '.join(ways.values())}"


def figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw the part of all mobile nodes that is up against time, a line per variant and run."""
    found = storms(results)
    left, bottom, width, height = 0.8, 0.65, 7.6, 4.9
    right = 0.35 + style.widest((storm.name for storm in found), 8.5)
    fig = style.figure(
        left + width + right,
        height,
        "A storm: mobile nodes that are up",
        f"Experiment {results.experiment}: {_how(found)} (simulated); log scale",
    )
    whole = fig.get_figwidth()
    axes = fig.add_axes((left / whole, bottom / height, width / whole, 3.3 / height))
    data: list[list[Any]] = [["variant", "point", "run", "seconds", "up", "part"]]
    last = max((t for one in found for crowd in one.runs for t, _ in crowd.curve), default=1.0)
    ends = []
    for i, storm in enumerate(found):
        colour = style.VARIANT_COLOURS[i % len(style.VARIANT_COLOURS)]
        ways = ("-", "--", "-.", ":")
        # Every other one is dashed and above the rest: curves that coincide both show.
        way = i % 2 + 2 * (i // 7 % 2)
        look: Any = {"ls": ways[way], "zorder": 2 + way / 10}
        for number, crowd in enumerate(storm.runs, 1):
            times = [t for t, _ in crowd.curve]
            parts = [up / crowd.nodes for _, up in crowd.curve]
            axes.step(times, parts, where="post", color=colour, lw=1.6, **look)
            data += [
                [storm.variant, storm.point, number, t, up, up / crowd.nodes]
                for t, up in crowd.curve
            ]
            axes.plot(times[-1:], parts[-1:], "o", color=colour, ms=4)
        if any(crowd.curve for crowd in storm.runs):
            ended = storm.median(lambda one: one.curve[-1][0] if one.curve else 0.0)
            ends.append((storm.median(_up) / storm.nodes, ended, storm.name, colour))
    style.log_times(axes)
    axes.set_xlim(right=last * 1.1)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("time since the first one was switched on")
    axes.set_ylabel("mobile nodes that are up")
    axes.grid(axis="y", color=FAINT, lw=0.6)
    order = sorted(ends)
    places = style.spread([part for part, *_ in order], 0.055)
    for place, (_, _, name, colour) in zip(places, order, strict=True):
        axes.text(1.02, place, name, transform=axes.transAxes, color=colour, size=8.5, va="center")
    return fig, data
