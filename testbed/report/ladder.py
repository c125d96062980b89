"""One run as a ladder: every message between the three hosts, its time, and its phase."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.base.jsonl import DataError
from testbed.base.phases import PHASES, TITLES, TOTAL
from testbed.base.words import several
from testbed.report import style
from testbed.report.style import FAINT, INK, PHASE_COLOURS, QUIET
from testbed.results.folder import Results, run_folder
from testbed.results.runs import Run
from testbed.trace.phases import Message, Timeline, from_capture, macs, messages
from topologies.model import HostRole

LANES = {HostRole.MOBILE_NODE: 0.0, HostRole.ACCESS_ROUTER: 1.0, HostRole.HOME_NETWORK: 2.0}
ROW = 0.235  # Inches per message.
MAX_ROWS = 120
STRIP = (3.32, 3.48)


def timeline_figure(results: Results, run: Run | None = None) -> tuple[Figure, list[list[Any]]]:
    """Draw one run, by default the middle one of the fastest variant, from its capture.

    Raises DataError if there is no run with a readable capture.
    """
    run = run or typical_run(results)
    path = capture_of(results, run)
    own = macs(results.topology(run.variant))
    timeline = from_capture(path, own)
    end = max(timeline.binding_end, timeline.first_packet or 0.0)
    shown = [message for message in messages(path, own) if message.time <= end]
    rows: list[list[Any]] = [["seconds", "sender", "receiver", "protocol", "message"]]
    rows += [[m.time, m.sender, m.receiver, m.protocol, m.label] for m in shown]
    return _draw(results, run, timeline, shown[:MAX_ROWS]), rows


def capture_of(results: Results, run: Run) -> Path:
    """Return the path of a run's capture at the mobile node."""
    host = results.topology(run.variant).host(HostRole.MOBILE_NODE)
    return run_folder(results.folder, run.run) / "captures" / f"{host}.pcapng"


def typical_run(results: Results) -> Run:
    """Return the run with a capture and the median total of the fastest variant that has one."""
    found: list[list[Run]] = []
    for name in results.variants:
        runs = [run for run in results.bootstrapped(name) if capture_of(results, run).exists()]
        if runs:
            found.append(sorted(runs, key=_total))
    if not found:
        raise DataError(f"{results.folder}: no successful run has a capture")
    fastest = min(found, key=lambda runs: _total(runs[len(runs) // 2]))
    return fastest[(len(fastest) - 1) // 2]


def _total(run: Run) -> float:
    return (run.phases or {}).get(TOTAL, float("inf"))


def _draw(results: Results, run: Run, timeline: Timeline, shown: Sequence[Message]) -> Figure:
    body = ROW * (len(shown) + 0.6)
    height = 0.85 + body + 0.15
    count = sum(message.time <= timeline.binding_end for message in shown)
    fig = style.figure(
        10.0,
        height,
        f"One bootstrap in {several(count, 'message')} and {style.seconds(timeline.binding_end)}",
        f"Experiment {results.experiment}, variant {run.variant}, run {run.run}, captured at the"
        " mobile node. Rows are messages in order; the strip on the right is to scale.",
    )
    axes = fig.add_axes((0.02, 0.15 / height, 0.96, body / height))
    axes.set_xlim(-0.72, 3.62)
    axes.set_ylim(len(shown) - 0.3, -0.9)
    axes.axis("off")
    _bands(axes, timeline, shown)
    for name, x in LANES.items():
        axes.plot([x, x], [-0.6, len(shown) - 0.4], color=INK, lw=1.1, zorder=2)
        axes.annotate(
            name, (x, -0.6), (0, 5), textcoords="offset points", ha="center", weight="bold"
        )
    for row, message in enumerate(shown):
        _message(axes, row, message)
    return fig


def _message(axes: Axes, row: int, message: Message) -> None:
    start, end = LANES[message.sender], LANES[message.receiver]
    axes.annotate(
        "",
        (end, row),
        (start, row),
        arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.0, "shrinkA": 0, "shrinkB": 0},
        zorder=3,
    )
    # A label across the middle lane would be crossed by its line: keep to the first gap.
    axes.text(
        0.5, row, message.label, ha="center", va="center", size=7.5, zorder=4,
        bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"},
    )  # fmt: skip
    time = f"{message.time * 1e3:.1f} ms"
    axes.text(-0.06, row, time, ha="right", va="center", size=7.5, color=QUIET)


def _bands(axes: Axes, timeline: Timeline, shown: Sequence[Message]) -> None:
    """Shade the phases behind the messages, and lead each to its share of the strip."""
    times = [message.time for message in shown]
    first, last = -0.45, len(shown) - 0.6
    marks = (0.0, *timeline.marks)
    lengths = timeline.phases
    for i, name in enumerate(PHASES):
        if not lengths[name]:
            continue  # There is no PANA, or nothing between PANA and IKE.
        begin, end = (bisect_left(times, mark - 1e-9) for mark in marks[i : i + 2])
        colour = PHASE_COLOURS[name]
        axes.fill_between(
            [LANES[HostRole.MOBILE_NODE], 2.12],
            begin,
            end,
            color=colour,
            alpha=0.22,
            lw=0,
            zorder=0,
        )
        axes.plot([2.12, 2.12], [begin + 0.08, end - 0.08], color=colour, lw=4, zorder=1)
        axes.text(2.2, (begin + end) / 2 - 0.02, TITLES[name], va="center", weight="bold", size=9)
        axes.text(
            3.0,
            (begin + end) / 2 - 0.02,
            style.seconds(lengths[name]),
            va="center",
            ha="right",
            size=9,
        )
        if name == "pana":
            note = "EAP to the home AAA server\nis beyond this link"
            middle = (begin + end) / 2
            axes.text(1.5, middle, note, ha="center", va="center", size=7.5, style="italic")
        low, high = (
            first + (last - first) * mark / timeline.binding_end for mark in marks[i : i + 2]
        )
        axes.fill_between(STRIP, low, high, color=colour, lw=0, zorder=1)
        axes.fill(
            [3.04, STRIP[0] - 0.02, STRIP[0] - 0.02, 3.04],
            [begin + 0.08, low, high, end - 0.08],
            color=colour,
            alpha=0.22,
            lw=0,
            zorder=0,
        )
    axes.text(sum(STRIP) / 2, -0.6, "to scale", ha="center", va="bottom", size=8, color=QUIET)
    axes.plot([STRIP[0]] * 2, [first, last], color=FAINT, lw=0.5)
