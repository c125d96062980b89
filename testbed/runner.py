"""Carries out an experiment: plans it, runs it in a lab, measures it, and keeps the results."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import tomli_w

from agents.core.documents import shown
from testbed.base.files import NO_ROOM, last_line, plain, sweep
from testbed.base.jsonl import DataError, read_whole
from testbed.base.medians import medians
from testbed.base.places import PROJECT
from testbed.base.words import several
from testbed.cluster.client import Cluster, Dispatch
from testbed.experiment.spec import PlannedRun, Spec, SpecError
from testbed.experiment.steps import Expectation
from testbed.lab import Lab, LabError
from testbed.lab.caller import caller, give
from testbed.lab.job import check_reachable
from testbed.lab.sim import SimLab
from testbed.lab.together import Line, Together
from testbed.results import folder as results
from testbed.results.manifest import Machine, Manifest, begin_manifest, end_manifest, write_manifest
from testbed.results.runs import Run
from testbed.trace import counts, fleet, floods, keys, phases
from topologies.model import HostRole, Topology

if TYPE_CHECKING:
    from testbed.run.services import ServiceTimes


_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 0.5  # s after which a second one is another.


class Watcher(Protocol):
    """Is told how an experiment goes on; labs are counted from 0."""

    def phase(self, lab: int, variant: str, phase: str) -> None:
        """The run under way in a lab has entered a phase."""

    def finished(self, lab: int) -> None:
        """The run under way in a lab is over."""

    def ended(self, lab: int) -> None:
        """A lab carries out nothing more; a run that was under way in it is lost."""

    def stopping(self) -> None:
        """What is under way is being ended; called by a signal's handler, so no output here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an experiment came to."""

    folder: Path
    results: results.Results


def analyse(
    folder: Path,
    result: Mapping[str, Any],
    topology: Topology,
    expect: Expectation | None = None,
) -> Run:
    """Measure a finished run by its captures and check that against its agents' events.

    A run whose captures or events are not whole has failed, whatever it came to; and so has one of
    which too much came back for what was sent.
    """
    line = dict(result)
    run = results.run_folder(folder, line["run"])
    try:
        if topology.is_fleet:
            _measure_fleet(line, run, topology)
        else:
            _measure(line, run, topology, expect)
        if (run / "keys" / "keys.jsonl").exists():
            keys.wireshark_profile(run / "keys")
    except DataError as error:
        if line["status"] != "failed":
            line |= {"status": "failed", "reason": str(error)}
    line["reason"] = plain(line["reason"]) if line.get("reason") else None
    return _judge_growth(msgspec.convert(line, Run), expect)


def _judge_growth(run: Run, expect: Expectation | None) -> Run:
    """Return a run as failed if something of it grew that must not."""
    if not run.held or not expect or expect.growth is None or run.status == "failed":
        return run
    from testbed.analysis.growth import growth_over  # noqa: PLC0415  # SciPy takes its time.

    reason = growth_over(run, expect.growth)
    return msgspec.structs.replace(run, status="failed", reason=reason) if reason else run


def _measure(
    line: dict[str, Any], run: Path, topology: Topology, expect: Expectation | None
) -> None:
    """Add to a run's line what was seen of its mobile node; raises DataError."""
    mobile_node = topology.host(HostRole.MOBILE_NODE)
    capture = run / "captures" / f"{mobile_node}.pcapng"
    line["flood"] = floods.from_events(run / "events.jsonl")
    if expect and line["status"] != "failed":
        line |= _judge_flood(line["flood"], expect)
    if line["status"] != "ok":
        read_whole(run / "events.jsonl", dict)
        line["phases"] = phases.reached(capture, phases.macs(topology))
        return
    seen = phases.from_capture(capture, phases.macs(topology))
    line["phases"] = seen.phases
    line["event_phases"] = phases.from_events(run / "events.jsonl", mobile_node).phases
    line["first_packet"] = seen.first_packet
    line["discovery"], line["overlap"] = seen.discovery, seen.overlap
    line["traffic"] = counts.count(run / "captures", topology, seen)


def _judge_flood(flood: Mapping[str, float] | None, expect: Expectation) -> dict[str, str]:
    """Return what changes of a run's line if more came back to a stranger than may."""
    if (allowed := expect.octets_back) is None:
        return {}
    back = floods.octets_back(flood) if flood else None
    if back is None:
        reason = "the stranger told of nothing that it sent, so that nothing can be judged by it"
    elif back > allowed:
        reason = f"{back:.2f} octets came back for one that was sent; {allowed:g} may"
    else:
        return {}
    return {"status": "failed", "reason": reason}


def _measure_fleet(line: dict[str, Any], run: Path, topology: Topology) -> None:
    """Add to a run's line what was seen of each of its mobile nodes; raises DataError."""
    captures, members = run / "captures", line.get("members", [])
    _check_home_addresses(members)
    if line.get("crowd") and not any(captures.glob("*.pcapng")):
        return  # There are no captures of so many: phases are from events.
    frames = fleet.frames_of(captures, topology)
    for member in members:
        own = frames[member["host"]]
        whole = member["end"] is not None
        member["phases"] = (
            phases.from_frames(own.passed, captures / member["host"]).phases
            if whole
            else phases.reached_in(own.passed, captures)
        )
        member["repeated"] = counts.repeated(own)
    done = [member for member in members if member["end"] is not None]
    logged = phases.from_events_of_all(
        run / "events.jsonl", [member["host"] for member in done]
    ).values()
    line["phases"] = medians(member["phases"] for member in done)
    line["event_phases"] = medians(timeline.phases for timeline in logged)


def _check_home_addresses(members: Sequence[Mapping[str, Any]]) -> None:
    """Raise DataError if two mobile nodes have one home address at the end."""
    places = [member.get("moved") or member for member in members]
    owners = Counter(filter(None, (place.get("home_address") for place in places)))
    for address, times in owners.items():
        if times > 1:
            raise DataError(f"home address {address} is that of {times} mobile nodes")


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
    spec: Spec, plan: Sequence[PlannedRun], *, lab: Lab | Cluster, jobs: int, seed: int, root: Path
) -> tuple[Path, Manifest]:
    """Make the results folder with all that the runs need; raises DataError, before, or OSError."""
    _check(root)
    taken = None
    if isinstance(lab, SimLab) and lab.services:
        from testbed.run import services  # noqa: PLC0415  # It imports all programs.

        taken = services.take(lab.services, spec, plan)
    folder = results.create(root, spec.experiment.name, tomli_w.dumps(spec.document))
    with _located(folder):
        try:
            return folder, _prepare(folder, spec, plan, lab, jobs, seed, taken)
        except BaseException:  # Also Ctrl-C: nothing can be made of what has no plan.
            shutil.rmtree(folder)
            raise


@contextmanager
def _located(folder: Path) -> Iterator[None]:
    """Have an OSError name the results folder if it names no file: a disk was full, perhaps."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(folder)) from None


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Have an OSError become a DataError that says what to do: what is done by then is kept."""
    try:
        yield
    except OSError as error:
        what = os.fsdecode(error.filename) if error.filename else folder
        missing = results.missing_runs(folder)
        command = "run --resume" if missing else "report"
        first = "make room there, or have it be writable, and" if error.errno in NO_ROOM else "to"
        raise DataError(
            f"{plain(what)}: {error.strerror}; missing: {several(len(missing), 'run')};"
            f" {first} go on: mip6lab {command} {plain(folder)}"
        ) from None


def _prepare(
    folder: Path,
    spec: Spec,
    plan: Sequence[PlannedRun],
    lab: Lab | Cluster,
    jobs: int,
    seed: int,
    taken: ServiceTimes | None,
) -> Manifest:
    """Put all that the runs need into a results folder, and the plan last."""
    for planned in {run.shared: run for run in plan}.values():
        shared = folder / "shared" / planned.shared
        shared.mkdir(parents=True, mode=0o700)
        there = spec.at(planned.parameters)
        name = planned.variant
        there.approach(name).prepare(shared, there.settings(name), there.topology(name))
    manifest = begin_manifest(
        folder,
        lab=lab.name,
        jobs=jobs,
        emulated=lab.emulated,
        seed=seed,
        delays_asked=_asked(spec),
        workers=_workers(lab),
    )
    if isinstance(lab, SimLab):
        from testbed.run import services  # noqa: PLC0415

        times = services.keep(folder, spec, plan, taken, lab.slowness)
        manifest.services = times.origin
        write_manifest(folder, manifest)
    results.write_plan(folder, plan)  # Now there is all that its runs need.
    return manifest


def _workers(lab: Lab | Cluster) -> Mapping[str, Machine]:
    return lab.workers if isinstance(lab, Cluster) else {}


def begin_again(loaded: results.Results, lab: Lab | Cluster, jobs: int) -> Manifest:
    """Clear what interrupted runs left of themselves, and begin the manifest of what is missing."""
    _check(loaded.folder)
    for place in (loaded.folder, loaded.folder / "figures"):
        sweep(place)
    for planned in loaded.missing:
        results.clear_run_folder(loaded.folder, planned.run)
    before = loaded.manifest
    return begin_manifest(
        loaded.folder,
        lab=lab.name,
        jobs=jobs,
        emulated=lab.emulated,
        seed=before.seed if before else 0,
        delays_asked=before.delays_asked if before else {},
        workers=_workers(lab),
        before=before,
    )


def _check_writable(folder: Path) -> None:
    """Raise DataError if nothing can be written into a results folder."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{plain(folder)} cannot be written to; copy it, and use the copy")


class CompleteError(DataError):
    """Results that lack no run: there is nothing to go on with."""


def interrupted(folder: Path) -> tuple[results.Results, Spec]:
    """Return results that lack runs, and their experiment; DataError if they cannot be had.

    Raises CompleteError if they lack none.
    """
    loaded = results.load(folder)
    _check_writable(loaded.folder)
    where, runs = plain(loaded.folder), loaded.folder / "runs"
    if runs.is_symlink():
        raise DataError(
            f"{plain(runs)} is a link, and what is half done there would be removed: go on with the"
            " folder itself in its place"
        )
    if not loaded.plan:
        raise DataError(
            f"{where}: no plan.json says what runs it was to have; if it was ended before they"
            " began, run the experiment anew"
        )
    if not loaded.missing:
        raise CompleteError(
            f"{where}: all of its {len(loaded.plan)} planned runs are there;"
            f" what follows from them is written by: mip6lab report {where}"
        )
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
    spec: Spec,
    plan: Sequence[PlannedRun],
    *,
    lab: Lab | Cluster,
    jobs: int = 1,
    seed: int,
    root: Path,
    watcher: Watcher,
) -> Outcome:
    """Carry out the planned runs, `jobs` at a time; what is done is kept whatever happens.

    On a cluster its workers decide how many are carried out at a time.

    Raises LabError if a lab cannot be had, and, when the others have done what they can, if one
    broke down.
    """
    labs = min(jobs, len(plan))
    folder, manifest = begin(spec, plan, lab=lab, jobs=labs, seed=seed, root=root)
    with results.held(folder), _resumable(folder):
        return _Experiment(folder, spec, manifest, lab, watcher).carry_out(labs)


def resume(folder: Path, *, lab: Lab | Cluster, jobs: int = 1, watcher: Watcher) -> Outcome:
    """Carry out the runs that an interrupted folder lacks, and none twice.

    Raises DataError if nothing is missing or can be had, LabError as carry_out() does.
    """
    with results.held(folder), _resumable(folder):
        loaded, spec = interrupted(folder)
        labs = min(jobs, len(loaded.missing))
        manifest = begin_again(loaded, lab, labs)
        return _Experiment(loaded.folder, spec, manifest, lab, watcher).carry_out(labs)


@dataclass(slots=True)
class _Experiment:
    """An experiment under way."""

    folder: Path
    spec: Spec
    manifest: Manifest
    lab: Lab | Cluster
    watcher: Watcher
    linked: bool = False

    def carry_out(self, labs: int) -> Outcome:
        """Have so many labs carry out what is missing; one that breaks down stops no other.

        Each takes the next run that no other has. All are started by this thread, with which they
        would die.
        """
        broken: list[str] = []
        try:
            with self._sessions(labs) as sessions:
                import_module("testbed.report.conclusion")  # Takes a second, as labs do to boot.
                for event in sessions.told():
                    if isinstance(event, Line):
                        self._note(event.job, json.loads(event.text))
                        continue
                    self.watcher.ended(event.job)
                    if event.status:
                        broken.append(self._reason(event.job, event.status))
        except LabError as error:
            broken.append(str(error))
        self.manifest.workers = dict(_workers(self.lab))  # Some may have come later.
        outcome = Outcome(self.folder, _end(self.folder, self.manifest))
        if broken:
            raise LabError("\n".join([*broken, f"what is done is in {plain(self.folder)}"]))
        return outcome

    @contextmanager
    def _sessions(self, labs: int) -> Iterator[Together | Dispatch]:
        """Have so many sessions at work here, or those of a cluster."""
        if isinstance(self.lab, Cluster):
            dispatch = self.lab.dispatch(self.folder, results.missing_runs(self.folder))
            with self._interrupts_told(dispatch):
                yield dispatch
            return
        simulated = isinstance(self.lab, SimLab)
        program = "simulation" if simulated else "session"
        command = [sys.executable, "-m", f"testbed.run.{program}", str(self.folder)]
        sessions = Together(quiet=None) if simulated else Together()
        with self._interrupts_told(sessions), ExitStack() as held:
            for number in range(labs):
                log = results.lab_log(self.folder, number)
                job = self.lab.start(command, cwd=PROJECT, log=log)
                sessions.add(held.enter_context(job))
            yield sessions

    @contextmanager
    def _interrupts_told(self, sessions: Together | Dispatch) -> Iterator[None]:
        """Tell of Ctrl-C, or of SIGTERM, when it comes: to end a lab may take seconds.

        What has been carried out before is still kept; the results say what is missing. The second
        time it ends everything, but not at once: timeout(1) sends a signal twice.
        """
        first: list[float] = []

        def interrupt(number: int, frame: FrameType | None) -> None:
            first.append(time.monotonic())
            if len(first) == 1:
                self.watcher.stopping()
                sessions.stop()
            elif first[-1] - first[0] > _AGAIN:
                signal.default_int_handler(number, frame)

        mine = threading.current_thread() is threading.main_thread()
        ours = [n for n in _INTERRUPTS if signal.getsignal(n) is signal.default_int_handler]
        heard = ours if mine else []  # The other signals are another's, or ignored.
        for number in heard:
            signal.signal(number, interrupt)
        try:
            yield
        finally:
            for number in heard:
                signal.signal(number, signal.default_int_handler)

    def _reason(self, lab: int, status: int | LabError) -> str:
        """Say why a session is over too soon."""
        if isinstance(status, LabError):
            return str(status)
        last = last_line(results.lab_log(self.folder, lab))
        return f"the session in the {self.lab.name} lab ended with status {status}: {last}"

    def _note(self, lab: int, line: Mapping[str, Any]) -> None:
        """Keep what a session says."""
        if "kernel" in line:
            self.manifest.kernel = line["kernel"]
            write_manifest(self.folder, self.manifest)
        elif "result" in line:
            result = line["result"]
            there, name = self.spec.at(result.get("parameters", {})), result["variant"]
            topology, expect = there.topology(name), there.variants[name].expect
            with _located(results.run_folder(self.folder, result["run"])):
                run = analyse(self.folder, result, topology, expect)
            results.append(self.folder, run)
            if not self.linked:
                results.link_latest(self.folder)
                self.linked = True
            self.watcher.finished(lab)
        elif "unwritten" in line:
            raise OSError(*line["unwritten"])
        else:
            self.watcher.phase(lab, line["variant"], line["phase"])


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
    from testbed.report import conclusion  # noqa: PLC0415  # While labs boot, or at the end.

    conclusion.write(loaded)
    if user := caller(PROJECT):
        give(folder.parent, user)
    return loaded
