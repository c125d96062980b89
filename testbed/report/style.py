"""How the figures look, and how they and times are written."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from testbed.analysis.samples import Summary
from testbed.base.files import write_csv
from testbed.results.folder import Results

# The colours of Okabe and Ito, told apart with any kind of colour vision; waiting between two
# protocols is lighter than the protocols.
BLUE, SKY, ORANGE, YELLOW = "#0072B2", "#56B4E9", "#E69F00", "#F0E442"
GREEN, VERMILLION, PURPLE, BLACK = "#009E73", "#D55E00", "#CC79A7", "#000000"
PHASE_COLOURS = {
    "pana": BLUE,
    "pana_to_ike": SKY,
    "ike": ORANGE,
    "ike_to_binding": YELLOW,
    "binding": GREEN,
}
VARIANT_COLOURS = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, BLACK)
INK, QUIET, FAINT = "#222222", "#666666", "#D0D0D0"
"""Text is in the first two: most colours of bars and lines are too faint for it on white."""
ON_COLOUR = {BLUE: "white"} | dict.fromkeys(
    (SKY, ORANGE, YELLOW, GREEN, VERMILLION, PURPLE, FAINT), "black"
)
FONT = "DejaVu Sans"
MARGIN = 0.2  # Inches to the left and right of all text.
HEADING = 14.0, 9.0  # Sizes of title and subtitle.
LOG_FROM = 30.0  # An axis of times is logarithmic if the longest is so many times the shortest.

FIGURES = {
    "rtt": "Total time against the round-trip time of each link",
    "loss": "Success and total time against what goes wrong on links",
    "approaches": "Phases of the approaches, of a sweep at its first and its last point",
    "round_trips": "Round trips of the critical path, as fitted and as counted",
    "fleet_times": "Share of many mobile nodes done with a phase within a time, by their number",
    "fleet_growth": "What a bootstrap costs against the number of mobile nodes",
    "fleet_moves": "Mobile nodes that have to leave their home agent: where they are, and how long",
    "storm": "Mobile nodes that are up against time",
    "soak": "What is held over many bootstraps in a row",
    "handovers": "Parts of a handover, and for how long nothing gets through",
    "interruptions": "A handover as the mobile node hears it: a stream, and TCP",
    "throughput": "What comes through over each path, in both directions",
    "phases": "Phases of each variant",
    "topology": "Hosts, their roles and programs, and the links between them",
    "timeline": "Every message of one run, with the phases shaded",
    "cdf": "Share of bootstraps done within a time",
    "costs": "What a run takes, by part",
}
"""Every figure, by the name of its files, and what it shows; in the order of the report."""

SETTINGS: Any = {
    "font.family": FONT,
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "hatch.linewidth": 0.7,
    "pdf.fonttype": 42,
    "svg.hashsalt": "mip6lab",
    "svg.fonttype": "none",  # Text stays text.
}
TALLEST = 30.0
"""Inches of a figure's height at most."""

FORMATS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 160},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}


def sample(results: Results) -> str:
    """Write of how many successful runs each median is."""
    each = {
        len(results.at(point).bootstrapped(name))
        for point in results.points
        for name in results.variants
    } - {0}
    if not each:
        return "phases as far as runs went"
    low, high = min(each), max(each)
    where = "per variant and point" if results.axes else "per variant"
    if high == 1:
        return f"median of 1 successful run {where}"
    return f"medians of {high if low == high else f'{low} to {high}'} successful runs {where}"


def seconds(value: float) -> str:
    """Write a time with three digits in seconds or milliseconds."""
    return f"{digits(value)} s" if abs(value) >= 0.9995 else f"{digits(value * 1e3)} ms"


def digits(value: float) -> str:
    """Write a number with three digits, zeros at the end too, and no more than it has before."""
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def parts(summary: Summary) -> tuple[str, str]:
    """Write a median and, in the same unit, its 95 % interval or else the range of its sample."""
    unit, factor = ("s", 1.0) if summary.median >= 0.9995 else ("ms", 1e3)
    ends = summary.ci95 or summary.range
    median, low, high = (digits(value * factor) for value in (summary.median, *ends))
    if summary.n == 1:
        return f"{median} {unit}", ""
    return f"{median} {unit}", f"[{low}, {high}]" if summary.ci95 else f"({low} to {high})"


def interval(summary: Summary) -> str:
    """Write a median with its 95 % interval, or else the range of its sample, on one line."""
    return " ".join(filter(None, parts(summary)))


def against_paper(value: float, paper: float) -> str:
    """Write how a time compares to the paper's, in words."""
    if value <= 0 or paper <= 0:
        return ""
    times = paper / value
    word = "faster" if times >= 1 else "slower"
    times = max(times, 1 / times)
    if times < 1.05:
        return "as long"
    return f"{times:.{0 if times >= 9.95 else 1}f}\N{MULTIPLICATION SIGN} {word}"


def figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """Return a figure of a size in inches, wider if its title or subtitle is, with only these."""
    sizes = (width_of(title, HEADING[0], "bold"), width_of(subtitle, HEADING[1]))
    with mpl.rc_context(SETTINGS):
        fig = Figure(figsize=(max(width, 2 * MARGIN + max(sizes)), height), facecolor="white")
    x = MARGIN / fig.get_figwidth()
    fig.text(x, 1 - 0.14 / height, title, size=HEADING[0], weight="bold", va="top")
    fig.text(x, 1 - 0.46 / height, subtitle, size=HEADING[1], color=QUIET, va="top")
    return fig


@lru_cache(4096)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Return the width in inches of a line of text in points."""
    font = FontProperties(family=FONT, size=size, weight=weight)
    return float(TextPath((0, 0), text, prop=font).get_extents().width) / 72 if text else 0.0


def widest(texts: Iterable[str], size: float) -> float:
    """Return the width in inches of the widest of some lines."""
    return max((width_of(text, size) for text in texts), default=0.0)


def shortened(text: str, room: float, size: float) -> str:
    """Return as much of a text as there is room for, in inches, with a sign of what is left out."""
    text = text.replace("$", r"\$")  # Else it would begin a formula.
    if width_of(text, size) <= room:
        return text

    def cut(length: int) -> str:
        return f"{text[:length].rstrip()}\N{HORIZONTAL ELLIPSIS}"

    lengths = range(1, len(text) + 1)
    return cut(bisect(lengths, room, key=lambda length: width_of(cut(length), size)))


def spread(places: Sequence[float], apart: float) -> list[float]:
    """Move places in 0..1, sorted, until neighbours are `apart`, and stay inside.

    Labels are `apart` wide, so that the first lies at least half of it from the edge.
    """
    low = apart / 2
    moved: list[float] = []
    for place in places:
        moved.append(max(place, low, moved[-1] + apart if moved else low))
    high = 1 - apart / 2
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], high)
        high = moved[i] - apart
    return moved


def time(value: float, _position: int = 0) -> str:
    """Write a time in seconds at an axis."""
    return f"{value:g} s" if value >= 1 or not value else f"{value * 1e3:g} ms"


def log_times(axes: Axes) -> None:
    """Have an axis of times be logarithmic, with as many ticks as tell them."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(time))
    axes.xaxis.set_minor_formatter(NullFormatter())


def save_as(fig: Figure, path: Path, kind: str) -> None:
    """Write a figure into a file of one kind; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(SETTINGS):
        fig.savefig(path, format=kind, **FORMATS[kind])


def svg(fig: Figure) -> str:
    """Return a figure as SVG."""
    written = StringIO()
    with mpl.rc_context(SETTINGS):
        fig.savefig(written, format="svg", **FORMATS["svg"])
    return written.getvalue()


def save(fig: Figure, folder: Path, stem: str, data: Iterable[Sequence[Any]]) -> list[Path]:
    """Write a figure as PNG, SVG and PDF, and the data beside as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(SETTINGS):
        for kind, options in FORMATS.items():
            path = folder / f"{stem}.{kind}"
            fig.savefig(path, **options)
            paths.append(path)
    return [*paths, write_csv(folder / f"{stem}.csv", data)]
