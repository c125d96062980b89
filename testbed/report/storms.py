"""What many mobile nodes came to who were switched on at once: a figure and a table."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from testbed.base.words import several
from testbed.report import style
from testbed.report.style import FAINT, INK
from testbed.results.folder import Results
from testbed.results.runs import Crowd

Rows = list[tuple[str, ...]]
COLLAPSED = 0.5
"""The part of all attempts that failed, from which on it is a collapse."""


def storms(results: Results) -> dict[str, Crowd]:
    """Return what the last run of each variant came to, of those with many mobile nodes."""
    found = {run.variant: run.crowd for run in results.runs if run.crowd}
    return {name: found[name] for name in results.variants if name in found}


def wasted(crowd: Crowd) -> float:
    """Return the part of all attempts that failed."""
    ended = crowd.failures + (crowd.curve[-1][1] if crowd.curve else 0)
    return crowd.failures / ended if ended else 0.0


def is_collapse(crowd: Crowd) -> bool:
    """Return whether most attempts failed."""
    return wasted(crowd) > COLLAPSED


def rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant: when how many are up, and what was sent."""
    head = ["variant", "up", "50 %", "99 %", "100 %", "messages\neach", "sent\nagain"]
    head += [
        "datagrams\ndropped",
        "attempts\nfailed",
        "answers\ntoo late",
        "collapse",
        "public keys",
    ]
    shown: Rows = []
    for name, crowd in storms(results).items():
        up = crowd.curve[-1][1] if crowd.curve else 0
        sent, again = sum(crowd.messages.values()), sum(crowd.repeated.values())
        times = (
            style.seconds(crowd.up[part]) if part in crowd.up else "-"
            for part in ("50", "99", "100")
        )
        shown.append(
            (
                name,
                f"{up} of {crowd.nodes}",
                *times,
                f"{sent / crowd.nodes:.1f}",
                f"{100 * again / max(sent, 1):.1f} %",
                str(sum(crowd.dropped.values())),
                str(crowd.failures),
                str(crowd.late),
                "yes" if is_collapse(crowd) else "no",
                crowd.public_keys,
            )
        )
    return head, shown


def figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw the part of all mobile nodes that is up against time, a line per variant."""
    found = storms(results)
    left, bottom, width, height = 0.8, 0.65, 7.6, 4.9
    right = 0.35 + style.widest(found, 8.5)
    nodes = max(crowd.nodes for crowd in found.values())
    fig = style.figure(
        left + width + right,
        height,
        "A storm: mobile nodes that are up",
        f"Experiment {results.experiment}: {several(nodes, 'mobile node')} switched on at time 0"
        " (simulated); log scale",
    )
    whole = fig.get_figwidth()
    axes = fig.add_axes((left / whole, bottom / height, width / whole, 3.3 / height))
    data: list[list[Any]] = [["variant", "seconds", "up", "part"]]
    last = max((c.curve[-1][0] for c in found.values() if c.curve), default=1.0)
    ends = []
    for i, (name, crowd) in enumerate(found.items()):
        times = [t for t, _ in crowd.curve]
        parts = [up / crowd.nodes for _, up in crowd.curve]
        colour = style.VARIANT_COLOURS[i % len(style.VARIANT_COLOURS)]
        ways = ("-", "--", "-.", ":")
        # Every other one is dashed and above the rest: curves that coincide both show.
        way = i % 2 + 2 * (i // 7 % 2)
        look: Any = {"ls": ways[way], "zorder": 2 + way / 10}
        axes.step(times, parts, where="post", color=colour, lw=1.6, **look)
        data += [[name, t, up, up / crowd.nodes] for t, up in crowd.curve]
        if times:
            axes.plot(times[-1], parts[-1], "o", color=colour, ms=4)
            ends.append((parts[-1], times[-1], name, colour))
    style.log_times(axes)
    axes.set_xlim(right=last * 1.1)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("time since the first one was switched on")
    axes.set_ylabel("mobile nodes that are up")
    axes.grid(axis="y", color=FAINT, lw=0.6)
    order = sorted(ends)
    places = style.spread([part for part, *_ in order], 0.055)
    for place, (_, _, name, colour) in zip(places, order, strict=True):
        axes.text(
            1.02, place, name, transform=axes.transAxes, color=colour or INK, size=8.5, va="center"
        )
    return fig, data
