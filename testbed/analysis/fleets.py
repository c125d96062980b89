"""What runs of many mobile nodes came to, and how what one costs grows with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from testbed.analysis.samples import Summary, summarise
from testbed.base.medians import medians
from testbed.base.phases import PHASES, TOTAL
from testbed.results.folder import Results
from testbed.results.runs import Member, Run

PERCENTILES = (50, 90, 99, 100)
_COMPARED_FROM = 10
"""Mobile nodes of the least number that others are compared with: fewer cost too little to tell."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The runs of a variant with one number of mobile nodes, at one point of a sweep."""

    variant: str
    nodes: int
    runs: Sequence[Run]

    @property
    def members(self) -> list[Member]:
        """All mobile nodes of all runs."""
        return [member for run in self.runs for member in run.members]

    @property
    def bootstrapped(self) -> list[Member]:
        """Those that came to their end."""
        return [member for member in self.members if member.end is not None]

    def values(self, phase: str) -> list[float]:
        """Return a phase's times in seconds, those of all mobile nodes that went through all."""
        return [member.phases[phase] for member in self.bootstrapped if phase in member.phases]

    @property
    def cpu(self) -> dict[str, float]:
        """Seconds of CPU time for each bootstrap by role, medians over the runs."""
        return medians(
            {role: sum(used) / self.nodes for role, used in _used(run, "cpu").items()}
            for run in self.runs
        )

    @property
    def memory(self) -> dict[str, float]:
        """Peak of memory of a program in octets, by role: means, and medians over the runs."""
        return medians(
            {role: sum(used) / len(used) for role, used in _used(run, "memory").items()}
            for run in self.runs
        )

    @property
    def programs(self) -> dict[str, int]:
        """How many programs have each role."""
        return {role: len(used) for role, used in _used(self.runs[0], "cpu").items()}

    @property
    def repeated(self) -> dict[str, float]:
        """Messages that were sent again for each bootstrap, by protocol.

        Where there are no captures of each mobile node the simulator counted them.
        """
        found: dict[str, float] = {}
        for run in self.runs:
            of_each = [member.repeated for member in run.members]
            if run.crowd and not any(of_each):
                of_each = [run.crowd.repeated]
            for one in of_each:
                for protocol, number in one.items():
                    found[protocol] = found.get(protocol, 0) + number / len(self.members)
        return found

    @property
    def failures(self) -> int:
        """Attempts that failed."""
        return sum(member.failures for member in self.members)

    def up(self, percent: float) -> float | None:
        """Return the seconds until so many percent of all were up, a median; None if it was not."""
        needed = int(np.ceil(self.nodes * percent / 100))
        ends = [sorted(m.end for m in run.members if m.end is not None) for run in self.runs]
        return median(one[needed - 1] for one in ends) if min(map(len, ends)) >= needed else None

    @property
    def home_agents(self) -> dict[str, list[int]]:
        """How many mobile nodes each home agent got in each run, in which not all may be up."""
        chosen = [Counter(m.home_agent for m in run.members if m.home_agent) for run in self.runs]
        agents = sorted({agent for counts in chosen for agent in counts})
        return {agent: [counts[agent] for counts in chosen] for agent in agents}

    @property
    def moves(self) -> dict[str, Summary]:
        """How long those that had to move to another home agent took, by part."""
        good = [member for run in self.runs if run.status == "ok" for member in run.members]
        moves = [member.moved.parts for member in good if member.moved]
        found = (
            {part: summarise([move[part] for move in moves]) for part in moves[0]} if moves else {}
        )
        return {part: one for part, one in found.items() if one}

    def as_json(self) -> dict[str, Any]:
        """Return it in the form of summary.json."""
        phases = {name: summarise(self.values(name)) for name in (*PHASES, TOTAL)}
        return {
            "mobile_nodes": self.nodes,
            "runs": len(self.runs),
            "success_rate": len(self.bootstrapped) / len(self.members),
            "failed_attempts": self.failures,
            "repeated": self.repeated,
            "overflows": sum(sum(run.overflows.values()) for run in self.runs),
            "phases": {
                name: one.as_json() | {"percentiles": self._percentiles(name)}
                for name, one in phases.items()
                if one
            },
            "up": {str(percent): self.up(percent) for percent in PERCENTILES},
            "cpu": self.cpu,
            "cpu_total": sum(self.cpu.values()),
            "memory": self.memory,
            "home_agents": self.home_agents,
            "moves": {part: one.as_json() for part, one in self.moves.items()},
        }

    def _percentiles(self, phase: str) -> dict[str, float]:
        found = np.percentile(self.values(phase), PERCENTILES)
        return {str(p): float(value) for p, value in zip(PERCENTILES, found, strict=True)}


def _used(run: Run, what: str) -> dict[str, list[float]]:
    """Return what each of a run's programs used, by role, as far as it was measured."""
    found: dict[str, list[float]] = {}
    for program, used in run.programs.items():
        if what in used:
            found.setdefault(program.partition("-")[2], []).append(used[what])
    return found


def fleets(results: Results, variant: str) -> list[Fleet]:
    """Return a variant's fleets by their numbers; none if it has one mobile node."""
    found: dict[tuple[int, str], list[Run]] = {}
    for run in results.of(variant):
        if run.members:
            point = {k: v for k, v in run.parameters.items() if k != "operator.mobile_nodes"}
            found.setdefault((len(run.members), str(point)), []).append(run)
    return [Fleet(variant, nodes, found[nodes, at]) for nodes, at in sorted(found)]


def as_json(results: Results, variant: str) -> dict[str, Any]:
    """Return what summary.json says of a variant with many mobile nodes; nothing of another.

    `cpu_growth` is by how many times a bootstrap costs more than among the first ten, and
    `memory_growth` what each mobile node more takes of memory, in octets by role; None is what was
    not measured.
    """
    found = fleets(results, variant)
    if not found:
        return {}
    usual = next((one for one in found if one.nodes >= _COMPARED_FROM), None)
    growth = {
        str(one.nodes): sum(one.cpu.values()) / sum(usual.cpu.values())
        for one in found
        if usual and one.nodes >= usual.nodes and sum(usual.cpu.values())
    }
    return {
        "fleets": [one.as_json() for one in found],
        "cpu_growth": growth,
        "memory_growth": _slopes(found),
    }


def _slopes(found: Sequence[Fleet]) -> dict[str, float | None]:
    """Return by role the octets that each mobile node more takes: the line of least squares.

    Fleets with fewer programs than others have, as of few mobile nodes, are left out. It is None
    where memory was not measured, as in the simulator.
    """
    slopes: dict[str, float | None] = {}
    for role, programs in found[-1].programs.items():
        alike = [one for one in found if one.programs.get(role) == programs]
        if any(role not in one.memory for one in alike):
            slopes[role] = None
            continue
        if len({one.nodes for one in alike}) > 1:
            octets = [one.memory[role] * programs for one in alike]
            slopes[role] = float(np.polyfit([one.nodes for one in alike], octets, 1)[0])
    return slopes
