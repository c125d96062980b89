"""The figures of many mobile nodes: how their times are distributed, and how costs grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from testbed.analysis.fleets import Fleet, fleets
from testbed.base.phases import TOTAL
from testbed.base.words import several
from testbed.report import style
from testbed.report.style import FAINT, INK, QUIET, VARIANT_COLOURS
from testbed.results.folder import Results

_SHOWN = ("pana", "ike", "binding", TOTAL)
_LEAST = 1e-4  # Seconds, the beginning of a logarithmic axis.
_APART = 0.1  # The least that an axis of times is long, as a part of the longest.
_MARKS = "os^Dv*P"
_MIB = 1 << 20
_CPU = 1e3
Drawn = tuple[Figure, list[list[Any]]]


def _subtitle(results: Results) -> str:
    counts = {len(run.members) for run in results.runs} - {0}
    each = " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else "no"
    lab = f", {results.manifest.where}" if results.manifest else ""
    runs = several(len(results.runs), "run")
    return f"Experiment {results.experiment}: {runs} of {each} mobile nodes{lab}"


def grow(results: Results) -> bool:
    """Return whether a variant has different numbers of mobile nodes to be compared."""
    return any(len({f.nodes for f in fleets(results, name)}) > 1 for name in results.variants)


def distribution_figure(results: Results) -> Drawn:
    """Draw for each variant and phase the share of mobile nodes done with it within a time."""
    rows: list[list[Any]] = [["variant", "mobile_nodes", "phase", "seconds", "share"]]
    panel, tall, gap, left, head = 2.35, 1.75, 0.25, 0.75, 1.35
    height = head + len(results.variants) * (tall + 0.75) - 0.35
    width = left + len(_SHOWN) * (panel + gap) + 0.9
    title = "How long mobile nodes take, by how many there are"
    fig = style.figure(width, height, title, _subtitle(results))
    width = fig.get_figwidth()
    for i, name in enumerate(results.variants):
        found = fleets(results, name)
        called = results.titles(name)
        bottom = height - head - (i + 1) * tall - i * 0.75
        for j, phase in enumerate(_SHOWN):
            place = (left + j * (panel + gap)) / width, bottom / height
            axes = fig.add_axes((*place, panel / width, tall / height))
            for k, fleet in enumerate(found):
                rows += _share(axes, fleet, phase, VARIANT_COLOURS[k % len(VARIANT_COLOURS)])
            _time_axis(axes)
            axes.set_title(called[phase], loc="left", size=9, color=QUIET)
            axes.set_yticklabels([] if j else [f"{tick:.0%}" for tick in axes.get_yticks()])
            if not j:
                axes.text(
                    0, 1.17, name, transform=axes.transAxes, size=10, weight="bold", color=INK
                )
        if found:
            axes.legend(
                title="nodes", loc="center left", bbox_to_anchor=(1.03, 0.5), frameon=False,
                fontsize=8.5, title_fontsize=8.5, handlelength=1.2,
            )  # fmt: skip
    return fig, rows


def _share(axes: Axes, fleet: Fleet, phase: str, colour: str) -> list[list[Any]]:
    values = sorted(max(value, _LEAST) for value in fleet.values(phase))
    shares = [(number + 1) / len(fleet.members) for number in range(len(values))]
    mark: dict[str, Any] = {"marker": "o", "ms": 3} if len(values) == 1 else {}
    axes.step(values, shares, where="post", color=colour, lw=1.3, label=f"{fleet.nodes}", **mark)
    return [
        [fleet.variant, fleet.nodes, phase, value, share]
        for value, share in zip(values, shares, strict=True)
    ]


def _time_axis(axes: Axes) -> None:
    if axes.dataLim.x1 > style.LOG_FROM * axes.dataLim.x0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        _widen(axes)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter(FuncFormatter(style.time))
    axes.grid(color=FAINT, lw=0.5)
    axes.set_axisbelow(True)


def _widen(axes: Axes) -> None:
    """Give an axis of times that are about the same a tenth of them: less is no difference."""
    low, high = axes.dataLim.x0, axes.dataLim.x1
    if high - low < _APART * high:
        middle, half = (low + high) / 2, _APART * high / 2
        axes.set_xlim(middle - 1.1 * half, middle + 1.1 * half)


def growth_figure(results: Results) -> Drawn:
    """Draw against the number of mobile nodes what a bootstrap costs, and what was sent again."""
    rows: list[list[Any]] = [["variant", "mobile_nodes", "what", "of", "value"]]
    panels: list[tuple[str, Callable[[Fleet], dict[str, float]], float]] = [
        ("CPU time of a bootstrap, ms", lambda fleet: fleet.cpu, _CPU),
        ("peak memory of a program, MiB", lambda fleet: fleet.memory, 1 / _MIB),
        ("messages sent again, a bootstrap", lambda fleet: fleet.repeated, 1.0),
    ]
    every = [fleet for name in results.variants for fleet in fleets(results, name)]
    # Of a simulation there is no memory, and where nothing was sent again there is nothing to see.
    panels = [one for one in panels if any(any(one[1](fleet).values()) for fleet in every)]
    panel, tall, gap, left, head = 3.1, 2.0, 0.6, 0.5, 1.35
    height = head + len(results.variants) * (tall + 0.95) - 0.4
    width = left + len(panels) * (panel + gap) - gap + 0.3
    title = "What a bootstrap costs, by how many mobile nodes there are"
    fig = style.figure(width, height, title, _subtitle(results))
    width = fig.get_figwidth()
    panel = (width - 0.3 - left + gap) / len(panels) - gap
    roles = list(dict.fromkeys(role for fleet in every for role in fleet.cpu))
    for i, name in enumerate(results.variants):
        found = fleets(results, name)
        bottom = height - head - (i + 1) * tall - i * 0.95
        for j, (what, values, factor) in enumerate(panels):
            place = (left + j * (panel + gap)) / width, bottom / height
            axes = fig.add_axes((*place, panel / width, tall / height))
            rows += _lines(axes, found, what, values, factor, roles)
            if factor == _CPU:
                _total(axes, found)
            if not j:
                axes.text(
                    0, 1.17, name, transform=axes.transAxes, size=10, weight="bold", color=INK
                )
            axes.set_title(what, loc="left", size=9, color=QUIET)
            if i == len(results.variants) - 1:
                axes.set_xlabel("mobile nodes")
            if factor != 1 / _MIB and axes.get_legend_handles_labels()[0]:
                axes.legend(
                    frameon=False, fontsize=7.5, handlelength=1.2, loc="upper right", ncols=3,
                    columnspacing=1.0,
                )  # fmt: skip
    return fig, rows


def _total(axes: Axes, found: Sequence[Fleet]) -> None:
    x = [fleet.nodes for fleet in found]
    totals = [1e3 * sum(fleet.cpu.values()) for fleet in found]
    axes.plot(x, totals, color=INK, lw=1.6, marker="o", ms=4, label="all together")
    axes.set_ylim(0, 1.35 * max(totals, default=1.0))


def _lines(
    axes: Axes,
    found: Sequence[Fleet],
    what: str,
    values: Callable[[Fleet], dict[str, float]],
    factor: float,
    known: Sequence[str],
) -> list[list[Any]]:
    """Draw a line for each role, or protocol, over the number of mobile nodes."""
    measured = [values(fleet) for fleet in found]
    most = max((factor * value for one in measured for value in one.values()), default=0.0)
    names = list(dict.fromkeys(name for one in measured for name in one))
    for number, name in enumerate(names):
        place = known.index(name) if name in known else number
        axes.plot(
            [fleet.nodes for fleet in found],
            [one.get(name, 0.0) * factor for one in measured],
            color=VARIANT_COLOURS[place % len(VARIANT_COLOURS)],
            marker=_MARKS[place % len(_MARKS)],
            lw=1.2, ms=4, label=name.replace("_", " "),
        )  # fmt: skip
    numbers = [fleet.nodes for fleet in found]
    axes.set_xscale("log")
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.xaxis.set_minor_formatter(NullFormatter())
    if numbers:  # A variant of an interrupted experiment may have none.
        axes.set_xlim(numbers[0] / 1.2, numbers[-1] * 1.2)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(0, 1.1 * most or 1.0)
    if not names:
        none = "none" if found else "no runs yet"
        axes.text(0.5, 0.5, none, transform=axes.transAxes, ha="center", color=QUIET)
        axes.set_yticks([])
    axes.grid(color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    return [
        [fleet.variant, fleet.nodes, what, name, value]
        for fleet, one in zip(found, measured, strict=True)
        for name, value in one.items()
    ]
