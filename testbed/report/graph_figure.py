"""Graphs of networks drawn: hosts in boxes, in columns from the access network to the home."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from testbed.base.jsonl import DataError
from testbed.experiment.spec import Spec
from testbed.report import style
from testbed.report.graph import HEAD, Box, Graph, Wire, of_experiment
from testbed.report.style import BLUE, FAINT, GREEN, INK, QUIET, VERMILLION
from testbed.results.folder import Results
from topologies.model import HostRole

TITLE, SMALL, LINE = 9.0, 7.5, 0.15  # Sizes in points; inches from a line to the next.
PAD, BETWEEN, HEADING, TOP, LONGEST = 0.09, 0.3, 0.32, 0.85, 12.0  # Inches.
ELBOW = 0.12  # Inches from a box to where its link turns.
EDGES = {
    HostRole.MOBILE_NODE: BLUE,
    HostRole.ACCESS_STRANGER: VERMILLION,
    HostRole.CORE_STRANGER: VERMILLION,
    HostRole.HOME_STRANGER: VERMILLION,
    HostRole.HOME_NETWORK: GREEN,
    HostRole.HOME_AAA: GREEN,
    HostRole.HOME_AGENT: GREEN,
    HostRole.VISITED_HOME_AGENT: GREEN,
}
"""Of what colour a box is: who bootstraps, where that is decided, and who should not be there."""

Text = tuple[str, float, str, str]
"""A line with its size, weight and colour."""

Point = tuple[float, float]


def results_figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw the networks of the variants that have runs; DataError if the experiment is unknown."""
    spec = results.spec
    if spec is None:
        raise DataError("what was asked is not known")
    graphs = of_experiment(spec, [name for name in results.variants if name in spec.variants])
    rows = [row for graph in graphs for row in graph.rows()]
    return figure(graphs, *headings(spec)), [list(HEAD), *rows]


def headings(spec: Spec) -> tuple[str, str]:
    """Return title and subtitle of an experiment's graphs."""
    return f"Experiment {spec.experiment.name}", str(spec.document.get("title", ""))


def figure(graphs: Sequence[Graph], title: str, subtitle: str) -> Figure:
    """Draw graphs below each other, each below its heading if it has one."""
    plans = [_Plan(graph) for graph in graphs]
    above = [HEADING if graph.heading else 0.0 for graph in graphs]
    heading = max(style.width_of(graph.heading, TITLE, "bold") for graph in graphs)
    width = max(min(heading, LONGEST), *(plan.width for plan in plans)) + 2 * style.MARGIN
    height = TOP + sum(plan.height for plan in plans) + sum(above) + BETWEEN * len(plans)
    fig = style.figure(width, height, title, subtitle)
    width = fig.get_figwidth()
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    y = TOP
    for plan, room in zip(plans, above, strict=True):
        text = style.shortened(plan.graph.heading, width - 2 * style.MARGIN, TITLE + 1)
        axes.text(style.MARGIN, y, text, size=TITLE, weight="bold", va="top")
        plan.draw(axes, style.MARGIN, y + room)
        y += room + plan.height + BETWEEN
    return fig


def _lines(box: Box) -> list[Text]:
    addresses = [(f"{link}: {address}", SMALL, "normal", INK) for link, address in box.addresses]
    runs = [(f"runs {name}", SMALL, "normal", QUIET) for name in box.programs]
    head = (box.title, TITLE, "bold", INK), (str(box.host.role), SMALL, "bold", QUIET)
    return [*head, *addresses, *runs]


def _width(lines: Sequence[Text]) -> float:
    return max((style.width_of(text, size, weight) for text, size, weight, _ in lines), default=0)


class _Plan:
    """Where everything of a graph is, in inches from its upper left corner."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._lines = {box: _lines(box) for box in graph.boxes}
        columns = range(1 + max(box.column for box in graph.boxes))
        rows = range(1 + max(box.row for box in graph.boxes))
        widths = [
            max(_width(self._lines[box]) for box in graph.boxes if box.column == column) + 2 * PAD
            for column in columns
        ]
        gaps = [self._gap(column) for column in columns]
        heights = [
            max((self._height(box) for box in graph.boxes if box.row == row), default=0)
            for row in rows
        ]
        self._widths = widths
        self._x = [sum(widths[:i]) + sum(gaps[:i]) for i in columns]
        self._y = [sum(heights[:i]) + BETWEEN * i for i in rows]
        self._gaps = gaps
        self._heights = heights
        self.width = sum(widths) + sum(gaps)
        self.height = self._y[-1] + heights[-1]

    def _height(self, box: Box) -> float:
        return LINE * len(self._lines[box]) + 2 * PAD

    def _gap(self, column: int) -> float:
        """Return how much room is behind a column: the labels of the links there need it."""
        labels = [
            style.widest(wire.label, SMALL)
            for wire in self.graph.wires
            if self._gap_of(wire) == column
        ]
        return max(labels) + 0.2 + 3 * ELBOW if labels else 0.0

    @staticmethod
    def _gap_of(wire: Wire) -> int:
        """Return the column behind which a link's label and, of a bus, its wire are."""
        columns = sorted({box.column for box in wire.boxes})
        return columns[-2] if len(columns) > 1 else columns[0]

    def _middle(self, box: Box) -> float:
        return self._y[box.row] + self._heights[box.row] / 2

    def _port(self, box: Box, gap: int) -> Point:
        """Return where a link in the room behind a column touches a box."""
        right = self._x[box.column] + self._widths[box.column]
        return right if box.column <= gap else self._x[box.column], self._middle(box)

    def draw(self, axes: Axes, left: float, top: float) -> None:
        """Draw it with its corner at a point of the axes."""

        def at(point: Point) -> Point:
            return point[0] + left, point[1] + top

        for wire in self.graph.wires:
            self._draw_wire(axes, wire, at)
        for box, lines in self._lines.items():
            width, height = self._widths[box.column], self._height(box)
            x, y = at((self._x[box.column], self._middle(box) - height / 2))
            edge = EDGES.get(box.host.role, INK)
            axes.add_patch(
                FancyBboxPatch(
                    (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.05",
                    facecolor="white", edgecolor=edge, lw=1.3, zorder=3,
                )
            )  # fmt: skip
            for number, (text, size, weight, colour) in enumerate(lines):
                axes.text(
                    x + PAD, y + PAD + LINE * (number + 0.5), text.replace("$", r"\$"),
                    size=size, weight=weight, color=colour, va="center", zorder=4,
                )  # fmt: skip

    def _draw_wire(self, axes: Axes, wire: Wire, at: Any) -> None:
        gap = self._gap_of(wire)
        ends = [self._port(box, gap) for box in wire.boxes]
        middle = self._x[gap] + self._widths[gap] + self._gaps[gap] / 2
        line: dict[str, Any] = {"color": INK, "lw": 1.4, "zorder": 1, "solid_capstyle": "round"}
        if not wire.is_bus:
            upper, lower = sorted(ends, key=lambda end: end[1])
            turn = upper[0] + (ELBOW if upper[0] < lower[0] else -ELBOW)
            way = upper, (turn, upper[1]), (turn, lower[1]), lower
            axes.plot(*zip(*map(at, way), strict=True), **line)
            self._label(axes, wire, at((middle, lower[1])))
            return
        low, high = min(y for _, y in ends), max(y for _, y in ends)
        for x, y in ends:
            axes.plot(*zip(at((x, y)), at((middle, y)), strict=True), **line)
        axes.plot(*zip(at((middle, low)), at((middle, high)), strict=True), **{**line, "lw": 3})
        for box in wire.later:
            ends_there = at(self._port(box, gap)), at((middle, (low + high) / 2))
            axes.plot(*zip(*ends_there, strict=True), **{**line, "color": QUIET, "ls": (0, (4, 3))})
        self._label(axes, wire, at((middle, (low + high) / 2)))

    @staticmethod
    def _label(axes: Axes, wire: Wire, at: Point) -> None:
        """Write what a link is across it."""
        x, y = at
        first = y - LINE * len(wire.label) / 2
        room = style.widest(wire.label, SMALL) + 0.16
        axes.add_patch(
            FancyBboxPatch(
                (x - room / 2, first), room, LINE * len(wire.label),
                boxstyle="round,pad=0,rounding_size=0.04",
                facecolor="white", edgecolor=FAINT, lw=0.6, zorder=2,
            )
        )  # fmt: skip
        for number, text in enumerate(wire.label):
            axes.text(
                x, y + LINE * (number + 0.5 - len(wire.label) / 2), text, size=SMALL, ha="center",
                va="center", color=QUIET if number else INK, weight="normal" if number else "bold",
                zorder=2.5,
            )  # fmt: skip
