"""What came through over the paths to mobile nodes: a table and a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.analysis.compare import written
from testbed.analysis.samples import Summary, summarise
from testbed.experiment.throughput import WAYS
from testbed.report import style
from testbed.report.style import BLUE, FAINT, INK, QUIET, SKY
from testbed.results.folder import Results
from testbed.results.runs import CARE_OF, HOME, Run, Throughput, shares

Rows = list[tuple[str, ...]]
Kind = tuple[str, str]
KINDS: tuple[Kind, ...] = tuple((protocol, way) for protocol in ("tcp", "udp") for way in WAYS)
COLOURS = {CARE_OF: SKY, HOME: BLUE}
"""Of the paths, in the order in which they are shown."""

MEANING = (
    "Payload that was received, by iperf3; below it what part that is of the plain path's, to the"
    " care-of address in the same run. Where there are two lines the first is towards the mobile"
    " node: segments that TCP sent again or the share of UDP's datagrams that were lost, octets of"
    " payload in each, and how much of a CPU the kernel of the lab was busy, with all hosts."
)

COLUMN, LABELS, TALL, ABOVE, TOP, BOTTOM = 2.75, 1.1, 0.26, 0.62, 0.75, 0.3  # Inches.
AXIS = 0.55
"""The part of a column that bars have; behind them is what they say."""


def throughput(results: Results) -> dict[tuple[str, str], list[Run]]:
    """Return the runs that have measured any, by variant and point as it is written."""
    found = {
        (name, written(point)): [r for r in results.at(point).of(name) if r.throughput]
        for name in results.variants
        for point in results.points
    }
    return {place: runs for place, runs in found.items() if runs}


def bits(value: float) -> str:
    """Write a rate with three digits, in Mbit/s or kbit/s."""
    mega = abs(value) >= 0.9995e6
    return f"{style.digits(value / (1e6 if mega else 1e3))} {'M' if mega else 'k'}bit/s"


def _of(runs: Iterable[Run], path: str, kind: Kind) -> list[Throughput]:
    return [one for run in runs for one in run.throughput if (one.path, one.kind) == (path, kind)]


def _received(runs: Iterable[Run], path: str, kind: Kind) -> Summary | None:
    return summarise([one.received for one in _of(runs, path, kind)])


def _share(runs: Iterable[Run], kind: Kind) -> float | None:
    """Return the median over runs of what part of the plain path's throughput there was."""
    found = summarise([of[kind] for run in runs if kind in (of := shares(run.throughput))])
    return found.median if found else None


def rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant, path and protocol: what came through in each direction."""
    shown: Rows = []
    for (name, at), runs in throughput(results).items():
        for path in COLOURS:
            for protocol in dict.fromkeys(protocol for protocol, _ in KINDS):
                ways = [_of(runs, path, (protocol, way)) for way in WAYS]
                if any(ways):
                    address = path.removesuffix(" address")
                    place = (name, *([at] if results.axes else []), address, protocol.upper())
                    cells = [_throughput(runs, path, (protocol, way)) for way in WAYS]
                    shown.append((*place, *cells, *_beside(protocol, ways)))
    head = ["variant", *(["at"] if results.axes else []), "path", "by"]
    head += ["towards the\nmobile node", "correspondent\nnode"]
    return [*head, "again\nor lost", "octets\neach", "CPU\nbusy"], shown


def _throughput(runs: Sequence[Run], path: str, kind: Kind) -> str:
    found = _received(runs, path, kind)
    if not found:
        return "-"
    ends = found.ci95 or found.range
    around = f"({bits(ends[0]).split()[0]} to {bits(ends[1]).split()[0]})"
    if found.ci95:
        around = f"[{around[1:-1].replace(' to', ',')}]"
    share = _share(runs, kind) if path == HOME else None
    lines = [bits(found.median), around if found.n > 1 else ""]
    return "\n".join(filter(None, [*lines, "" if share is None else f"{share:.3f}"]))


def _beside(protocol: str, ways: Sequence[Sequence[Throughput]]) -> tuple[str, str, str]:
    """Return what else is known, for both directions: as medians, TCP's and UDP's losses too."""

    def both(value: Callable[[Throughput], float | None], write: str) -> str:
        known = [[v for one in way if (v := value(one)) is not None] for way in ways]
        found = [write.format(one.median) if (one := summarise(k)) else "-" for k in known]
        return "\n".join(found[:1] if len(set(found)) == 1 else found)

    again = both(lambda one: one.repeated, "{:g}")
    lost = both(lambda one: None if one.lost is None else 100 * one.lost, "{:.1f} %")
    segment = both(lambda one: one.segment, "{:g}")
    return (
        lost if protocol == "udp" else again,
        segment,
        both(lambda one: 100 * one.cpu, "{:.0f} %"),
    )


def figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw what came through over each path, each variant to a scale of its own."""
    found = throughput(results)
    every = [run for runs in found.values() for run in runs]
    kinds = [kind for kind in KINDS if any(_of(every, path, kind) for path in COLOURS)]
    block = ABOVE + TALL * len(COLOURS)
    left = style.MARGIN + LABELS
    height = TOP + block * len(found) + BOTTOM
    fig = style.figure(
        left + COLUMN * len(kinds) + style.MARGIN,
        height,
        "What comes through",
        f"Experiment {results.experiment}: medians of payload received, each variant to its own"
        " scale; circles: runs; behind: what part it is of that to the care-of address in its run",
    )
    width = fig.get_figwidth()
    data: list[list[Any]] = [["variant", "path", "protocol", "towards", "run", "bits_per_second"]]
    for row, (place, runs) in enumerate(found.items()):
        top = TOP + block * row + ABOVE
        name = ", ".join(filter(None, place))
        fig.text(style.MARGIN / width, 1 - (top - 0.34) / height, name, weight="bold", size=10)
        longest = max(one.received for run in runs for one in run.throughput) or 1.0
        for column, kind in enumerate(kinds):
            if not any(_of(runs, path, kind) for path in COLOURS):
                continue
            across = (left + COLUMN * column) / width
            tall = TALL * len(COLOURS)
            axes = fig.add_axes(
                (across, 1 - (top + tall) / height, AXIS * COLUMN / width, tall / height)
            )
            _bars(axes, runs, kind, longest)
            axes.set_yticks(range(len(COLOURS)), list(COLOURS) if not column else [], size=8.5)
            axes.set_title(
                f"{kind[0].upper()} towards the {kind[1]}", size=8, color=QUIET, loc="left", pad=3
            )
        data += [
            [name, one.path, one.protocol, one.towards, run.run, one.received]
            for run in runs
            for one in run.throughput
        ]
    return fig, data


def _bars(axes: Axes, runs: Sequence[Run], kind: Kind, longest: float) -> None:
    for row, (path, colour) in enumerate(COLOURS.items()):
        values = [one.received for one in _of(runs, path, kind)]
        if not (summary := summarise(values)):
            continue
        axes.barh(row, summary.median, 0.62, color=colour)
        axes.plot(
            values, [row] * len(values), "o", ms=3.6, mfc="none", mec=INK, mew=0.7, clip_on=False
        )
        share = _share(runs, kind) if path == HOME else None
        text = bits(summary.median) + ("" if share is None else f"  {share:.3f}")
        axes.annotate(
            text, (max(values), row), (5, 0), textcoords="offset points", va="center", size=8,
            color=INK,
        )  # fmt: skip
    axes.set_xlim(0, longest)
    axes.set_ylim(len(COLOURS) - 0.5, -0.5)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_color(FAINT)
