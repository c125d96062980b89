"""The figures of sweeps and of approaches side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from testbed.analysis.compare import written
from testbed.analysis.fits import Counted, Estimate, counted, delay_path, fits, one_way, swept_links
from testbed.analysis.stats import phase_summaries
from testbed.base.phases import PHASES, TOTAL
from testbed.base.words import several
from testbed.report import bars, overlays, style
from testbed.report.style import FAINT, INK, QUIET, spread
from testbed.results import outcomes
from testbed.results.folder import Results

MARKERS = "os^Dv*P"
BAR = 0.6
WIDE = 7.0  # Inches of a bar as long as the axis.
SIZE = 8.5
MAX_LINKS = 3


def _look(i: int) -> dict[str, Any]:
    colour = style.VARIANT_COLOURS[i % len(style.VARIANT_COLOURS)]
    return {"color": colour, "marker": MARKERS[i % len(MARKERS)]}


def rtt_figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw the total against each swept link's round-trip time, all else at its least."""
    links = swept_links(results)[:MAX_LINKS]
    panel, left = 3.55, 0.75
    gap = 0.65 + style.widest(results.variants, SIZE)
    height = 4.75
    good = several(sum(len(results.bootstrapped(v)) for v in results.variants), "successful run")
    fig = style.figure(
        left + len(links) * (panel + gap),
        height,
        "How a bootstrap grows with distance",
        f"Experiment {results.experiment}: {_WHAT}; {good}{_lab(results)}",
    )
    width = fig.get_figwidth()
    head = ["link", "variant", "rtt_seconds", "median_seconds", "fitted_seconds"]
    rows: list[list[Any]] = [[*head, "ci95_low", "ci95_high", "n"]]
    first: Axes | None = None
    for i, link in enumerate(links):
        place = ((left + i * (panel + gap)) / width, 0.62 / height, panel / width, 3.1 / height)
        axes = fig.add_axes(place, sharey=first)
        first = first or axes
        rows += _totals(axes, results, link)
    if first is not None:
        first.set_ylabel("total time")
        _label_ends(fig.axes)
    return fig, rows


_WHAT = "lines as fitted to all runs with 95 % bands, points are runs"


def _lab(results: Results) -> str:
    return f", {results.manifest.where}" if results.manifest else ""


def _totals(axes: Axes, results: Results, link: str) -> list[list[Any]]:
    path, axes_of = delay_path(link), results.axes
    rest = {name: values[0] for name, values in axes_of.items() if name != path}
    links = swept_links(results)
    rows: list[list[Any]] = []
    for i, name in enumerate(results.variants):
        fit = next((f for f in fits(results, name) if f.fixed.items() <= rest.items()), None)
        line: list[_Place] = []
        for value in axes_of[path]:
            runs = results.at({**rest, path: value}).bootstrapped(name)
            if not runs:
                continue
            totals = [(run.phases or {})[TOTAL] for run in runs]
            delays = {of: median(one_way(run, of) for run in runs) for of in links}
            line.append(
                _Place(2 * delays[link], median(totals), fit.total(delays) if fit else None)
            )
            rows.append([link, name, *line[-1].cells, len(runs)])
            axes.plot([line[-1].rtt] * len(runs), totals, ls="", ms=3.5, **_faint(i))
        _line(axes, line, i, name)
    axes.set_title(f"{link} link", loc="left", size=10, weight="bold", color=INK)
    axes.set_xlabel(f"round-trip time of the {link} link{_where(rest)}")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x * 1e3:g} ms"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g} s"))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    return rows


@dataclass(frozen=True, slots=True)
class _Place:
    """A variant's total at a round-trip time: the median of the runs, and as fitted to all."""

    rtt: float
    median: float
    fitted: Estimate | None

    @property
    def cells(self) -> list[Any]:
        fitted = [self.fitted.value, *self.fitted.ci95] if self.fitted else ["", "", ""]
        return [self.rtt, self.median, *fitted]


def _faint(i: int) -> dict[str, Any]:
    return _look(i) | {"alpha": 0.6, "mec": "none", "zorder": 2}


def _where(rest: Mapping[str, Any]) -> str:
    return f"\nwith {written(rest)}" if rest else ""


def _line(axes: Axes, line: Sequence[_Place], i: int, name: str) -> None:
    """Draw the fit with its band; of too few runs for one, a line through the medians."""
    if not line:
        return
    x, colour = [one.rtt for one in line], _look(i)["color"]
    y = [one.fitted.value if one.fitted else one.median for one in line]
    axes.plot(x, y, lw=1.4, color=colour, label=name, zorder=3)
    if all(one.fitted for one in line):
        low, high = zip(*(one.fitted.ci95 for one in line if one.fitted), strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)


def _label_ends(panels: Sequence[Axes]) -> None:
    """Name each line at its right end, the names apart from each other."""
    for axes in panels:
        lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
        lines.sort(key=lambda line: float(line.get_ydata()[-1]))  # type: ignore[index,arg-type]
        top, right = axes.get_ylim()[1], axes.get_xlim()[1]
        ends = [float(line.get_ydata()[-1]) / top for line in lines]  # type: ignore[index,arg-type]
        for line, end, place in zip(lines, ends, spread(ends, 0.062), strict=True):
            x = float(line.get_xdata()[-1]) / right  # type: ignore[index,arg-type]
            colour = line.get_color()
            axes.plot(
                [x, 1.03], [end, place], color=colour, lw=0.6, clip_on=False,
                transform=axes.transAxes, label="_",
            )  # fmt: skip
            axes.text(
                1.04, place, str(line.get_label()), color=INK, size=SIZE, va="center",
                transform=axes.transAxes,
            )  # fmt: skip


def round_trips_figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw each variant's round trips over each link: fitted with intervals, and counted."""
    links = swept_links(results)[:MAX_LINKS] or _crossed(results)[:MAX_LINKS]
    panel, gap, left = 3.6, 1.0, 0.35 + style.widest(results.variants, 9)
    body = 0.42 * len(results.variants) + 0.25
    width, height = left + len(links) * (panel + gap), 1.35 + body + 0.5
    fitted = bool(swept_links(results))
    how = "fitted from the totals, with 95 % intervals, and counted" if fitted else "counted"
    fig = style.figure(
        width,
        height,
        "Round trips of a bootstrap's critical path",
        f"Experiment {results.experiment}: {how}",
    )
    width = fig.get_figwidth()
    rows: list[list[Any]] = [["link", "variant", "fitted", "ci95_low", "ci95_high", "counted"]]
    for i, link in enumerate(links):
        place = ((left + i * (panel + gap)) / width, 0.5 / height, panel / width, body / height)
        axes = fig.add_axes(place)
        rows += _trips(axes, results, link, names=not i)
        axes.set_title(f"{link} link", loc="left", size=10, weight="bold", color=INK)
    marks = [
        Line2D([], [], marker="s", mfc="white", mec=INK, ms=8, ls="", label="counted in captures"),
        Line2D([], [], marker="o", color=INK, ms=4, lw=1.4, label="fitted"),
    ]
    fig.legend(
        handles=marks[: 2 if fitted else 1], loc="upper left", frameon=False, ncols=2, fontsize=8.5,
        bbox_to_anchor=(0.01, 1 - 0.62 / height), borderpad=0, handletextpad=0.5,
    )  # fmt: skip
    return fig, rows


def _crossed(results: Results) -> list[str]:
    """Return the links with round trips."""
    return [
        link
        for link in dict.fromkeys(
            name for run in results.runs if run.traffic for name in run.traffic.links
        )
        if any(
            (found := counted(results.bootstrapped(name), link)) and found.greatest
            for name in results.variants
        )
    ]


def _trips(axes: Axes, results: Results, link: str, *, names: bool) -> list[list[Any]]:
    rows: list[list[Any]] = []
    largest = 1.0
    for row, name in enumerate(results.variants):
        count = counted(results.bootstrapped(name), link)
        found = fits(results, name)
        estimate = found[0].round_trips.get(link) if len(found) == 1 else None
        _trip(axes, row, estimate, count, _look(row)["color"])
        ends = estimate.ci95 if estimate else ("", "")
        rows.append(
            [link, name, estimate.value if estimate else "", *ends, count.median if count else ""]
        )
        shown = [count.greatest if count else 0, estimate.ci95[1] if estimate else 0]
        largest = max(largest, *shown)
    axes.set_xlim(0, largest * 1.06)
    axes.set_ylim(len(results.variants) - 0.45, -0.6)
    axes.set_yticks(range(len(results.variants)), results.variants if names else [], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(axis="x", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    return rows


def _trip(
    axes: Axes, row: int, fitted: Estimate | None, count: Counted | None, colour: str
) -> None:
    text = []
    if count:
        axes.plot(count.median, row, "s", mfc="white", mec=colour, ms=10, mew=1.2, zorder=2)
        text.append(f"{count.median:g}")
    if fitted:
        axes.plot(fitted.ci95, [row, row], color=colour, lw=1.6, zorder=3)
        axes.plot(fitted.value, row, "o", color=colour, ms=4, zorder=4)
        text.insert(0, f"{fitted.value:.2f}")
    inside = axes.get_yaxis_transform()
    axes.text(1.02, row, " / ".join(text), va="center", size=8.5, color=QUIET, transform=inside)


def stacked_figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw each variant's median phases to one scale; of a sweep at its first and last point."""
    points = results.points
    shown = [points[0], points[-1]] if len(points) > 1 else points[:1]
    tall, gap = 0.36 * len(results.variants) + 0.2, 0.75
    top = 1.4 if points[0] else 1.15
    height = top + len(shown) * (tall + gap) - gap + 0.35
    there = [results.at(point) for point in shown]
    totals = [
        style.interval(found[TOTAL])
        for one in there
        for name in results.variants
        if (found := phase_summaries(one, name))
    ]
    within = {
        part.name
        for one in there
        for name in results.variants
        for part in overlays.overlays(one, name, phase_summaries(one, name))
    }
    left = style.MARGIN + 0.15 + style.widest(results.variants, 9)
    width = left + WIDE + 0.1 + style.widest(totals, 9) + style.MARGIN
    fig = style.figure(
        width,
        height,
        "Where the time goes, approach by approach",
        f"Experiment {results.experiment}: {style.sample(results)}{_ends(results)}{_lab(results)}",
    )
    width = fig.get_figwidth()
    explained, called = [*PHASES, *sorted(within)], results.titles()
    bars.legend(fig, style.MARGIN, 0.88, explained, called=called)
    rows: list[list[Any]] = [["at", "variant", "phase", "median_seconds", "n"]]
    for i, point in enumerate(shown):
        bottom = height - top - (i + 1) * tall - i * gap
        axes = fig.add_axes((left / width, bottom / height, WIDE / width, tall / height))
        rows += _bars(axes, there[i], written(point))
    return fig, rows


def _ends(results: Results) -> str:
    """Say what stands beside the medians that are shown."""
    found = [phase_summaries(results.at(p), n) for p in results.points for n in results.variants]
    kinds = {bool(one[TOTAL].ci95) for one in found if one and one[TOTAL].n > 1}
    words = {True: "[95 % intervals]", False: "(ranges: least to greatest)"}
    named = " or ".join(word for kind, word in words.items() if kind in kinds)
    return f" with {named}" if named else ""


def _bars(axes: Axes, results: Results, at: str) -> list[list[Any]]:
    rows: list[list[Any]] = []
    found = {name: phase_summaries(results, name) for name in results.variants}
    bootstraps = [sum(one[phase].median for phase in PHASES) for one in found.values() if one]
    ways = [sum(outcomes.way(results, name).values()) for name in found if not found[name]]
    longest = max([*bootstraps, *ways]) or 1.0
    axes.set_xlim(0, longest * 1.01)
    for row, (name, phases) in enumerate(found.items()):
        if not phases:
            bars.ended(axes, row, results, name, BAR)
            continue
        within = overlays.overlays(results, name, phases)
        lengths = {phase: phases[phase].median for phase in PHASES}
        end = bars.stack(axes, row, lengths, BAR, within=within)
        rows += [[at, name, phase, length, phases[phase].n] for phase, length in lengths.items()]
        rows += [[at, name, one.name, one.length, one.n] for one in within]
        rows.append([at, name, TOTAL, phases[TOTAL].median, phases[TOTAL].n])
        axes.annotate(
            style.interval(phases[TOTAL]), (end, row), (5, 0), textcoords="offset points",
            va="center", size=9, annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_yticks(range(len(found)), list(found), color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    unit, factor = ("s", 1.0) if longest >= 2 else ("ms", 1e3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x * factor:g} {unit}"))
    axes.grid(axis="x", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    if at:
        axes.set_title(at, loc="left", size=9.5, weight="bold", color=INK)
    return rows
