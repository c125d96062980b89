"""What a run costs beside its bootstrap: seconds of each of its parts, and runs per minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from testbed.analysis.stats import costs
from testbed.base.words import several
from testbed.report import bars, style
from testbed.report.style import FAINT, INK
from testbed.results.folder import Results
from testbed.results.manifest import Manifest
from testbed.results.runs import Run

Rows = list[tuple[str, ...]]
SUMS = ("total", "whole")
"""Costs that hold others: a run from its namespaces on, and with what starts and ends it."""
REST = "rest"
MEANINGS = {
    "network": "hosts and links are made",
    "fork": "configurations are written, and warm programs are forked and given their memory",
    "measure": "delay, rate and loss of the links are measured",
    "start": "captures are opened, and all programs but the mobile node's until they are ready",
    "bootstrap": "the mobile node's programs start (cold ones as interpreters, which is no part of"
    " its phases), until the correspondent node reaches it",
    "steps": "what the variant does after its bootstrap",
    "teardown": "programs end, captures are written, the network goes",
    "simulation": "the run on its virtual clock",
    "writing": "its captures, events and keys are written",
    "total": "all of these",
    "whole": "all that the session waited for: the total, and what starts and ends the run",
}
"""What happens in each part of a run, for people."""
COLOURS = (
    style.BLUE,
    style.SKY,
    style.ORANGE,
    style.VERMILLION,
    style.GREEN,
    style.PURPLE,
    style.YELLOW,
)
ROW, WIDE, BAR = 0.42, 7.0, 0.52  # Inches of a row and of the longest bar; of a row, what is bar.


def cost_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per part of a run, and of what these are parts, as medians of each variant."""
    found = {name: costs(results.of(name)) for name in results.variants}
    rows = [
        (name, *(style.seconds(one[name]) if name in one else "-" for one in found.values()))
        for name in _names(found.values())
    ]
    return ["median of a run", *found], rows


def meanings(results: Results) -> str:
    """Say in a sentence what the rows of the table are."""
    found = _names(costs(results.of(name)) for name in results.variants)
    told = "; ".join(f"{name}: {MEANINGS[name]}" for name in found if name in MEANINGS)
    return told and f"{told}."


def _names(found: Iterable[Mapping[str, float]]) -> list[str]:
    """Return the names of all costs in the order of runs, sums last; few variants have all."""
    found = list(found)
    most_first = sorted(found, key=lambda one: len(one.keys() - SUMS), reverse=True)
    parts = dict.fromkeys(name for one in most_first for name in one if name not in SUMS)
    return [*parts, *(name for name in SUMS if any(name in one for one in found))]


def pace(results: Results) -> str | None:
    """Say how many runs there were per minute, from labs' start to the last one's end.

    None if that is not known, as after a session that was killed.
    """
    manifest = results.manifest
    if not manifest or not results.runs:
        return None
    sessions = [*manifest.earlier, manifest]
    each_took = [_seconds(session) for session in sessions]
    if None in each_took:
        return None
    seconds = sum(filter(None, each_took))
    at_once = " and ".join(dict.fromkeys("one" if s.jobs == 1 else str(s.jobs) for s in sessions))
    each = f"{style.digits(60 * len(results.runs) / seconds)} per minute, {at_once} at a time"
    return f"{several(len(results.runs), 'run')} in {seconds:.0f} s: {each}."


def _seconds(session: Manifest) -> float | None:
    if not session.ended:
        return None
    ended, started = map(datetime.fromisoformat, (session.ended, session.started))
    seconds = (ended - started).total_seconds()
    return seconds if seconds > 0 else None  # The clock was set meanwhile.


def parts(runs: Sequence[Run]) -> dict[str, float]:
    """Return the medians of a run's parts in seconds, in their order, and what is left of it."""
    found = costs(runs)
    own = {name: seconds for name, seconds in found.items() if name not in SUMS}
    whole = max((found[name] for name in SUMS if name in found), default=0.0)
    return own | {REST: max(0.0, whole - sum(own.values()))}


def costs_figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw the parts of a run of each variant, one behind the other."""
    found = {name: parts(results.of(name)) for name in results.variants}
    named = [name for name in _names(found.values()) if name != REST]
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(named)} | {REST: FAINT}
    left = style.MARGIN + 0.15 + style.widest(found, 9)
    width = max(left + WIDE + 4 * style.MARGIN, 2 * style.MARGIN + bars.legend_width(colours))
    top, tall = 1.1, 0.1 + ROW * len(found)
    height = top + tall + 0.4
    subtitle = (
        f"Experiment {results.experiment}: medians of the parts of a run, whatever it came to"
    )
    fig = style.figure(width, height, "What a run takes", subtitle)
    bars.legend(fig, style.MARGIN, 0.88, colours, colours)
    width = fig.get_figwidth()
    axes = fig.add_axes((left / width, 1 - (top + tall) / height, WIDE / width, tall / height))
    axes.set_xlim(0, 1.1 * max(sum(one.values()) for one in found.values()) or 1.0)
    for row, one in enumerate(found.values()):
        end = bars.stack(axes, row, one, BAR, colours=colours)
        axes.annotate(
            style.seconds(end), (end, row), (5, 0), textcoords="offset points", va="center",
            weight="bold", size=10,
        )  # fmt: skip
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_yticks(range(len(found)), [*found], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} s"))
    axes.grid(axis="x", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    rows: list[list[Any]] = [["variant", "part", "seconds"]]
    rows += [[name, part, one[part]] for name, one in found.items() for part in one]
    return fig, rows
