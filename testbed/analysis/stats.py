"""Medians with their intervals, and summary.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from testbed.analysis import fleets, growth
from testbed.analysis.fits import fits
from testbed.analysis.samples import Summary, summarise
from testbed.base.files import FORMAT, write_json
from testbed.base.medians import medians
from testbed.base.phases import DISCOVERY, OVERLAP, PHASES, TOTAL
from testbed.results.folder import Results
from testbed.results.outcomes import expectation, outcomes
from testbed.results.runs import Run
from testbed.trace.counts import Count
from testbed.trace.phases import disagreement


def ratio(seconds: float, paper: float) -> float:
    """Return a time as a multiple of the paper's."""
    return seconds / paper


def summary(results: Results) -> dict[str, Any]:
    """Return the contents of summary.json; all times in seconds."""
    manifest = results.manifest
    return {
        "format": FORMAT,
        "experiment": results.experiment,
        "planned": len(results.plan) or len(results.runs),
        "done": len(results.runs),
        "lab": manifest.lab if manifest else None,
        "emulated": manifest.emulated if manifest else None,
        "paper": results.paper.seconds,
        "paper_unattributed": results.paper.unattributed,
        "variants": {name: _variant(results, name) for name in results.variants},
        "warnings": results.warnings,
    }


def write_summary(results: Results) -> Path:
    """Write summary.json."""
    return write_json(results.folder / "summary.json", summary(results))


def phase_summaries(results: Results, variant: str) -> dict[str, Summary]:
    """Summarise the five phases and `total` of a variant; empty without a bootstrap."""
    found = {name: summarise(results.values(variant, name)) for name in (*PHASES, TOTAL)}
    return {name: one for name, one in found.items() if one}


def _variant(results: Results, variant: str) -> dict[str, Any]:
    runs, good = results.of(variant), results.bootstrapped(variant)
    succeeded = len(results.succeeded(variant))
    phases = phase_summaries(results, variant)
    first = summarise([run.first_packet for run in good if run.first_packet is not None])
    return {
        "runs": len(runs),
        "missing": sum(planned.variant == variant for planned in results.missing),
        "succeeded": succeeded,
        "success_rate": succeeded / len(runs) if runs else None,
        "bootstrapped": len(good),
        "programs_were": results.warmth(variant) or None,
        "attempts": attempts(runs),
        "expected": expectation(results, variant),
        "outcomes": [one.as_json() for one in outcomes(results, variant)],
        "phases": {name: one.as_json() for name, one in phases.items()},
        "ratio_to_paper": {
            name: ratio(one.median, results.paper.seconds[name]) for name, one in phases.items()
        },
        "first_packet": first.as_json() if first else None,
        **{
            name: one.as_json() if (one := _summarised(runs, name)) else None
            for name in ("recovery", "silence", "lost")
        },
        **{
            name: one.as_json() if (one := summarise(results.values(variant, name))) else None
            for name in (DISCOVERY, OVERLAP)
        },
        "largest_disagreement": largest_disagreement(good),
        "costs": costs(runs),
        "programs": programs(runs),
        "failures": [
            {"run": run.run, "reason": run.reason} for run in runs if run.status == "failed"
        ],
        **({"traffic": found} if (found := traffic(good)) else {}),
        **(_swept(results, variant) if results.axes else {}),
        **fleets.as_json(results, variant),
        **({"held": held} if (held := growth.as_json(results, variant)) else {}),
    }


def _summarised(runs: Iterable[Run], name: str) -> Summary | None:
    """Summarise what a field of runs has, of those that have it."""
    return summarise([value for run in runs if (value := getattr(run, name)) is not None])


def attempts(runs: Iterable[Run]) -> dict[str, int]:
    """Return how many runs took so many attempts, fewest first; of some that is not known."""
    counted = Counter(run.attempts for run in runs if run.attempts)
    return {str(number): counted[number] for number in sorted(counted)}


def _swept(results: Results, variant: str) -> dict[str, Any]:
    """Return what a sweep adds: each point of the grid, and the fit over all of them."""
    points = []
    for point in results.points:
        there = results.at(point)
        points.append(
            {
                "parameters": point,
                "runs": len(there.of(variant)),
                "succeeded": len(there.succeeded(variant)),
                "bootstrapped": len(there.bootstrapped(variant)),
                "phases": {k: v.as_json() for k, v in phase_summaries(there, variant).items()},
            }
        )
    return {"points": points, "fits": [fit.as_json() for fit in fits(results, variant)]}


def traffic(runs: Iterable[Run]) -> dict[str, Any]:
    """Return what crossed each link: round trips, and messages and octets of each protocol.

    Medians over the runs, in which a protocol that was not seen counts as 0; `repeated` are all
    messages that were sent again.
    """
    seen = [run.traffic.links for run in runs if run.traffic]
    found: dict[str, Any] = {}
    for link in dict.fromkeys(name for one in seen for name in one):
        there = [one[link] for one in seen if link in one]
        names = dict.fromkeys(name for one in there for name in one.protocols)
        counts = {name: [one.protocols.get(name, Count()) for one in there] for name in names}
        trips = [one.round_trips for one in there]
        found[link] = {
            "round_trips": {
                "median": float(np.median(trips)),
                "min": min(trips),
                "max": max(trips),
            },
            "protocols": {
                name: {
                    "messages": float(np.median([one.messages for one in of])),
                    "octets": float(np.median([one.octets for one in of])),
                    "repeated": sum(one.repeated for one in of),
                }
                for name, of in counts.items()
            },
        }
    return found


def largest_disagreement(runs: Iterable[Run]) -> dict[str, float]:
    """Return by how much capture and events differ at most, phase by phase, in seconds."""
    largest: dict[str, float] = {}
    for run in runs:
        for name, seconds in disagreement(run.phases or {}, run.event_phases or {}).items():
            largest[name] = max(seconds, largest.get(name, 0.0))
    return largest


def costs(runs: Iterable[Run]) -> dict[str, float]:
    """Return the median of each cost of a run in seconds."""
    return medians(run.costs for run in runs)


def programs(runs: Iterable[Run]) -> dict[str, dict[str, float]]:
    """Return the medians of what each program used, by its name and the names of Run.programs."""
    used: dict[str, list[dict[str, float]]] = {}
    for run in runs:
        for program, one in run.programs.items():
            used.setdefault(program, []).append(one)
    return {program: medians(each) for program, each in used.items()}
