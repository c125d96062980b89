"""What handovers take: a figure and a table."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from testbed.analysis.compare import written
from testbed.analysis.samples import Summary, summarise
from testbed.base.phases import TOTAL
from testbed.base.words import several
from testbed.report import bars, style
from testbed.report.style import BLUE, FAINT, GREEN, INK, ORANGE, SKY
from testbed.results.folder import Results
from testbed.results.runs import Handover

Rows = list[tuple[str, ...]]
COLOURS = {"detection": SKY, "address": ORANGE, "access": BLUE, "binding": GREEN}
GAP = "gap"
"""Of the correspondent node's packets."""

WIDE, TALL, TOP, BOTTOM = 6.2, 0.42, 1.2, 0.6  # Inches.


def handovers(results: Results) -> dict[tuple[str, str], list[Handover]]:
    """Return the handovers of runs that succeeded, by variant and point as it is written."""
    found = {
        (name, written(point)): [
            h for run in results.at(point).succeeded(name) for h in run.handovers
        ]
        for name in results.variants
        for point in results.points
    }
    return {place: one for place, one in found.items() if one}


def _called(results: Results) -> dict[str, str]:
    return {
        "detection": "Detection",
        "address": "Address",
        "access": results.titles()["pana"],
        "binding": "BU/BA",
        TOTAL: "Total",
        GAP: "Gap",
    }


def _summaries(found: list[Handover]) -> dict[str, Summary]:
    samples = {part: [one.parts[part] for one in found] for part in COLOURS}
    samples[TOTAL] = [sum(one.parts.values()) for one in found]
    samples[GAP] = [one.gap for one in found if one.gap is not None]
    every = {part: summarise(sample) for part, sample in samples.items()}
    return {part: summary for part, summary in every.items() if summary}


def rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant: how many handovers, and the median of each part."""
    called = _called(results)
    shown: Rows = []
    for place, found in handovers(results).items():
        medians = _summaries(found)
        if not medians["access"].range[1]:
            del medians["access"]  # It is free.
        cells = [
            "\n".join(filter(None, style.parts(medians[part]))) if part in medians else "-"
            for part in called
        ]
        shown.append((*place[: 1 + bool(results.axes)], str(len(found)), *cells))
    return ["variant", *(["at"] if results.axes else []), "n", *called.values()], shown


def figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw each variant's median parts of a handover, and over them the gaps of the stream."""
    found = {", ".join(filter(None, place)): one for place, one in handovers(results).items()}
    medians = {name: _summaries(one) for name, one in found.items()}
    left = style.MARGIN + 0.15 + style.widest(found, 9)
    height = TOP + TALL * len(found) + BOTTOM
    counts = {len(one) for one in found.values()}
    low, high = min(counts), max(counts)
    number = several(high, "handover") if low == high else f"{low} to {high} handovers"
    each = "variant and point" if results.axes else "variant"
    fig = style.figure(
        left + WIDE + style.MARGIN,
        height,
        "Where the time of a handover goes",
        f"Experiment {results.experiment}: medians of {number} per {each}; dots: for how long the"
        " correspondent node got no answer",
    )
    called = _called(results)
    bars.legend(fig, style.MARGIN, 0.88, COLOURS, COLOURS, called)
    width = fig.get_figwidth()
    place = (left / width, BOTTOM / height, WIDE / width, TALL * len(found) / height)
    axes = fig.add_axes(place)
    gaps = {name: [h.gap for h in one if h.gap is not None] for name, one in found.items()}
    longest = [max([*gaps[name], sum(_lengths(medians[name]).values())]) for name in found]
    axes.set_xlim(0, 1.04 * max(longest) or 1.0)
    axes.set_ylim(len(found) - 0.4, -0.5)
    data: list[list[Any]] = [["variant", "part", "median_seconds", "low", "high", "n"]]
    for row, name in enumerate(found):
        bars.stack(axes, row, _lengths(medians[name]), 0.5, colours=COLOURS)
        axes.plot(
            gaps[name], [row + 0.36] * len(gaps[name]), "o", ms=3.2, mfc="none", mec=INK, mew=0.7
        )
        for part, summary in medians[name].items():
            ends = summary.ci95 or summary.range
            data.append([name, part, summary.median, *ends, summary.n])
    axes.set_yticks(range(len(found)), list(found), size=9, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda x, _: style.seconds(x) if x else "0")
    axes.grid(axis="x", color=FAINT, lw=0.6)
    axes.set_axisbelow(True)
    return fig, data


def _lengths(medians: dict[str, Summary]) -> dict[str, float]:
    return {part: medians[part].median for part in COLOURS}
