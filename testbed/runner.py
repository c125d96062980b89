"""Carries out an experiment: plans it, runs it in a lab, measures it, and keeps the results."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import tomli_w

from agents.core.documents import shown
from testbed.analysis import stats
from testbed.base.files import plain
from testbed.base.jsonl import DataError, read_whole
from testbed.base.places import PROJECT
from testbed.experiment.spec import PlannedRun, Spec, SpecError
from testbed.lab import Lab, LabError
from testbed.lab.caller import caller, give
from testbed.lab.job import check_reachable
from testbed.report import page as report
from testbed.report import plots
from testbed.results import folder as results
from testbed.results.manifest import Manifest, begin_manifest, end_manifest, write_manifest
from testbed.results.runs import Run
from testbed.trace import counts, floods, keys, phases
from topologies.model import HostRole, Topology


class Watcher(Protocol):
    """Is told how an experiment goes on."""

    def phase(self, variant: str, phase: str) -> None:
        """A run has entered a phase."""

    def finished(self) -> None:
        """A run is over."""

    def stopping(self) -> None:
        """What is under way is being ended; called by a signal's handler, so no output here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an experiment came to."""

    folder: Path
    results: results.Results


def _lines(lab: Lab, folder: Path) -> Generator[dict[str, Any], None, None]:
    """Yield a session's lines."""
    command = [sys.executable, "-m", "testbed.run.session", str(folder)]
    with lab.start(command, cwd=PROJECT, log=folder / "lab.log") as job:
        for line in job.lines():
            yield json.loads(line)
        status = job.wait()
    if status:
        said = (folder / "lab.log").read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else "it left no message"
        raise LabError(f"the session in the {lab.name} lab ended with status {status}: {last}")


def analyse(folder: Path, result: Mapping[str, Any], topology: Topology) -> Run:
    """Measure a finished run by its captures and check that against its agents' events.

    A run whose captures or events are not whole has failed, whatever it came to.
    """
    line = dict(result)
    run = results.run_folder(folder, line["run"])
    mobile_node = topology.host(HostRole.MOBILE_NODE)
    capture = run / "captures" / f"{mobile_node}.pcapng"
    try:
        line["flood"] = floods.from_events(run / "events.jsonl")
        if line["status"] == "ok":
            seen = phases.from_capture(capture)
            logged = phases.from_events(run / "events.jsonl", mobile_node)
            line["phases"] = seen.phases
            line["event_phases"] = logged.phases
            line["first_packet"] = seen.first_packet
            line["discovery"], line["overlap"] = seen.discovery, seen.overlap
            line["traffic"] = counts.count(run / "captures", topology, seen)
        else:
            read_whole(run / "events.jsonl", dict)
            line["phases"] = phases.reached(capture)
        if (run / "keys" / "keys.jsonl").exists():
            keys.wireshark_profile(run / "keys")
    except DataError as error:
        if line["status"] != "failed":
            line |= {"status": "failed", "reason": str(error)}
    line["reason"] = plain(line["reason"]) if line.get("reason") else None
    return msgspec.convert(line, Run)


def _asked(spec: Spec) -> dict[str, float]:
    """Return the largest delays asked for, by variant and link, in seconds."""
    largest: dict[str, float] = {}
    for there in map(spec.at, spec.points):
        for variant in there.variants:
            for link in there.topology(variant).links:
                name = f"{variant}: {link.name}"
                largest[name] = max(largest.get(name, 0.0), link.shape.delay)
    return largest


def _measured(runs: Sequence[Run]) -> dict[str, float]:
    """Return the largest delays measured, by variant and link, in seconds."""
    worst: dict[str, float] = {}
    for run in runs:
        for link, values in run.measured.items():
            name = f"{run.variant}: {link}"
            worst[name] = max(worst.get(name, 0.0), values["delay"] or 0.0)
    return worst


def make_output(folder: Path) -> Path:
    """Make the folder for results, of the user behind sudo if it is new; return its whole path.

    LabError if there can be no results.
    """
    _check(folder)
    try:
        new = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(
            f"{plain(folder)}: {error.strerror}; choose another folder by --output"
        ) from None
    if user := caller(PROJECT):
        for each in new:
            os.chown(each, user.pw_uid, user.pw_gid)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LabError(f"{folder} cannot be written to; choose another folder by --output")
    return folder.absolute()


def _check(folder: Path) -> None:
    """Raise LabError if a lab cannot reach a folder, or its programs cannot be told of it."""
    check_reachable(folder)
    if plain(folder.absolute()) != str(folder.absolute()):
        raise LabError(f"{plain(folder)}: its name is not UTF-8; keep results in another folder")


def begin(
    spec: Spec, plan: Sequence[PlannedRun], *, lab: Lab, seed: int, root: Path
) -> tuple[Path, Manifest]:
    """Make the results folder with all that the runs need."""
    _check(root)
    folder = results.create(root, spec.experiment.name, tomli_w.dumps(spec.document))
    for planned in {run.shared: run for run in plan}.values():
        shared = folder / "shared" / planned.shared
        shared.mkdir(parents=True, mode=0o700)
        there = spec.at(planned.parameters)
        there.approach(planned.variant).prepare(shared, there.settings(planned.variant))
    manifest = begin_manifest(folder, lab=lab.name, seed=seed, delays_asked=_asked(spec))
    results.write_plan(folder, plan)  # Now there is all that its runs need.
    return folder, manifest


def begin_again(loaded: results.Results, lab: Lab) -> Manifest:
    """Clear what interrupted runs left of themselves, and begin the manifest of what is missing."""
    _check(loaded.folder)
    for planned in loaded.missing:
        results.clear_run_folder(loaded.folder, planned.run)
    before = loaded.manifest
    return begin_manifest(
        loaded.folder,
        lab=lab.name,
        seed=before.seed if before else 0,
        delays_asked=before.delays_asked if before else {},
        before=before,
    )


def _check_writable(folder: Path) -> None:
    """Raise DataError if nothing can be written into a results folder."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{plain(folder)} cannot be written to; copy it, and use the copy")


def interrupted(folder: Path) -> tuple[results.Results, Spec]:
    """Return results that lack runs, and their experiment; DataError if they cannot be had."""
    loaded = results.load(folder)
    _check_writable(loaded.folder)
    where = plain(loaded.folder)
    if not loaded.plan:
        raise DataError(f"{where}: no plan.json says what runs it was to have")
    if not loaded.missing:
        raise DataError(f"{where}: all of its {len(loaded.plan)} planned runs are there")
    try:
        spec = loaded.spec or Spec.load(loaded.folder / "spec.toml")
    except SpecError as error:
        raise DataError(str(error)) from None
    points = {json.dumps(point, sort_keys=True) for point in spec.points}
    for one in loaded.missing:
        there = json.dumps(one.parameters, sort_keys=True) in points
        if one.variant not in spec.variants or not there:
            at = "".join(f", {path} = {shown(value)}" for path, value in one.parameters.items())
            lacks = f"spec.toml has no variant {plain(one.variant)}{plain(at)}"
            raise DataError(f"{where}: {lacks}, of which plan.json has run {one.run}")
    return loaded, spec


def carry_out(
    spec: Spec, plan: Sequence[PlannedRun], *, lab: Lab, seed: int, root: Path, watcher: Watcher
) -> Outcome:
    """Carry out the planned runs; what is done is kept whatever happens.

    Raises LabError if the lab breaks down.
    """
    folder, manifest = begin(spec, plan, lab=lab, seed=seed, root=root)
    with results.held(folder):
        return _go_on(folder, spec, manifest, lab, watcher)


def resume(folder: Path, *, lab: Lab, watcher: Watcher) -> Outcome:
    """Carry out the runs that an interrupted folder lacks, and none twice.

    Raises DataError if nothing is missing or can be had, LabError if the lab breaks down.
    """
    with results.held(folder):
        loaded, spec = interrupted(folder)
        return _go_on(loaded.folder, spec, begin_again(loaded, lab), lab, watcher)


def _go_on(folder: Path, spec: Spec, manifest: Manifest, lab: Lab, watcher: Watcher) -> Outcome:
    linked = False
    try:
        with _interrupts_told(watcher), closing(_lines(lab, folder)) as lines:
            for line in lines:
                if "kernel" in line:
                    manifest.kernel = line["kernel"]
                    write_manifest(folder, manifest)
                elif "result" in line:
                    run = analyse(folder, line["result"], spec.topology(line["result"]["variant"]))
                    results.append(folder, run)
                    if not linked:
                        results.link_latest(folder)
                        linked = True
                    watcher.finished()
                else:
                    watcher.phase(line["variant"], line["phase"])
    except KeyboardInterrupt:
        pass  # The results say what is missing.
    except LabError as error:
        _end(folder, manifest)
        raise LabError(f"{error}\nwhat is done is in {plain(folder)}") from None
    return Outcome(folder, _end(folder, manifest))


@contextmanager
def _interrupts_told(watcher: Watcher) -> Iterator[None]:
    """Tell of Ctrl-C when it comes: to end a lab may take seconds."""

    def interrupt(*_: object) -> None:
        watcher.stopping()
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # The signal is another's, or ignored.
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(folder: Path, manifest: Manifest) -> results.Results:
    loaded = results.load(folder)
    manifest.delays_measured = _measured(loaded.runs)
    end_manifest(folder, manifest)
    return _write(replace(loaded, manifest=manifest))


def conclude(folder: Path) -> results.Results:
    """Write summary, CSV, figures and report of a results folder; raises DataError or OSError."""
    return _write(results.load(folder))


def _write(loaded: results.Results) -> results.Results:
    folder = loaded.folder
    _check_writable(folder)
    plots.draw(loaded)  # First: what cannot be drawn becomes a warning.
    stats.write_summary(loaded)
    results.write_phases_csv(loaded)
    report.write(loaded)
    if user := caller(PROJECT):
        give(folder.parent, user)
    return loaded
