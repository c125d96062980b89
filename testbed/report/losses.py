"""What bad links do to bootstraps: a figure, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from testbed.analysis.losses import KINDS, LOSS, Condition, Sample, samples
from testbed.report import style
from testbed.report.style import FAINT, INK, QUIET
from testbed.results.folder import Results

Rows = list[tuple[str, ...]]
_MARKERS = "os^Dv*P"
_OTHERS = "all else"
_BESIDE = 0.7  # Of the room of a point, what its markers take.
_SUCCESSES = ["filled: in the time allowed", "white: at the first attempt"]


def figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw success and total against loss, for each set of links, and of all other faults."""
    found = samples(results)
    places = dict.fromkeys(s.condition.links for s in found if _is_loss(s) and s.condition.links)
    panels: list[tuple[str, list[Sample]]] = [
        (f"loss on {' and '.join(links)}", _along(found, links)) for links in places
    ]
    if others := [s for s in found if not _is_loss(s)]:
        panels.append((_OTHERS, others))
    panel, tall, gap, left, head = 2.75, 1.9, 0.35, 0.75, 1.25
    right = 0.45 + style.widest([*results.variants, *_SUCCESSES], 9)
    height = head + 2 * tall + 1.35
    lab = f", {results.manifest.where}" if results.manifest else ""
    fig = style.figure(
        left + len(panels) * (panel + gap) + right,
        height,
        "What bad links do to a bootstrap",
        f"Experiment {results.experiment}{lab}: packets, independently in each direction;"
        f" runs of each variant at each point: {_each(found)}",
    )
    width = fig.get_figwidth()
    rows: list[list[Any]] = [_HEAD]
    upper: Axes | None = None
    lower: Axes | None = None
    for column, (title, samples_here) in enumerate(panels):
        names = list(dict.fromkeys(_named(s.condition) for s in samples_here))
        placed = [(s, names.index(_named(s.condition))) for s in samples_here]
        across = (left + column * (panel + gap)) / width, panel / width
        low, high = 0.85 / height, (0.85 + tall + 0.3) / height
        size = tall / height
        success = fig.add_axes((across[0], high, across[1], size), sharey=upper)
        times = fig.add_axes((across[0], low, across[1], size), sharey=lower, sharex=success)
        upper, lower = upper or success, lower or times
        success.set_title(title, loc="left", size=10, weight="bold", color=INK)
        for number, variant in enumerate(results.variants):
            own = [(s, x) for s, x in placed if s.variant == variant]
            # Side by side, and far from those of the next point.
            shift = _BESIDE * ((number + 0.5) / len(results.variants) - 0.5)
            _draw_success(success, own, number, title == _OTHERS, shift)
            _draw_totals(times, own, number, title == _OTHERS, shift)
            rows += [_row(sample) for sample, _ in own]
        times.set_xticks(range(len(names)), names, size=7.5)
        times.set_xlim(-0.5, len(names) - 0.5)
        if title != _OTHERS:
            times.set_xlabel("packets lost")
        for axes in (success, times):
            axes.grid(axis="y", color=FAINT, lw=0.5)
            for between in range(len(names) - 1):
                axes.axvline(between + 0.5, color=FAINT, lw=0.8)
            axes.set_axisbelow(True)
            axes.tick_params(labelleft=not column)
        success.tick_params(labelbottom=False)
    _finish(fig, upper, lower)
    return fig, rows


_HEAD = [
    *("links", "fault", "percent", "variant", "runs", "bootstrapped", "at_first_attempt"),
    *("median_seconds", "p5_seconds", "p95_seconds", "sent_again"),
]


def _row(sample: Sample) -> list[Any]:
    about = sample.condition
    return [
        " ".join(about.links), about.kind, about.percent, sample.variant, len(sample.runs),
        sample.success, sample.at_once, *(sample.totals or ("", "", "")),
        sum(sample.repeated.values()),
    ]  # fmt: skip


def _is_loss(sample: Sample) -> bool:
    return sample.condition.kind == LOSS


def _along(found: Sequence[Sample], links: tuple[str, ...]) -> list[Sample]:
    """Return what there is of loss on these links, from none on."""
    here = [s for s in found if _is_loss(s) and s.condition.links in (links, ())]
    return sorted(here, key=lambda sample: sample.condition.percent)


def _named(about: Condition) -> str:
    if about.kind == LOSS:
        return f"{about.percent:g} %"
    return f"{about.kind}\n{about.percent:g} %"


def _each(found: Sequence[Sample]) -> str:
    numbers = {len(sample.runs) for sample in found}
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _look(number: int, *, joined: bool) -> dict[str, Any]:
    colour = style.VARIANT_COLOURS[number % len(style.VARIANT_COLOURS)]
    marker = _MARKERS[number % len(_MARKERS)]
    return {"color": colour, "marker": marker, "ms": 4, "ls": "-" if joined else "", "lw": 1.3}


def _draw_success(
    axes: Axes, own: Sequence[tuple[Sample, float]], number: int, apart: bool, shift: float
) -> None:
    look = _look(number, joined=not apart)
    x = [place + shift for _, place in own]
    first = look | {"ls": ":" if not apart else "", "mfc": "white", "lw": 1.0}
    axes.plot(x, [100 * s.at_once for s, _ in own], **first)
    axes.plot(x, [100 * s.success for s, _ in own], **look)


def _draw_totals(
    axes: Axes, own: Sequence[tuple[Sample, float]], number: int, apart: bool, shift: float
) -> None:
    timed = [(s.variant, s.totals, place + shift) for s, place in own if s.totals]
    if not timed:
        return
    middle = [totals[0] for _, totals, _ in timed if totals]
    ends = [
        [totals[0] - totals[1] for _, totals, _ in timed if totals],
        [totals[2] - totals[0] for _, totals, _ in timed if totals],
    ]
    axes.errorbar(
        [place for _, _, place in timed], middle, ends,
        label=timed[0][0], elinewidth=0.9, capsize=2, **_look(number, joined=not apart),
    )  # fmt: skip


def _finish(fig: Figure, upper: Axes | None, lower: Axes | None) -> None:
    if upper is None or lower is None:
        return
    upper.set_ylim(-4, 104)
    upper.set_ylabel("bootstrapped")
    upper.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g} %"))
    lower.set_yscale("log")
    lower.set_ylabel("total time")
    lower.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g} s"))
    lower.yaxis.set_minor_formatter(NullFormatter())
    handles, labels = lower.get_legend_handles_labels()
    dot: dict[str, Any] = {"color": QUIET, "marker": "o", "ms": 4, "ls": ""}
    handles += [Line2D([], [], **dot), Line2D([], [], **dot, mfc="white")]
    labels += _SUCCESSES
    fig.legend(handles, labels, loc="center right", frameon=False, fontsize=9, handlelength=1.4)
    fig.text(
        style.MARGIN / fig.get_figwidth(), 0.12 / fig.get_figheight(),
        "Times are medians, with whiskers around the middle 90 %. Variants are side by side within"
        " each column.",
        size=7.5, color=QUIET,
    )  # fmt: skip


def rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row for each condition: what was asked, found, and came of it for each variant."""
    found = samples(results)
    table: Rows = []
    for about in dict.fromkeys(sample.condition for sample in found):
        own = {s.variant: s for s in found if s.condition == about}
        asked = f"{about.kind} {about.percent:g} %" if about.links else "nothing"
        measured = _found(list(own.values()))
        cells = (_cell(own[name]) if name in own else "-" for name in results.variants)
        table.append((" and ".join(about.links) or "-", asked, measured, *cells))
    return ["links", "goes wrong", "as measured", *results.variants], table


def _found(own: Sequence[Sample]) -> str:
    """Write what was measured, of the variant of which most is known."""
    best = max((sample.found for sample in own), key=len)
    lines = []
    for link, values in best.items():
        written = [f"{name} {values[name]:.3g} %" for name in KINDS if values.get(name)]
        lines.append(f"{link}: {', '.join(written) or 'nothing'}")
    return "\n".join(lines) or "-"


def _cell(sample: Sample) -> str:
    lines = [f"{100 * sample.success:.0f} % ({100 * sample.at_once:.0f} % at once)"]
    if sample.totals:
        middle, low, high = map(style.seconds, sample.totals)
        lines.append(f"{middle} ({low} to {high})")
    lines += [f"{name} {number:.2g} again" for name, number in sample.repeated.items()]
    return "\n".join(lines)
