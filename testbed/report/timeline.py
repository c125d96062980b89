"""One run's ladder as a figure: rows are messages in order, a strip beside them is to scale."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.base.jsonl import DataError
from testbed.base.words import several
from testbed.report import style
from testbed.report.ladder import BOOTSTRAP, Ladder, Message, ladder, typical_run
from testbed.report.style import FAINT, INK, PHASE_COLOURS, QUIET
from testbed.results.folder import Results
from testbed.results.runs import Run

ROW = 0.2  # Inches per message.
LANE = 2.35  # Inches between hosts.
TIMES, PHASE, STRIP = 0.85, 2.3, 0.16  # Inches of the columns beside the hosts.
MAX_ROWS = 160
HIDDEN = frozenset({"TCP"})
"""Protocols without rows: acknowledgements say nothing of a bootstrap."""

COLOURS = {
    "PANA": style.BLUE,
    "802.1X": style.BLUE,
    "Diameter": "#8f3f78",
    "RADIUS": "#8f3f78",
    "IKEv1": "#a85b00",
    "IKEv2": "#a85b00",
    "MIPv6": "#00735a",
    "IPv6 tunnel": "#00735a",
    "DHCPv6": "#2f6f8f",
    "DNS": "#2f6f8f",
    "DHAAD": "#2f6f8f",
}


def timeline_figure(results: Results, run: Run | None = None) -> tuple[Figure, list[list[Any]]]:
    """Draw one run, by default the middle one of the fastest variant, from its captures.

    Raises DataError if there is no run with readable captures.
    """
    run = run or typical_run(results)
    found = ladder(results, run)
    if found is None:
        raise DataError(f"run {run.run} has kept no captures")
    shown = within(found)
    if not shown:
        raise DataError(f"run {run.run}: its captures show no bootstrap")
    rows: list[list[Any]] = [["seconds", "arrived", "sender", "receiver", "protocol", "message"]]
    rows += [
        [
            m.sent / 1e9,
            "" if m.arrived is None else m.arrived / 1e9,
            found.hosts[m.sender][0],
            found.hosts[m.receiver][0],
            found.protocols[m.protocol],
            m.label,
        ]
        for m in shown
    ]
    return _draw(results, found, shown[:MAX_ROWS]), rows


def within(one: Ladder) -> list[Message]:
    """Return a bootstrap's messages: from its first to the one that ends it."""
    return [
        m
        for m in one.messages
        if 0 <= m.sent <= one.end and one.protocols[m.protocol] not in HIDDEN
    ]


def _draw(results: Results, one: Ladder, shown: Sequence[Message]) -> Figure:
    body, across = ROW * (len(shown) + 1), LANE * max(1, len(one.hosts) - 1)
    height = 1.15 + body
    whole = one.phases[-1][2] if one.phases else one.end
    counted = sum(one.protocols[m.protocol] in BOOTSTRAP for m in shown if m.sent <= whole)
    what = "One bootstrap in" if one.ok and one.phases else "One run:"
    fig = style.figure(
        2 * style.MARGIN + TIMES + across + PHASE + STRIP + 0.3,
        height,
        f"{what} {several(counted, 'message')} and {style.seconds(whole / 1e9)}",
        f"Experiment {results.experiment}, variant {one.variant}, run {one.run};"
        " thick: the critical path",
    )
    width = fig.get_figwidth()
    axes = fig.add_axes((0, 0.1 / height, 1, (body + 0.3) / height))
    axes.set_xlim(0, width)
    axes.set_ylim(len(shown) + 0.2, -1.3)
    axes.axis("off")
    left = style.MARGIN + TIMES
    called = results.titles(one.variant)
    _bands(axes, one, shown, left, left + across, called)
    for i, (name, role) in enumerate(one.hosts):
        x = left + i * LANE
        axes.plot([x, x], [-0.6, len(shown) - 0.4], color=INK, lw=1.0, zorder=2)
        axes.text(x, -0.75, f"{name}: {role}", ha="center", va="bottom", weight="bold", size=8)
    for row, message in enumerate(shown):
        _message(axes, row, message, one.protocols[message.protocol], left)
    return fig


def _message(axes: Axes, row: int, message: Message, protocol: str, left: float) -> None:
    start, end = (left + lane * LANE for lane in (message.sender, message.receiver))
    lost = message.arrived is None
    colour = COLOURS.get(protocol, QUIET)
    axes.annotate(
        "",
        (start + 0.6 * (end - start) if lost else end, row),
        (start, row),
        arrowprops={
            "arrowstyle": "-[" if lost else "-|>",
            "color": colour,
            "lw": 1.9 if message.critical else 0.9,
            "ls": "-" if message.listened else "--",
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 3 if lost else 9,
        },
        zorder=3,
    )
    room = abs(end - start) or LANE
    text = style.shortened(f"{protocol} {message.label}", room - 0.2, 7)
    axes.text(
        (start + end) / 2, row, text, ha="center", va="center", size=7, color=INK, zorder=4,
        bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"},
    )  # fmt: skip
    time = f"{message.sent / 1e6:.2f} ms"
    axes.text(left - 0.12, row, time, ha="right", va="center", size=7, color=QUIET)


def _bands(
    axes: Axes,
    one: Ladder,
    shown: Sequence[Message],
    left: float,
    right: float,
    called: Mapping[str, str],
) -> None:
    """Shade the phases behind the messages, and lead each to its share of the strip."""
    times = [message.sent for message in shown]
    first, last = -0.45, len(shown) - 0.6
    strip = right + PHASE, right + PHASE + STRIP
    whole = one.phases[-1][2] if one.phases else 1
    for name, begin_at, end_at in one.phases:
        begin, end = bisect_left(times, begin_at) - 0.5, bisect_left(times, end_at) - 0.5
        colour, middle = PHASE_COLOURS[name], (begin + end) / 2
        axes.fill_between([left, right + 0.1], begin, end, color=colour, alpha=0.2, lw=0, zorder=0)
        axes.text(right + 0.25, middle, called[name], va="center", weight="bold", size=8.5)
        length = style.seconds((end_at - begin_at) / 1e9)
        axes.text(strip[0] - 0.35, middle, length, va="center", ha="right", size=8.5)
        low, high = (first + (last - first) * at / whole for at in (begin_at, end_at))
        axes.fill_between(strip, low, high, color=colour, lw=0, zorder=1)
        axes.fill(
            [strip[0] - 0.3, strip[0] - 0.02, strip[0] - 0.02, strip[0] - 0.3],
            [begin + 0.08, low, high, max(begin + 0.08, end - 0.08)],
            color=colour,
            alpha=0.2,
            lw=0,
            zorder=0,
        )
    if one.phases:
        axes.text(sum(strip) / 2, -0.75, "to scale", ha="center", va="bottom", size=7, color=QUIET)
        axes.plot([strip[0]] * 2, [first, last], color=FAINT, lw=0.5)
