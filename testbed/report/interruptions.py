"""A handover as the mobile node hears it: a stream at a constant rate, and TCP's payload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.base.jsonl import DataError
from testbed.base.words import several
from testbed.experiment.throughput import PORT
from testbed.report import style
from testbed.report.style import BLUE, FAINT, INK, QUIET, SKY, VERMILLION
from testbed.results.folder import Results, run_folder
from testbed.results.runs import Run
from testbed.trace.frames import read_frames
from testbed.trace.interruptions import Heard, delivered, gap, hear
from topologies.model import HostRole

WIDE, TALL, ABOVE, LEFT, TOP, BOTTOM = 7.4, 1.5, 0.5, 0.75, 0.75, 0.5  # Inches.
BEFORE, AFTER = 0.15, 0.35  # s that are shown around what is interrupted.
MS = 1_000_000
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Interruption:
    """One movement: for how long the mobile node heard nothing of the one and of the other."""

    run: int
    heard: Heard
    stream: Span
    tcp: Span

    @property
    def lengths(self) -> tuple[float, float]:
        """Both in seconds."""
        return tuple((end - begin) / 1e9 for begin, end in (self.stream, self.tcp))  # type: ignore[return-value]


def has_any(results: Results) -> bool:
    """Return whether anything was transferred while mobile nodes moved."""
    return any(_may_have(run) for run in results.runs)


def _may_have(run: Run) -> bool:
    return bool(run.handovers) and any(one.protocol == "tcp" for one in run.throughput)


def interruptions(results: Results, variant: str) -> Iterator[Interruption]:
    """Yield what the captures of a variant's mobile nodes show; DataError if they are not there."""
    host = results.topology(variant).host(HostRole.MOBILE_NODE)
    for run in filter(_may_have, results.succeeded(variant)):
        capture = run_folder(results.folder, run.run) / "captures" / f"{host}.pcapng"
        heard = hear(read_frames(capture), PORT)
        progress = [time for time, _ in delivered(heard.segments)]
        for movement in heard.movements:
            stream, tcp = gap(heard.echoes, movement), gap(progress, movement)
            if stream and tcp:
                yield Interruption(run.run, heard, stream, tcp)


def figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw the middle one of each variant's interruptions, by how long TCP was interrupted."""
    found = {name: list(interruptions(results, name)) for name in results.variants}
    found = {name: sorted(one, key=lambda i: i.lengths[1]) for name, one in found.items() if one}
    if not found:
        raise DataError("no capture shows a transfer that went on after a movement")
    height = TOP + (ABOVE + TALL) * len(found) + BOTTOM
    fig = style.figure(
        LEFT + WIDE + style.MARGIN,
        height,
        "A handover as the mobile node hears it",
        f"Experiment {results.experiment}: ticks: a packet every 20 ms; line: what TCP could"
        " deliver; dots: its segments",
    )
    width = fig.get_figwidth()
    data: list[list[Any]] = [["variant", "run", "stream_seconds", "tcp_seconds"]]
    longest = max(one[len(one) // 2].lengths[1] for one in found.values())
    longest = max(longest, *(one[len(one) // 2].lengths[0] for one in found.values()))
    for row, (name, one) in enumerate(found.items()):
        top = TOP + (ABOVE + TALL) * row + ABOVE
        stream, tcp = (median(i.lengths[n] for i in one) for n in (0, 1))
        said = (
            f"medians of {several(len(one), 'handover')}: the stream {style.seconds(stream)},"
            f" TCP {style.seconds(tcp)}"
        )
        x = LEFT / width
        fig.text(x, 1 - (top - 0.12) / height, name, weight="bold", size=10)
        fig.text(x + 1.6 / width, 1 - (top - 0.12) / height, said, size=8.5, color=QUIET)
        place = (x, 1 - (top + TALL) / height, WIDE / width, TALL / height)
        axes = fig.add_axes(place)
        _draw(axes, one[len(one) // 2], longest)
        axes.tick_params(labelbottom=row == len(found) - 1)
        data += [[name, i.run, *i.lengths] for i in one]
    axes.set_xlabel("ms since the last packet before the handover")
    return fig, data


def _draw(axes: Axes, one: Interruption, longest: float) -> None:
    zero = one.stream[0]
    low, high = -BEFORE * 1e3, (longest + AFTER) * 1e3

    def within(times: list[int]) -> list[int]:
        return [i for i, time in enumerate(times) if low <= (time - zero) / MS <= high]

    def kilo(octets: int) -> float:
        return (octets - base) / 1e3

    progress = delivered(one.heard.segments)
    shown = [progress[i] for i in within([time for time, _ in progress])]
    base = shown[0][1]
    axes.step(
        [(time - zero) / MS for time, _ in shown], [kilo(end) for _, end in shown], where="post",
        color=BLUE, lw=1.4,
    )  # fmt: skip
    segments = [one.heard.segments[i] for i in within([s.time for s in one.heard.segments])]
    axes.plot(
        [(s.time - zero) / MS for s in segments], [kilo(s.end) for s in segments], ".", color=SKY,
        ms=3.5, zorder=1,
    )  # fmt: skip
    most = kilo(max([shown[-1][1], *(s.end for s in segments)]))
    echoes = [(one.heard.echoes[i] - zero) / MS for i in within(one.heard.echoes)]
    axes.plot(echoes, [-0.14 * most] * len(echoes), "|", color=INK, ms=7)
    for span, colour, called, level in (
        (one.stream, VERMILLION, "stream", 0.94),
        (one.tcp, BLUE, "TCP", 0.74),
    ):
        begin, end = ((time - zero) / MS for time in span)
        y = level * most
        axes.annotate(
            "", (end, y), (begin, y), arrowprops={"arrowstyle": "|-|,widthA=0.25,widthB=0.25",
            "color": colour, "lw": 1.2, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        text = f"{called} {style.seconds((end - begin) / 1e3)}"
        axes.text(begin + 4, y + 0.02 * most, text, size=8, color=colour, va="bottom")
    axes.set_xlim(low, high)
    axes.set_ylim(-0.25 * most, 1.1 * most)
    axes.set_ylabel("kB of payload", size=8)
    axes.grid(axis="x", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
