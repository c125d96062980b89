"""The figures of an experiment: phases against the paper, distribution, one run's messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress, product
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from testbed.analysis.fits import swept_links
from testbed.analysis.losses import samples
from testbed.analysis.samples import Summary
from testbed.analysis.stats import phase_summaries
from testbed.analysis.variants import variants
from testbed.base.jsonl import DataError
from testbed.base.phases import PHASES, TOTAL
from testbed.base.words import several
from testbed.report import (
    bars,
    costs,
    curves,
    fleets,
    graph_figure,
    handovers,
    interruptions,
    losses,
    moves,
    overlays,
    soaks,
    storms,
    style,
    throughput,
    timeline,
)
from testbed.report.style import FAINT, FIGURES, INK, PHASE_COLOURS, QUIET, SETTINGS, spread
from testbed.results import outcomes
from testbed.results.folder import Results

Drawn = tuple[Figure, list[list[Any]]]  # A figure and its data.

MARKERS = "os^Dv*P"
LABEL = 0.1  # The width of a label, as a share of the axis.
BAR = 0.52
WIDE = 8.3  # Inches of a bar as long as the axis.
TOTALS = 1.6  # Inches of them behind a bar: for its total, and how it compares.
SMALL = 8.5


def draw(results: Results) -> list[Path]:
    """Draw every figure that there is data for into figures/ of the folder; return the files.

    Those of before go first: none is left that shows other runs. Why one cannot be drawn is added
    to the results' warnings.
    """
    folder = results.folder / "figures"
    for stem, kind in product(FIGURES, (*style.FORMATS, "csv")):
        (folder / f"{stem}.{kind}").unlink(missing_ok=True)
    paths: list[Path] = []
    with mpl.rc_context(SETTINGS):
        for stem, make in _wanted(results).items():
            try:
                fig, data = make(results)
            except DataError as error:
                results.warnings.append(f"figure {stem}: {error}")
            else:
                if (tall := fig.get_figheight()) > style.TALLEST:
                    results.warnings.append(
                        f"figure {stem}: not drawn, for it would be {tall:.0f} inches high with"
                        f" {several(len(results.variants), 'variant')}, and at most"
                        f" {style.TALLEST:g} can be looked at: the tables have it all; run some"
                        " alone, with --variant"
                    )
                    continue
                paths += style.save(fig, folder, stem, data)
    return paths


def _wanted(results: Results) -> dict[str, Callable[[Results], Drawn]]:
    """Return what to draw: the times of bootstraps, what runs cost, and last the network."""
    wanted = _of_times(results)
    if any(run.costs for run in results.runs):
        wanted["costs"] = costs.costs_figure
    if results.spec and results.runs:
        wanted["topology"] = graph_figure.results_figure
    return wanted


def _of_times(results: Results) -> dict[str, Callable[[Results], Drawn]]:
    """Return what to draw: a sweep is about distance, approaches are set side by side."""
    wanted: dict[str, Callable[[Results], Drawn]] = {}
    if any(run.crowd and run.crowd.curve for run in results.runs):
        wanted["storm"] = storms.figure
    if any(run.held for run in results.runs):
        wanted["soak"] = soaks.figure
    if any(run.handovers for run in results.runs):
        wanted["handovers"] = handovers.figure
    if interruptions.has_any(results):
        wanted["interruptions"] = interruptions.figure
    if any(run.throughput for run in results.runs):
        wanted["throughput"] = throughput.figure
    if not any(run.phases for run in results.runs):
        return wanted
    bootstrapped = any(results.bootstrapped(name) for name in results.variants)
    if not results.axes:
        wanted["phases"] = phases_figure
    if not bootstrapped:
        return wanted
    more = max(len(results.bootstrapped(name)) for name in results.variants) > 1
    if more and not results.axes and not results.of_many:  # Fleets have a figure of their own.
        wanted["cdf"] = cdf_figure
    if swept_links(results):
        wanted["rtt"] = curves.rtt_figure
    several = len({one.approach for one in variants([results])}) > 1
    if samples(results):
        wanted["loss"] = losses.figure
    if results.axes or several:
        wanted["approaches"] = curves.stacked_figure
        if any(run.traffic for run in results.runs):
            wanted["round_trips"] = curves.round_trips_figure
    if any(run.members for run in results.runs):
        wanted["fleet_times"] = fleets.distribution_figure
        if fleets.grow(results):
            wanted["fleet_growth"] = fleets.growth_figure
        if moves.has_moves(results):
            wanted["fleet_moves"] = moves.figure
        return wanted
    if any(run.crowd for run in results.runs):
        return wanted
    return wanted | {"timeline": timeline.timeline_figure}


def phases_figure(results: Results) -> Drawn:
    """Draw each variant's median phases, to one scale and each to its own.

    The paper's are beside them, unless there are many mobile nodes.
    Of a variant without a bootstrap there are the phases that its runs went through, and how they
    ended.
    """
    found = {name: phase_summaries(results, name) for name in results.variants}
    within = {name: overlays.overlays(results, name, phases) for name, phases in found.items()}
    shown = {name: phases for name, phases in found.items() if phases}
    totals = {name: _summed_up(results, name, phases) for name, phases in shown.items()}
    names = (*_paper_row(results), *found)
    left = style.MARGIN + 0.15 + max(style.widest(names, 9), style.widest(totals.values(), 7.5))
    named = [one.name for several in within.values() for one in several]
    unattributed = [] if results.of_many else [bars.UNATTRIBUTED]
    explained = [*PHASES, *unattributed, *sorted(set(named))]
    called = results.titles(paper=not results.of_many)
    wanted = 2 * style.MARGIN + bars.legend_width(explained, called)
    width = max(left + WIDE + style.MARGIN, wanted)
    top, scale_height, own_height, bottom = 1.1, 0.1 + 0.42 * len(names), 1.02, 0.3
    gap = 0.6
    height = top + scale_height + gap + own_height * len(shown) + bottom * bool(shown)
    fig = style.figure(width, height, "Where the time of a bootstrap goes", _subtitle(results))
    bars.legend(fig, style.MARGIN, 0.88, explained, called=called)

    def place(from_top: float, tall: float) -> Axes:
        across = (left / fig.get_figwidth(), WIDE / fig.get_figwidth())
        return fig.add_axes((across[0], 1 - (from_top + tall) / height, across[1], tall / height))

    _to_one_scale(place(top, scale_height), results, found, within)
    if not shown:
        return fig, _phases_data(results, found, within)
    start = top + scale_height + gap
    x = style.MARGIN / fig.get_figwidth()
    fig.text(
        x, 1 - (start - 0.02) / height, "Each variant at its own scale", weight="bold", size=10
    )
    for row, (name, phases) in enumerate(shown.items()):
        axes = place(start + row * own_height + 0.5, own_height - 0.76)
        _to_own_scale(axes, name, phases, within[name], totals[name], results.titles(name))
    fig.text(
        x,
        0.1 / height,
        "Bars add up the medians of the phases; totals are medians of the totals, with their 95 %"
        " intervals [ ] or, of few runs, their ranges ( ).",
        size=7.5,
        color=QUIET,
    )
    return fig, _phases_data(results, found, within)


def _summed_up(results: Results, name: str, phases: Mapping[str, Summary]) -> str:
    return ", ".join(filter(None, [style.interval(phases[TOTAL]), results.warmth(name)]))


def _subtitle(results: Results) -> str:
    lab = f", {results.manifest.where}" if results.manifest else ""
    ours = f"{style.sample(results)}{lab}"
    paper = "" if results.of_many else ". The paper: averages on three 1 GHz hosts."
    return f"Experiment {results.experiment}: {ours}{paper}"


def _paper_row(results: Results) -> list[str]:
    return [] if results.of_many else ["the paper"]


Within = Mapping[str, Sequence[overlays.Overlay]]


def _to_one_scale(
    axes: Axes, results: Results, found: Mapping[str, Mapping[str, Summary]], within: Within
) -> None:
    paper = results.paper.seconds
    extra = results.paper.unattributed
    ways = [sum(outcomes.way(results, name).values()) for name in found if not found[name]]
    beside = _paper_row(results)
    papers = [paper[TOTAL]] if beside else []
    longest = max([*papers, *(p[TOTAL].median for p in found.values() if p), *ways])
    whole = longest * WIDE / (WIDE - TOTALS) or 1.0
    axes.set_xlim(0, whole)
    if beside:
        attributed = bars.stack(axes, 0, paper, BAR, write=lambda value: f"{value:g} s")
        axes.barh(0, extra, BAR, attributed, color="white", edgecolor=QUIET, hatch="/////", lw=0.7)
        _total(axes, 0, attributed + extra, f"{paper[TOTAL]:g} s", "as stated")
    for row, (name, phases) in enumerate(found.items(), len(beside)):
        if not phases:
            bars.ended(axes, row, results, name, BAR)
            continue
        lengths = {phase: phases[phase].median for phase in PHASES}
        end = bars.stack(axes, row, lengths, BAR, within=within[name])
        median = phases[TOTAL].median
        note = style.against_paper(median, paper[TOTAL]) if beside else ""
        _total(axes, row, end, style.seconds(median), note)
    rows = [*beside, *found]
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), rows, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} s"))
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= longest * 1.02])
    axes.grid(axis="x", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)


def _total(axes: Axes, row: float, end: float, total: str, note: str) -> None:
    written = axes.annotate(
        total, (end, row), (5, 0), textcoords="offset points", va="center", weight="bold", size=10
    )
    axes.annotate(
        note, (1, 0.5), (6, 0), xycoords=written, textcoords="offset points", va="center",
        color=QUIET, size=SMALL,
    )  # fmt: skip


def _to_own_scale(
    axes: Axes,
    name: str,
    phases: Mapping[str, Summary],
    within: Sequence[overlays.Overlay],
    total: str,
    called: Mapping[str, str],
) -> None:
    lengths = [phases[phase].median for phase in PHASES]
    whole = sum(lengths) or 1.0
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
        text = f"{called[name_of]}\n{bold}"
        axes.text(label, 1.55, text, ha="center", va="bottom", size=8, linespacing=1.25, **inside)
        axes.plot([middle, label], [1.04, 1.5], color=QUIET, lw=0.6, clip_on=False, **inside)
    axes.set_xlim(0, whole)
    axes.set_ylim(-0.5, 0.5)
    axes.text(-0.012, 1.0, name, ha="right", va="top", **inside)
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
    if not results.of_many:
        for name, value in results.paper.seconds.items():
            rows.append(["paper", name, value, value, "", "", ""])
        rows.append(["paper", "unattributed", results.paper.unattributed, "", "", "", ""])
    for variant, phases in found.items():
        for name, one in phases.items():
            ends = one.ci95 or ("", "")
            rows.append([variant, name, one.median, one.mean, *ends, one.n])
        rows += [[variant, one.name, one.length, "", "", "", one.n] for one in within[variant]]
        if not phases:  # As far as its runs went.
            n, way = len(results.of(variant)), outcomes.way(results, variant)
            rows += [[variant, name, length, "", "", "", n] for name, length in way.items()]
    return rows


def cdf_figure(results: Results) -> Drawn:
    """Draw the share of successful runs that took at most a time, one step per run."""
    totals = {name: sorted(results.values(name, TOTAL)) for name in results.variants}
    totals = {name: values for name, values in totals.items() if values}
    rows: list[list[Any]] = [["variant", "total_seconds", "share"]]
    legend = 0.21 * (1 + len(totals))
    height = 4.35 + legend
    labels = {name: _label(results, name, values) for name, values in totals.items()}
    width = max(8.0, style.widest(labels.values(), SMALL) + 1.5)
    fig = style.figure(
        width,
        height,
        "How long a bootstrap takes",
        f"Experiment {results.experiment}: share of the bootstraps done within a time",
    )
    axes = fig.add_axes((0.085, 0.55 / height, 0.89, 3.0 / height))
    paper = results.paper.total
    everything = [value for values in totals.values() for value in values]
    logarithmic = max(everything) > style.LOG_FROM * min(everything) > 0
    ends = (min(everything) / 1.6, max(*everything, paper) * 1.6)
    if not logarithmic:
        room = 0.08 * (max(everything) - min(everything)) or 0.1 * max(everything)
        ends = (max(0.0, min(everything) - room), max(everything) + room or 1.0)
    for i, (name, values) in enumerate(totals.items()):
        shares = [(n + 1) / len(values) for n in range(len(values))]
        colour = style.VARIANT_COLOURS[i % len(style.VARIANT_COLOURS)]
        axes.step(
            [values[0], *values],
            [0, *shares],
            where="post",
            color=colour,
            lw=1.6,
            marker=MARKERS[i % len(MARKERS)],
            markersize=4.5,
            markevery=slice(1, None),
            label=labels[name],
        )
        rows += [[name, value, share] for value, share in zip(values, shares, strict=True)]
    if ends[0] < paper < ends[1]:
        label = f"the paper: {paper:g} s"
        axes.axvline(paper, color=QUIET, lw=1, ls=(0, (2, 2)), label=label)
    _finish_cdf(axes, ends, logarithmic)
    return fig, rows


def _label(results: Results, name: str, totals: Sequence[float]) -> str:
    runs = len(results.of(name))
    lost = f" of {runs}" if runs > len(totals) else ""
    return f"{name}: n = {len(totals)}{lost}, median {style.seconds(median(totals))}"


def _finish_cdf(axes: Axes, ends: tuple[float, float], logarithmic: bool) -> None:
    if logarithmic:
        style.log_times(axes)
    axes.set_xlim(*ends)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(style.time))
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
