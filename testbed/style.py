"""How the figures look, and how they and times are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from testbed.files import write_csv
from testbed.stats import Summary

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
ON_COLOUR = {BLUE: "white", SKY: "black", ORANGE: "black", YELLOW: "black", GREEN: "white"}
VARIANT_COLOURS = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, BLACK)
INK, QUIET, FAINT = "#222222", "#666666", "#D0D0D0"

SETTINGS: Any = {
    "font.family": "DejaVu Sans",
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
}
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 160},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}


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
    return (
        f"{times:.0f}\N{MULTIPLICATION SIGN} {word}"
        if times >= 9.95
        else (f"{times:.1f}\N{MULTIPLICATION SIGN} {word}")
    )


def faster(value: float, paper: float) -> str:
    """Write how many times faster than the paper's a time is; slower is below 1."""
    return f"{digits(paper / value)}\N{MULTIPLICATION SIGN}" if value > 0 else ""


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    with mpl.rc_context(SETTINGS):
        return Figure(figsize=(width, height), facecolor="white")


def heading(fig: Figure, title: str, subtitle: str) -> None:
    """Write title and subtitle at the top left."""
    height = fig.get_size_inches()[1]
    fig.text(0.02, 1 - 0.14 / height, title, size=14, weight="bold", va="top")
    fig.text(0.02, 1 - 0.46 / height, subtitle, size=9, color=QUIET, va="top")


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
