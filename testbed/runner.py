"""Carries out an experiment: plans it, runs it in a lab, measures it, and keeps the results."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import tomli_w

from testbed import counts, keys, loads, phases, plots, report, results, session, stats
from testbed.jsonl import DataError
from testbed.lab import Lab, LabError
from testbed.lab.caller import caller, give
from testbed.lab.job import check_reachable
from testbed.manifest import Manifest, begin_manifest, end_manifest
from testbed.places import PROJECT
from testbed.spec import PlannedRun, Spec, write_plan
from topologies.model import Topology

MOBILE_NODE = "A"


class Watcher(Protocol):
    """Is told how an experiment goes on."""

    def phase(self, variant: str, phase: str) -> None:
        """A run has entered a phase."""

    def finished(self) -> None:
        """A run is over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an experiment came to."""

    folder: Path
    results: results.Results
    planned: int
    interrupted: bool


def _lines(lab: Lab, folder: Path) -> Generator[dict[str, Any], None, None]:
    """Yield a session's lines; a kernel that is not this one gets a session of its own."""
    if lab.name == "native":
        yield from session.execute(folder)
        return
    command = [sys.executable, "-m", "testbed.session", str(folder)]
    with lab.start(command, cwd=PROJECT, log=folder / "lab.log") as job:
        for line in job.lines():
            yield json.loads(line)
        status = job.wait()
    if status:
        said = (folder / "lab.log").read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else "it left no message"
        raise LabError(f"the session in the {lab.name} lab ended with status {status}: {last}")


def analyse(folder: Path, result: Mapping[str, Any], topology: Topology) -> results.Run:
    """Measure a finished run by its captures and check that against its agents' events."""
    line = dict(result)
    run = results.run_folder(folder, line["run"])
    try:
        line["flood"] = loads.from_events(run / "events.jsonl")
        if line["status"] == "ok":
            seen = phases.from_capture(run / "captures" / f"{MOBILE_NODE}.pcapng")
            logged = phases.from_events(run / "events.jsonl", MOBILE_NODE)
            line["phases"] = seen.phases
            line["event_phases"] = logged.phases
            line["first_packet"] = seen.first_packet
            line["discovery"], line["overlap"] = seen.discovery, seen.overlap
            line["traffic"] = counts.count(run / "captures", topology, seen)
        if (run / "keys" / "keys.jsonl").exists():
            keys.wireshark_profile(run / "keys")
    except DataError as error:
        line |= {"status": "failed", "reason": str(error)}
    return msgspec.convert(line, results.Run)


def _asked(spec: Spec) -> dict[str, float]:
    """Return the largest delays asked for, by variant and link, in seconds."""
    largest: dict[str, float] = {}
    for there in map(spec.at, spec.points):
        for variant in there.variants:
            for link in there.topology(variant).links:
                name = f"{variant}: {link.name}"
                largest[name] = max(largest.get(name, 0.0), link.shape.delay)
    return largest


def _measured(runs: Sequence[results.Run]) -> dict[str, float]:
    """Return the largest delays measured, by variant and link, in seconds."""
    worst: dict[str, float] = {}
    for run in runs:
        for link, values in run.measured.items():
            name = f"{run.variant}: {link}"
            worst[name] = max(worst.get(name, 0.0), values["delay"] or 0.0)
    return worst


def begin(
    spec: Spec, plan: Sequence[PlannedRun], *, lab: Lab, seed: int, root: Path
) -> tuple[Path, Manifest]:
    """Make the results folder with all that the runs need."""
    check_reachable(root)
    folder = results.create(root, spec.experiment.name, tomli_w.dumps(spec.document))
    write_plan(folder / "plan.json", plan)
    for planned in {run.shared: run for run in plan}.values():
        shared = folder / "shared" / planned.shared
        shared.mkdir(parents=True, mode=0o700)
        there = spec.at(planned.parameters)
        there.approach(planned.variant).prepare(shared, there.settings(planned.variant))
    manifest = begin_manifest(folder, lab=lab.name, seed=seed, delays_asked=_asked(spec))
    return folder, manifest


def carry_out(
    spec: Spec, plan: Sequence[PlannedRun], *, lab: Lab, seed: int, root: Path, watcher: Watcher
) -> Outcome:
    """Carry out the planned runs; what is done is kept whatever happens.

    Raises LabError if the lab breaks down.
    """
    folder, manifest = begin(spec, plan, lab=lab, seed=seed, root=root)
    done: list[results.Run] = []
    interrupted = False
    try:
        with closing(_lines(lab, folder)) as lines:
            for line in lines:
                if "result" in line:
                    run = analyse(folder, line["result"], spec.topology(line["result"]["variant"]))
                    results.append(folder, run)
                    done.append(run)
                    watcher.finished()
                else:
                    watcher.phase(line["variant"], line["phase"])
    except KeyboardInterrupt:
        interrupted = True
    finally:
        manifest.delays_measured = _measured(done)
        end_manifest(folder, manifest)
    return Outcome(folder, conclude(folder), len(plan), interrupted)


def conclude(folder: Path) -> results.Results:
    """Write summary, CSV, figures and report of a results folder."""
    loaded = results.load(folder)
    stats.write_summary(loaded)
    results.write_phases_csv(loaded)
    if any(run.status == "ok" for run in loaded.runs):
        plots.draw(folder)
    report.write(folder)
    if user := caller(PROJECT):
        give(folder.parent, user)
    return loaded
