"""The figure of a move: where mobile nodes are that must leave their home agent, and for how long.

A home agent that has failed serves nobody from the step on; one that is drained serves each mobile
node until that notices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from testbed.analysis.compare import written
from testbed.analysis.fleets import Fleet, fleets
from testbed.base.words import several
from testbed.report import style
from testbed.report.style import QUIET
from testbed.results.folder import Results
from testbed.results.runs import Member
from topologies.model import HostRole, Topology

_AGENTS = (style.SKY, style.BLUE, style.PURPLE, style.YELLOW, style.VERMILLION)
_BOOTSTRAP, _REGISTRATION = style.ORANGE, style.GREEN
_WAITING: dict[str, Any] = {"facecolor": "#F4F4F4", "edgecolor": "#B0B0B0", "hatch": "////"}
_WORDS = {"bootstrap": "authentication and IKE", "registration": "registration"}
_COLUMNS = ("noticed", "bootstrapped", "registered")
_BAR = 0.84  # Of the height of a row.


@dataclass(frozen=True, slots=True)
class _Scene:
    """The runs of a variant in which mobile nodes have moved; home agents by address and name."""

    fleet: Fleet
    title: str
    agents: dict[str, str]
    failed: bool

    @property
    def members(self) -> list[Member]:
        """The mobile nodes of all runs that came to their end."""
        return [member for run in self._runs for member in run.members]

    @property
    def moved(self) -> list[Member]:
        """Those that have moved, first who was registered first."""
        found = [member for member in self.members if member.moved]
        return sorted(found, key=lambda member: member.moved.registered if member.moved else 0.0)

    @property
    def _runs(self) -> list[Any]:
        return [run for run in self.fleet.runs if run.status == "ok"]

    def mean(self, where: Callable[[Member], bool]) -> float:
        """Return how many mobile nodes of a run are somewhere, a mean over the runs."""
        return sum(map(where, self.members)) / len(self._runs)

    def gap(self, member: Member) -> float:
        """Return for how long a mobile node that has moved had no service."""
        assert member.moved  # noqa: S101
        return member.moved.registered - (0.0 if self.failed else member.moved.noticed)


def has_moves(results: Results) -> bool:
    """Return whether mobile nodes had to move to another home agent."""
    return any(fleet.moves for name in results.variants for fleet in fleets(results, name))


def _scenes(results: Results) -> list[_Scene]:
    found = []
    for name in results.variants:
        for fleet in fleets(results, name):
            if not fleet.moves:
                continue
            point = fleet.runs[0].parameters
            there = results.spec.at(point) if results.spec else None
            steps = there.variants[name].steps if there else []
            agents = _agents(there.sample_topology(name)) if there else {}
            left = {step.moves for step in steps if step.moves}
            failed = any(step.host in left and (step.kill or step.cut) for step in steps)
            title = ", ".join(filter(None, (name, written(point))))
            found.append(_Scene(fleet, title, agents, failed))
    return found


def _agents(topology: Topology) -> dict[str, str]:
    """Return the names of the home agents' hosts by their addresses."""
    return {
        str(end.address): host
        for host in topology.hosts_with(HostRole.HOME_AGENT)
        for _, end in topology.at(host)
        if end.addresses
    }


def figure(results: Results) -> tuple[Figure, list[list[Any]]]:
    """Draw how many mobile nodes are at each home agent, and what each does that has to move."""
    scenes = _scenes(results)
    left, wide, gap, detail, right = 0.75, 3.9, 0.75, 3.9, 0.25
    head, tall, between, bottom = 1.7, 1.75, 1.15, 0.55
    height = head + len(scenes) * (tall + between) - between + bottom
    runs = several(max(len(scene.fleet.runs) for scene in scenes), "run")
    lab = f", {results.manifest.where}" if results.manifest else ""
    fig = style.figure(
        left + wide + gap + detail + right,
        height,
        "Mobile nodes that have to leave their home agent",
        f"Experiment {results.experiment}: {runs} per variant{lab}",
    )
    across = fig.get_figwidth()
    columns = ["variant", "mobile_node", "from", "to", *_COLUMNS, "without_service"]
    rows: list[list[Any]] = [columns]
    for i, scene in enumerate(scenes):
        low = (height - head - (i + 1) * tall - i * between) / height
        _numbers(fig.add_axes((left / across, low, wide / across, tall / height)), scene)
        place = (left + wide + gap) / across, low, detail / across, tall / height
        _each(fig.add_axes(place), scene)
        fig.text(left / across, low + (tall + 0.34) / height, scene.title, size=10, weight="bold")
        rows += _data(scene)
    _legend(fig, scenes, 1 - 0.72 / height)
    return fig, rows


def _data(scene: _Scene) -> list[list[Any]]:
    return [
        [
            scene.title,
            member.host,
            scene.agents.get(member.home_agent, member.home_agent),
            scene.agents.get(member.moved.home_agent, member.moved.home_agent),
            *(getattr(member.moved, name) for name in _COLUMNS),
            round(scene.gap(member), 6),
        ]
        for member in scene.moved
        if member.moved
    ]


def _at(member: Member, moment: float) -> str:
    """Return where a mobile node is: the address of a home agent, or a part of its move."""
    move = member.moved
    if move is None or moment < move.noticed:
        return member.home_agent
    if moment < move.bootstrapped:
        return "bootstrap"
    return move.home_agent if moment >= move.registered else "registration"


def _colours(scene: _Scene) -> dict[str, str]:
    """Return the colours of where mobile nodes may be, those who come to rest below."""
    addresses = dict.fromkeys(member.home_agent for member in scene.members)
    addresses |= dict.fromkeys(m.moved.home_agent for m in scene.moved if m.moved)
    names = {address: scene.agents.get(address, address) for address in addresses if address}
    ordered = sorted(names, key=names.__getitem__)
    colours = {address: _AGENTS[i % len(_AGENTS)] for i, address in enumerate(ordered)}
    before = {member.home_agent for member in scene.moved}
    stay = {address: colour for address, colour in colours.items() if address not in before}
    moving = {"registration": _REGISTRATION, "bootstrap": _BOOTSTRAP}
    return stay | moving | {address: colours[address] for address in ordered if address in before}


def _look(scene: _Scene, where: str, colour: str) -> dict[str, Any]:
    """Return how an area is drawn: what has failed serves nobody."""
    left = {member.home_agent for member in scene.moved}
    return _WAITING if scene.failed and where in left else {"facecolor": colour}


def _numbers(axes: Axes, scene: _Scene) -> None:
    """Draw how many mobile nodes are where, from the step on."""
    moves = [member.moved for member in scene.moved if member.moved]
    turns = {moment for move in moves for moment in (move.noticed, move.bootstrapped)}
    turns |= {move.registered for move in moves}
    end = max(turns) * 1.08
    moments = [0.0, *sorted(turns), end]
    below = np.zeros(len(moments))
    for where, colour in _colours(scene).items():
        there = [
            scene.mean(lambda member: _at(member, moment) == where)  # noqa: B023
            for moment in moments
        ]
        look = _look(scene, where, colour)
        axes.fill_between(moments, below, below + there, step="post", lw=0, **look)
        below = below + there
    axes.set_xlim(0, end)
    axes.set_ylim(0, below[0])
    axes.set_title("mobile nodes at each home agent", loc="left", size=9, color=QUIET)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    _times(axes)


def _each(axes: Axes, scene: _Scene) -> None:
    """Draw the moves one above the other, in the order in which they end."""
    colours = _colours(scene)
    ends = [(m.moved.noticed, m.moved.registered) for m in scene.moved if m.moved]
    first, last = min(begin for begin, _ in ends), max(end for _, end in ends)
    room = 0.08 * (last - first)
    low, high = max(0.0, first - room), last + room
    for row, member in enumerate(scene.moved):
        move = member.moved
        assert move  # noqa: S101
        turns = (low, move.noticed, move.bootstrapped, move.registered, high)
        places = (member.home_agent, "bootstrap", "registration", move.home_agent)
        for where, begin, end in zip(places, turns, turns[1:], strict=False):
            look = _look(scene, where, colours[where])
            axes.barh(row, end - begin, _BAR, begin, lw=0, **look)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.5, len(ends) - 0.5)
    axes.set_yticks([])
    gaps = [scene.gap(member) for member in scene.moved]
    axes.set_title(
        f"each move: {style.seconds(median(gaps))} without service in the median,"
        f" {style.seconds(max(gaps))} at most",
        loc="left",
        size=9,
        color=QUIET,
    )
    _times(axes)


def _times(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(style.time))
    axes.set_xlabel("time since the step", labelpad=2)


def _legend(fig: Figure, scenes: Sequence[_Scene], top: float) -> None:
    """Say what the areas are."""
    patches: dict[str, Patch] = {}
    for scene in scenes:
        for where, colour in reversed(_colours(scene).items()):  # As a move goes on.
            look = _look(scene, where, colour)
            name = _WORDS.get(where, scene.agents.get(where, where))
            if look is _WAITING:
                name = f"{name}, which has failed: not yet noticed"
            patches.setdefault(name, Patch(label=name, **look))
    fig.legend(
        handles=list(patches.values()), loc="upper left",
        bbox_to_anchor=(style.MARGIN / fig.get_figwidth() - 0.005, top), frameon=False,
        fontsize=8.5, ncols=len(patches), handlelength=1.2, columnspacing=1.4, borderpad=0,
    )  # fmt: skip
