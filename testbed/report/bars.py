"""Bars of phases and other parts: their segments, what these show within, and the legend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from testbed.base.phases import TITLES
from testbed.report import overlays, style
from testbed.report.overlays import Overlay
from testbed.report.style import INK, ON_COLOUR, PHASE_COLOURS, QUIET
from testbed.results import outcomes
from testbed.results.folder import Results

UNATTRIBUTED = "unattributed"
SIZE = 8.5  # Of the text in bars and in the legend.
SWATCH, GAP = 0.11, 0.26  # Inches: of the legend's colours, and between its entries.
PAD = 0.06  # Inches that a length has at least around it in its segment.


def stack(
    axes: Axes,
    row: float,
    lengths: Mapping[str, float],
    tall: float,
    *,
    colours: Mapping[str, str] = PHASE_COLOURS,
    write: Callable[[float], str] = style.seconds,
    within: Sequence[Overlay] = (),
) -> float:
    """Draw a bar of what has colours, and return where it ends; the axes must have their limits.

    A segment says how long it is where that fits on its colour.
    """
    whole = axes.get_xlim()[1]
    per_unit = axes.get_position().width * axes.figure.get_figwidth() / whole  # type: ignore[union-attr]
    left = 0.0
    for name, colour in colours.items():
        length = lengths.get(name, 0.0)
        edge = 0.6 if length > 0.02 * whole else 0.0
        axes.barh(row, length, tall, left, color=colour, edgecolor="white", lw=edge)
        low, high = _uncovered(left, left + length, within)
        text = write(length)
        if style.width_of(text, SIZE) + PAD <= (high - low) * per_unit:
            axes.text(
                (low + high) / 2, row, text, ha="center", va="center", color=ON_COLOUR[colour],
                size=SIZE,
            )  # fmt: skip
        left += length
    overlays.draw(axes, row, tall, within)
    return left


def ended(axes: Axes, row: float, results: Results, variant: str, tall: float) -> None:
    """Draw the phases that runs without a bootstrap went through, and write how they ended."""
    end = stack(axes, row, outcomes.way(results, variant), tall)
    wide = axes.get_position().width * axes.figure.get_figwidth()  # type: ignore[union-attr]
    room = wide * (1 - end / axes.get_xlim()[1]) - 2 * PAD
    text = style.shortened(outcomes.verdict(results, variant), room, SIZE)
    axes.annotate(
        text, (end, row), (5, 0), textcoords="offset points", va="center", size=SIZE, color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
    )  # fmt: skip


def _uncovered(low: float, high: float, within: Iterable[Overlay]) -> tuple[float, float]:
    """Return the part of a segment that nothing is drawn over."""
    for one in within:
        start, end = one.start, one.start + one.length
        if start < high and end > low:
            low, high = (end, high) if start <= low else (low, start)
    return low, high


def _look(name: str, colours: Mapping[str, str]) -> Mapping[str, Any]:
    if name in colours:
        return {"facecolor": colours[name], "edgecolor": QUIET, "lw": 0.3}
    if name == UNATTRIBUTED:
        return {"facecolor": "white", "edgecolor": QUIET, "hatch": "/////", "lw": 0.7}
    return overlays.look(name)


def _title(name: str, called: Mapping[str, str]) -> str:
    return overlays.LEGEND.get(name) or called.get(name, name)


def legend_width(names: Iterable[str], called: Mapping[str, str] = TITLES) -> float:
    """Return how many inches a legend takes."""
    return sum(1.5 * SWATCH + style.width_of(_title(name, called), SIZE) + GAP for name in names)


def legend(
    fig: Figure,
    x: float,
    from_top: float,
    names: Iterable[str],
    colours: Mapping[str, str] = PHASE_COLOURS,
    called: Mapping[str, str] = TITLES,
) -> None:
    """Explain segments, as phases are `called`, and what is within, in one line; inches."""
    width, height = fig.get_size_inches()
    y = 1 - from_top / height
    for name in names:
        corner = (x / width, y - SWATCH / height / 2)
        fig.add_artist(Rectangle(corner, SWATCH / width, SWATCH / height, **_look(name, colours)))
        fig.text(
            (x + 1.5 * SWATCH) / width, y, _title(name, called), size=SIZE, va="center", color=INK
        )
        x += legend_width([name], called)
