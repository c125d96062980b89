"""The figures of an experiment: phases against the paper, distribution, one run's messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from testbed import claims, curves, ladder, overlays, style
from testbed.fits import swept_links
from testbed.jsonl import DataError
from testbed.phases import PHASES, TITLES, TOTAL
from testbed.results import Results, load
from testbed.stats import Summary, phase_summaries
from testbed.style import FAINT, INK, ON_COLOUR, PHASE_COLOURS, QUIET, SETTINGS, spread

Drawn = tuple[Figure, list[list[Any]]]  # A figure and its data.

MARKERS = "os^Dv*P"
LOG_FROM = 30.0
LABEL = 0.1  # The width of a label, as a share of the axis.
BAR = 0.52


def draw(folder: Path) -> list[Path]:
    """Draw every figure that a results folder has data for, into figures/; return the files.

    Raises DataError if the results cannot be read.
    """
    results = load(folder)
    figures = results.folder / "figures"
    paths: list[Path] = []
    if not any(results.succeeded(name) for name in results.variants):
        return paths
    with mpl.rc_context(SETTINGS):
        for stem, make in _wanted(results).items():
            fig, data = make(results)
            paths += style.save(fig, figures, stem, data)
        try:
            fig, data = ladder.timeline_figure(results)
        except DataError:
            return paths  # Without a readable capture there is nothing to draw.
        paths += style.save(fig, figures, "timeline", data)
    return paths


def _wanted(results: Results) -> dict[str, Callable[[Results], Drawn]]:
    """Return what to draw: a sweep is about distance, approaches are set side by side."""
    wanted: dict[str, Callable[[Results], Drawn]] = {}
    if not results.axes:
        wanted |= {"phases": phases_figure, "cdf": cdf_figure}
    if swept_links(results):
        wanted["rtt"] = curves.rtt_figure
    several = len({one.approach for one in claims.variants([results])}) > 1
    if results.axes or several:
        wanted["approaches"] = curves.stacked_figure
        if any(run.traffic for run in results.runs):
            wanted["round_trips"] = curves.round_trips_figure
    return wanted


def phases_figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw each variant's median phases beside the paper's, to one scale and each to its own."""
    found = {name: phase_summaries(results, name) for name in results.variants}
    shown = {name: phases for name, phases in found.items() if phases}
    top, scale_height, own_height, bottom = 0.72, 0.62 + 0.42 * (1 + len(found)), 1.02, 0.3
    gap = 0.6
    height = top + scale_height + gap + own_height * len(shown) + bottom
    fig = style.figure(10.0, height)
    style.heading(fig, "Where the time of a Mobile IPv6 bootstrap goes", _subtitle(results))

    def place(from_top: float, tall: float) -> Axes:
        return fig.add_axes((0.145, 1 - (from_top + tall) / height, 0.83, tall / height))

    within = {name: overlays.overlays(results, name, phases) for name, phases in found.items()}
    _to_one_scale(place(top, scale_height), results, found, within)
    start = top + scale_height + gap
    fig.text(
        0.02, 1 - (start - 0.02) / height, "Each variant at its own scale", weight="bold", size=10
    )
    for row, (name, phases) in enumerate(shown.items()):
        axes = place(start + row * own_height + 0.5, own_height - 0.76)
        _to_own_scale(axes, name, phases, within[name])
    named = {one.name for several in within.values() for one in several}
    overlays.legend(fig, 0.45, 1 - (start - 0.08) / height, named)
    fig.text(
        0.02,
        0.1 / height,
        "Bars add up the medians of the phases; totals are medians of the totals, with their 95 %"
        " intervals [ ] or, of few runs, their ranges ( ).",
        size=7.5,
        color=QUIET,
    )
    return fig, _phases_data(results, found, within)


def _subtitle(results: Results) -> str:
    counts = sorted({len(results.succeeded(name)) for name in results.variants})
    runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    lab = f", {results.manifest.lab} lab" if results.manifest else ""
    ours = f"medians of {runs} successful runs a variant{lab}"
    return f"Experiment {results.experiment}: {ours}. The paper: averages on three 1 GHz hosts."


Within = Mapping[str, Sequence[overlays.Overlay]]


def _to_one_scale(
    axes: Axes, results: Results, found: Mapping[str, Mapping[str, Summary]], within: Within
) -> None:
    paper = results.paper.seconds
    extra = results.paper.unattributed
    longest = max([paper[TOTAL], *(p[TOTAL].median for p in found.values() if p)])
    axes.set_xlim(0, longest * 1.2)
    _stack(axes, 0, [paper[name] for name in PHASES], lambda value: f"{value:g} s")
    attributed = sum(paper[name] for name in PHASES)
    axes.barh(0, extra, BAR, attributed, color="white", edgecolor=QUIET, hatch="/////", lw=0.7)
    _total(axes, 0, attributed + extra, f"{paper[TOTAL]:g} s", "as stated")
    _name_paper_phases(axes, paper, extra)
    for row, (name, phases) in enumerate(found.items(), 1):
        if not phases:
            axes.text(0.05, row, f"none of {len(results.of(name))} runs succeeded", va="center")
            continue
        lengths = [phases[phase].median for phase in PHASES]
        _stack(axes, row, lengths, style.seconds)
        overlays.draw(axes, row, BAR, within[name])
        median = phases[TOTAL].median
        note = style.against_paper(median, paper[TOTAL])
        _total(axes, row, sum(lengths), style.seconds(median), note)
    axes.set_ylim(len(found) + 0.5, -1.05)
    axes.set_yticks(range(len(found) + 1), ["the paper", *found], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} s"))
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= longest * 1.02])
    axes.grid(axis="x", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)


def _name_paper_phases(axes: Axes, paper: Mapping[str, float], extra: float) -> None:
    """Name the phases above the paper's bar, which serves as the legend."""
    left = 0.0
    for name in PHASES:
        middle = left + paper[name] / 2
        align = "left" if name == "pana" else "center"
        axes.text(middle if left else 0.0, -0.42, TITLES[name], ha=align, va="bottom", size=8.5)
        left += paper[name]
    axes.text(
        left + extra / 2, -0.42, "unattributed", ha="left", va="bottom", size=8.5, color=QUIET
    )


def _stack(axes: Axes, row: float, lengths: Sequence[float], write: Callable[[float], str]) -> None:
    """Draw one bar; segments that are wide enough say how long they are."""
    whole = axes.get_xlim()[1]
    left = 0.0
    for name, length in zip(PHASES, lengths, strict=True):
        colour = PHASE_COLOURS[name]
        edge = 0.6 if length > 0.02 * whole else 0.0
        axes.barh(row, length, BAR, left, color=colour, edgecolor="white", lw=edge)
        if length > 0.05 * whole:
            middle, ink = left + length / 2, ON_COLOUR[colour]
            axes.text(middle, row, write(length), ha="center", va="center", color=ink, size=8.5)
        left += length


def _total(axes: Axes, row: float, end: float, total: str, note: str) -> None:
    written = axes.annotate(
        total, (end, row), (5, 0), textcoords="offset points", va="center", weight="bold", size=10
    )
    axes.annotate(
        note, (1, 0.5), (6, 0), xycoords=written, textcoords="offset points", va="center",
        color=QUIET, size=8.5,
    )  # fmt: skip


def _to_own_scale(
    axes: Axes,
    name: str,
    phases: Mapping[str, Summary],
    within: Sequence[overlays.Overlay],
) -> None:
    lengths = [phases[phase].median for phase in PHASES]
    whole = sum(lengths)
    left = 0.0
    middles = []
    for phase, length in zip(PHASES, lengths, strict=True):
        axes.barh(0, length, 1.0, left, color=PHASE_COLOURS[phase], edgecolor="white", lw=0.6)
        middles.append((left + length / 2) / whole)
        left += length
    has = [length > 0 for length in lengths]  # Without PANA there is nothing to label.
    overlays.draw(axes, 0, 1.0, within)
    inside: dict[str, Any] = {"transform": axes.transAxes}
    values = list(compress(map(style.seconds, lengths), has))
    middles = list(compress(middles, has))
    named, places = compress(PHASES, has), spread(middles, LABEL)
    for name_of, value, middle, label in zip(named, values, middles, places, strict=True):
        bold = f"$\\bf{{{value.replace(' ', '~')}}}$"
        text = f"{TITLES[name_of]}\n{bold}"
        axes.text(label, 1.55, text, ha="center", va="bottom", size=8, linespacing=1.25, **inside)
        axes.plot([middle, label], [1.04, 1.5], color=QUIET, lw=0.6, clip_on=False, **inside)
    axes.set_xlim(0, whole)
    axes.set_ylim(-0.5, 0.5)
    axes.text(-0.012, 1.0, name, ha="right", va="top", **inside)
    total = style.interval(phases[TOTAL])
    axes.text(-0.012, -0.05, total, ha="right", va="bottom", size=7.5, color=QUIET, **inside)
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    unit, factor = ("s", 1.0) if whole >= 2 else ("ms", 1e3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x * factor:g} {unit}"))
    axes.tick_params(axis="x", labelsize=8, length=2, pad=1)


def _phases_data(
    results: Results, found: Mapping[str, Mapping[str, Summary]], within: Within
) -> list[list[Any]]:
    rows: list[list[Any]] = [["variant", "phase", "seconds", "mean", "ci_low", "ci_high", "n"]]
    for name, value in results.paper.seconds.items():
        rows.append(["paper", name, value, value, "", "", ""])
    rows.append(["paper", "unattributed", results.paper.unattributed, "", "", "", ""])
    for variant, phases in found.items():
        for name, one in phases.items():
            ends = one.ci95 or ("", "")
            rows.append([variant, name, one.median, one.mean, *ends, one.n])
        rows += [[variant, one.name, one.length, "", "", "", one.n] for one in within[variant]]
    return rows


def cdf_figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw the share of successful runs that took at most a time, a step a run."""
    totals = {name: sorted(results.values(name, TOTAL)) for name in results.variants}
    totals = {name: values for name, values in totals.items() if values}
    rows: list[list[Any]] = [["variant", "total_seconds", "share"]]
    legend = 0.21 * len(totals)
    height = 4.35 + legend
    fig = style.figure(8.0, height)
    style.heading(
        fig,
        "How long a bootstrap takes",
        f"Experiment {results.experiment}: share of the successful runs done within a time",
    )
    axes = fig.add_axes((0.085, 0.55 / height, 0.89, 3.0 / height))
    paper = results.paper.total
    everything = [value for values in totals.values() for value in values]
    logarithmic = max(everything) > LOG_FROM * min(everything)
    ends = (min(everything) / 1.6, max(*everything, paper) * 1.6)
    if not logarithmic:
        room = 0.08 * (max(everything) - min(everything)) or 0.1 * max(everything)
        ends = (max(0.0, min(everything) - room), max(everything) + room)
    for i, (name, values) in enumerate(totals.items()):
        shares = [(n + 1) / len(values) for n in range(len(values))]
        colour = style.VARIANT_COLOURS[i % len(style.VARIANT_COLOURS)]
        runs = len(results.of(name))
        lost = f" of {runs}" if runs > len(values) else ""
        axes.step(
            [values[0], *values],
            [0, *shares],
            where="post",
            color=colour,
            lw=1.6,
            marker=MARKERS[i % len(MARKERS)],
            markersize=4.5,
            markevery=slice(1, None),
            label=f"{name}: n = {len(values)}{lost}, median {style.seconds(median(values))}",
        )
        rows += [[name, value, share] for value, share in zip(values, shares, strict=True)]
    if ends[0] < paper < ends[1]:
        axes.axvline(paper, color=QUIET, lw=1, ls=(0, (2, 2)))
        axes.text(paper, 1.04, f"the paper: {paper:g} s", ha="center", color=QUIET, size=8.5)
    _finish_cdf(axes, ends, logarithmic)
    return fig, rows


def _finish_cdf(axes: Axes, ends: tuple[float, float], logarithmic: bool) -> None:
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(*ends)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x:g} s" if x >= 1 else f"{x * 1e3:g} ms")
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y * 100:.0f} %"))
    axes.set_xlabel(
        "total time from the first message of the bootstrap to the Binding Acknowledgement"
    )
    axes.grid(color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.06), frameon=False, fontsize=8.5,
        handlelength=2.4, labelspacing=0.3, borderpad=0,
    )  # fmt: skip
