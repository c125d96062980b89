"""A simulation beside a real lab, in a table and a figure."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from rich.table import Table
from rich.text import Text

from testbed.analysis.agreement import LEAST_DELAY, TOLERANCE, Agreement, Phase
from testbed.analysis.compare import written
from testbed.base.phases import PHASES, TITLES, TOTAL
from testbed.report import bars, style
from testbed.report.style import FAINT, INK, QUIET
from testbed.report.tables import COMPACT
from testbed.results.folder import Results

PANEL, LEFT, GAP = 3.6, 0.8, 0.95
SHOWN = (*PHASES, TOTAL)
COLOURS = {**style.PHASE_COLOURS, TOTAL: INK}


def tables(found: Agreement) -> list[Table]:
    """Return the round trips, and of each phase how far it is off at most; no table of nothing."""
    trips = Table(title="round trips of the critical path", **COMPACT)
    for heading in ("variant", "link", "simulated", "real", ""):
        trips.add_column(heading)
    for one in sorted(found.round_trips, key=lambda r: (r.variant, r.link)):
        cells = (one.variant, one.link, _numbers(one.simulated), _numbers(one.real))
        trips.add_row(*map(Text, cells), _verdict(agrees=one.agrees))
    shown = [trips] if found.round_trips else []  # Of many mobile nodes there are none.
    if not (worst := _worst(found)):
        return shown  # Without delay all is computing time.
    title = f"phases with a round trip of {2 * LEAST_DELAY * 1e3:g} ms or more: how far off at most"
    phases = Table(title=title, **COMPACT)
    for heading in ("variant", "phase", "at", "simulated", "real", "off", ""):
        phases.add_column(heading)
    for phase in worst:
        phases.add_row(
            phase.variant,
            TITLES[phase.name],
            written(phase.point),
            style.seconds(phase.simulated),
            style.seconds(phase.real),
            f"{100 * phase.deviation:+.1f} %",
            _verdict(agrees=phase.agrees),
        )
    return [*shown, phases]


def _numbers(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, sorted(set(values))))


def _verdict(*, agrees: bool) -> Text:
    return Text("agrees", "green") if agrees else Text("differs", "red")


def _worst(found: Agreement) -> list[Phase]:
    worst: dict[tuple[str, str], Phase] = {}
    for one in found.phases:
        key = one.variant, one.name
        if one.judged and (key not in worst or abs(one.deviation) > abs(worst[key].deviation)):
            worst[key] = one
    return list(worst.values())


def agreement_figure(
    found: Agreement, simulated: Results, real: Results
) -> tuple[Figure, list[list[Any]]]:
    """Draw every phase's median in the simulation against the real one, and how far it is off."""
    with mpl.rc_context(style.SETTINGS):
        return _drawn(found, simulated, real)


def _drawn(found: Agreement, simulated: Results, real: Results) -> tuple[Figure, list[list[Any]]]:
    height = 5.0
    labs = [one.manifest.lab if one.manifest else "?" for one in (simulated, real)]
    fig = style.figure(
        LEFT + 2 * PANEL + GAP + style.MARGIN,
        height,
        "The simulator beside a real lab",
        f"Experiment {real.experiment}: medians of phases at each point, {labs[0]} against"
        f" {labs[1]}",
    )
    bars.legend(fig, style.MARGIN, 0.88, SHOWN, COLOURS)
    width = fig.get_figwidth()

    def panel(number: int) -> Axes:
        left = LEFT + number * (PANEL + GAP)
        return fig.add_axes((left / width, 0.62 / height, PANEL / width, 3.15 / height))

    _against(panel(0), found, labs)
    _deviations(panel(1), found)
    rows: list[list[Any]] = [
        ["variant", "point", "phase", "simulated_seconds", "real_seconds", "judged"]
    ]
    rows += [
        [p.variant, written(p.point), p.name, p.simulated, p.real, p.judged] for p in found.phases
    ]
    return fig, rows


def _grid(axes: Axes) -> None:
    axes.grid(color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(FuncFormatter(style.time))


def _against(axes: Axes, found: Agreement, labs: list[str]) -> None:
    for name in SHOWN:
        of_phase = [p for p in found.phases if p.name == name and min(p.real, p.simulated) > 0]
        axes.plot(
            [p.real for p in of_phase],
            [p.simulated for p in of_phase],
            ls="", marker="o", ms=3.5, mec="none", alpha=0.6, color=COLOURS[name],
        )  # fmt: skip
    ends = [min(*axes.get_xlim(), *axes.get_ylim()), max(*axes.get_xlim(), *axes.get_ylim())]
    ends[0] = max(ends[0], 1e-4)
    axes.plot(ends, ends, color=QUIET, lw=0.7, zorder=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    _grid(axes)
    for one in (axes.xaxis, axes.yaxis):
        one.set_major_locator(LogLocator(10))
        one.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(style.time))
    axes.set_xlabel(f"median in the {labs[1]} lab")
    axes.set_ylabel(f"median in the {labs[0]} lab")
    axes.set_title("each phase at each point", loc="left", size=10, weight="bold", color=INK)


def _deviations(axes: Axes, found: Agreement) -> None:
    for name in SHOWN:
        judged = [p for p in found.phases if p.name == name and p.judged]
        axes.plot(
            [p.real for p in judged],
            [100 * p.deviation for p in judged],
            ls="", marker="o", ms=3.5, mec="none", alpha=0.6, color=COLOURS[name],
        )  # fmt: skip
    axes.axhspan(-100 * TOLERANCE, 100 * TOLERANCE, color=FAINT, zorder=0, alpha=0.5)
    axes.axhline(0, color=QUIET, lw=0.7, zorder=1)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -120 * TOLERANCE), max(high, 120 * TOLERANCE))
    axes.set_xlim(left=0)
    _grid(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:+g} %"))
    axes.set_xlabel("median in the real lab")
    title = f"how far off, with a round trip of {2 * LEAST_DELAY * 1e3:g} ms or more"
    axes.set_title(title, loc="left", size=10, weight="bold", color=INK)
