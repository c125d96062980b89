"""What was held over many bootstraps in a row: a figure and a table."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from testbed.analysis.growth import OCTETS, Growth, growths, judged, soaked, too_short
from testbed.base.words import several
from testbed.report import style
from testbed.report.style import FAINT, QUIET
from testbed.results.folder import Results
from testbed.results.runs import Run

Rows = list[tuple[str, ...]]
MIB = 1 << 20
NAMED = 8  # Lines of a panel.
WIDE, TALL, GAP, TOP, BOTTOM = 3.6, 2.3, 0.75, 1.35, 0.6
"""Inches of a panel, between two, above the first and below the last."""


def rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per amount that changed in some variant, and one of the others' number.

    A run that is too short to be judged has one row, which says so.
    """
    shown: Rows = []
    for name, run in soaked(results).items():
        if why := too_short(run):
            shown.append((name, "everything", "", "", "", why))
            continue
        found = growths(run)
        moved = [one for one in found if one.slope or one.first != one.last]
        shown += [(name, *_cells(one)) for one in moved]
        if still := len(found) - len(moved):
            rest = f"{still} others" if moved else f"all {still}"
            shown.append((name, rest, "as before", "as before", "0", "flat"))
    head = ["variant", "held", "first", "last", "per 1,000 cycles", "verdict"]
    return head, shown


def _cells(one: Growth) -> tuple[str, ...]:
    low, high = one.ci95
    per = [_amount(one.kind, 1000 * value, sign=True) for value in (one.slope, low, high)]
    slope = f"{per[0]}\n[{per[1]}, {per[2]}]"
    ends = (_amount(one.kind, one.first), _amount(one.kind, one.last))
    return f"{one.whose}: {one.kind}", *ends, slope, one.verdict


def _amount(kind: str, value: float, *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    if kind in OCTETS:
        return f"{value / MIB:{plus}.3f} MiB"
    return f"{value:{plus}.1f}" if sign or value % 1 else f"{value:.0f}"


def figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw what was held against the cycles, a column per variant, a row per kind that moved."""
    runs = soaked(results)
    kinds = _kinds(runs)
    names = {
        whose
        for run in runs.values()
        for kind in kinds
        for whose in run.held[-1].amounts.get(kind, {})
    }
    left, right = 0.75, 0.3 + style.widest(names, 8.0)
    column = left + WIDE + right
    width, height = column * len(runs) + 0.1, TOP + len(kinds) * (TALL + GAP) - GAP + BOTTOM
    most = max(run.held[-1].cycles for run in runs.values())
    fig = style.figure(
        width,
        height,
        "What is held over many bootstraps in a row",
        f"Experiment {results.experiment}: up to {several(most, 'cycle')} of the steps; the grey"
        " part is not judged, and kinds that never changed are left out",
    )
    width = fig.get_figwidth()
    data: list[list[Any]] = [["variant", "cycles", "seconds", "kind", "whose", "amount"]]
    for i, (name, run) in enumerate(runs.items()):
        for j, kind in enumerate(kinds):
            bottom = height - TOP - TALL - j * (TALL + GAP)
            axes = fig.add_axes(
                ((left + i * column) / width, bottom / height, WIDE / width, TALL / height)
            )
            _panel(axes, run, kind)
            if j == 0:
                axes.set_title(name, loc="left", fontsize=10, weight="bold", pad=16)
            if j == len(kinds) - 1:
                axes.set_xlabel("cycles")
        data += [
            [name, one.cycles, one.seconds, kind, whose, amount]
            for one in run.held
            for kind, found in one.amounts.items()
            for whose, amount in found.items()
        ]
    return fig, data


def _kinds(runs: dict[str, Run]) -> list[str]:
    """Return what to draw: kinds of which some amount changed, and memory."""
    kinds = dict.fromkeys(kind for run in runs.values() for kind in run.held[-1].amounts)
    moved = {one.kind for run in runs.values() for one in growths(run) if one.first != one.last}
    moved |= {kind for run in runs.values() for kind in kinds if _changes(run, kind)}
    return [kind for kind in kinds if kind in moved or kind in OCTETS]


def _changes(run: Run, kind: str) -> bool:
    return len({tuple(one.amounts.get(kind, {}).items()) for one in run.held}) > 1


def _panel(axes: Axes, run: Run, kind: str) -> None:
    """Draw the amounts of one kind, each at the right named."""
    unit = MIB if kind in OCTETS else 1
    cycles = [one.cycles for one in run.held]
    names = list(run.held[-1].amounts.get(kind, {}))
    lines = {
        whose: [one.amounts[kind].get(whose, 0.0) / unit for one in run.held] for whose in names
    }
    for i, values in enumerate(lines.values()):
        axes.plot(cycles, values, color=_colour(i), lw=1.5, ls=("-", "--", ":")[i // 7 % 3])
    begins = next((one.cycles for one in judged(run.held)), cycles[-1])
    axes.axvspan(0, cycles[-1] if too_short(run) else begins, color=FAINT, alpha=0.35, lw=0)
    axes.set_xlim(0, cycles[-1])
    most = max((max(values) for values in lines.values()), default=0.0)
    axes.set_ylim(0, 1.12 * most or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=unit == 1))
    axes.grid(axis="y", color=FAINT, lw=0.6)
    axes.set_ylabel(f"{kind}, MiB" if unit == MIB else kind, color=QUIET)
    _name_lines(axes, lines)


def _colour(number: int) -> str:
    return style.VARIANT_COLOURS[number % len(style.VARIANT_COLOURS)]


def _name_lines(axes: Axes, lines: dict[str, list[float]]) -> None:
    """Write the names of the highest lines where they end, and how many others there are."""
    top = axes.get_ylim()[1]
    ends = [
        (values[-1] / top, whose, _colour(i)) for i, (whose, values) in enumerate(lines.items())
    ]
    named = sorted(ends, reverse=True)[:NAMED]
    if others := len(ends) - len(named):
        named.append((0.0, several(others, "other"), QUIET))
    order = sorted(named)
    places = style.spread([end for end, *_ in order], 0.1)
    for place, (_, whose, colour) in zip(places, order, strict=True):
        axes.text(1.03, place, whose, transform=axes.transAxes, color=colour, size=8, va="center")
