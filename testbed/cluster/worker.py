"""What a Dask worker does: in each of its slots a lab, and in that one run after the other.

A lab is kept for the next run of the same experiment, for it takes seconds to boot and to rehearse.
It ends with the experiment, with its client, after a while without a run, and with the worker.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from testbed.base.files import last_line
from testbed.base.places import PROJECT
from testbed.cluster.parcel import Parcel, pack, unpack
from testbed.experiment.spec import PlannedRun
from testbed.lab import Lab, LabError, host
from testbed.lab.choice import choose
from testbed.lab.together import Ended, Together
from testbed.results import folder as results
from testbed.results.manifest import Machine, this_machine

IDLE = 60.0  # s that a lab waits for its next run
_LOOK = 0.5  # s between two looks at whether a run is still wanted
_THERE = ("running", "paused", "closing_gracefully")  # what a worker is before it is lost
_PACKAGES = ("agents", "testbed", "topologies")


class UnusableError(Exception):
    """A worker cannot carry out runs; the text says why, and what to do."""


@dataclass(frozen=True)
class Order:
    """A run to be carried out, with all that it needs.

    Orders of the same `experiment` can go to the same lab. Phases are told to Dask's topic of that
    name. `sources` are those of the client.
    """

    experiment: str
    lab: str
    sources: str
    spec: str
    planned: PlannedRun
    shared: Parcel

    @property
    def key(self) -> str:
        """The name of the run for Dask: the same for the same content."""
        content = repr((self.lab, self.sources, self.spec, self.planned, self.shared)).encode()
        return f"mip6lab-{self.planned.run}-{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Outcome:
    """A run that has been carried out: lines of the session, its folder, and what it complained of.

    `slot` is the one of `worker` that has carried it out.
    """

    worker: str
    slot: int
    lines: list[str]
    folder: Parcel
    log: bytes


@dataclass(frozen=True)
class Fitness:
    """What a worker is: its lab, and of its machine the CPUs and what a result depends on."""

    lab: str
    emulated: bool
    slots: int
    host: str
    machine: Machine


def sources() -> str:
    """Return a digest of this program: workers have to have the same."""
    digest = hashlib.sha256()
    for path in sorted(path for name in _PACKAGES for path in (PROJECT / name).rglob("*.*")):
        if path.suffix in {".py", ".sh", ".toml", ".c"}:
            digest.update(str(path.relative_to(PROJECT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _check_sources(wanted: str) -> None:
    if (found := sources()) != wanted:
        raise UnusableError(
            f"its mip6lab is another version (sources {found}, here {wanted}):"
            " install the same there, and start it again"
        )


def look(lab: str, needs: Collection[str], wanted: str, dask_worker: Any) -> Fitness:
    """Return what this worker is; UnusableError if it cannot carry out runs."""
    _check_sources(wanted)
    slots, cpus = dask_worker.state.nthreads, len(os.sched_getaffinity(0))
    if slots > cpus:
        raise UnusableError(
            f"it has {slots} slots and may use {cpus} CPUs, and labs that share one lengthen each"
            f" other's times: start it with --nthreads {cpus} at most"
        )
    try:
        place, _ = choose(lab, needs, slots)
    except LabError as error:
        raise UnusableError(str(error)) from None
    return Fitness(place.name, place.emulated, slots, platform.node(), this_machine())


class _Session:
    """A lab at work for an experiment."""

    def __init__(self, order: Order, lab: Lab) -> None:
        """To be made in a thread that outlives it, as a worker's do."""
        self.experiment = order.experiment
        self._held = ExitStack()
        try:
            folder = self._held.enter_context(host.job_folder())
            # What runs share is secret: it goes when this process is killed, too.
            self._held.enter_context(closing(host.Guard(folder))).watch()
            self.folder = results.create(folder, "experiment", order.spec, "session")
            results.write_plan(self.folder, [])
            self._log = self.folder / "lab.log"
            command = [sys.executable, "-m", "testbed.run.session", str(self.folder), "--fed"]
            job = self._held.enter_context(lab.start(command, cwd=PROJECT, log=self._log))
        except BaseException:
            self._held.close()
            raise
        self._sessions = Together()
        self._sessions.add(job)
        self._told = self.carried_out = 0

    def close(self) -> None:
        """End the lab, and remove all of it."""
        self._held.close()

    def takes(self, order: Order) -> bool:
        """Whether a run can be carried out here."""
        there = results.run_folder(self.folder, order.planned.run).exists()
        return order.experiment == self.experiment and not there

    def carry_out(
        self, order: Order, wanted: Callable[[], bool], tell: Callable[[str], None]
    ) -> tuple[list[str], Parcel] | None:
        """Return the session's lines and the run's folder, None if it was not wanted any more.

        `tell` is told other lines as they come. LabError if the lab has broken down.
        """
        shared = self.folder / "shared" / order.planned.shared
        if not shared.exists():
            shared.parent.mkdir(exist_ok=True, mode=0o700)
            unpack(order.shared, shared)
        results.write_plan(self.folder, [order.planned])
        kept: list[str] = []
        over = threading.Event()
        threading.Thread(target=self._watch, args=(wanted, over), daemon=True).start()
        try:
            for event in self._sessions.told():
                if isinstance(event, Ended):
                    raise LabError(self._reason(event))
                line = json.loads(event.text)
                if "result" in line:
                    self.carried_out += 1
                    return [*kept, event.text], self._take(order.planned.run)
                if "unwritten" in line:
                    _, why, where = line["unwritten"]
                    raise LabError(f"{where or self.folder}: {why}; make room there")
                if "kernel" in line:
                    kept.append(event.text)
                else:
                    tell(event.text)
            return None
        finally:
            over.set()

    def _watch(self, wanted: Callable[[], bool], over: threading.Event) -> None:
        while not over.wait(_LOOK):
            if not wanted():
                self._sessions.stop()
                return

    def _take(self, number: int) -> Parcel:
        """Return a run's folder and empty it; that it stays says that the run has been begun."""
        folder = results.run_folder(self.folder, number)
        parcel = pack(folder)
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return parcel

    def _reason(self, ended: Ended) -> str:
        if isinstance(ended.status, LabError):
            return str(ended.status)
        return f"the session ended with status {ended.status}: {last_line(self._log)}"

    def new_log(self) -> bytes:
        """Return what the session has complained of since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._told)
            new = file.read()
        self._told += len(new)
        return new


_waiting: dict[int, _Session] = {}
"""The labs that have nothing to do, by their slot."""
_lock = threading.Lock()


def _end(fits: Callable[[_Session], bool]) -> None:
    """End the labs that wait and fit."""
    with _lock:
        ended = [slot for slot, session in _waiting.items() if fits(session)]
        sessions = [_waiting.pop(slot) for slot in ended]
    for session in sessions:
        session.close()


def end(experiment: str) -> None:
    """End the labs that wait for runs of an experiment."""
    _end(lambda session: session.experiment == experiment)


def _take(slot: int, order: Order, needs: Collection[str], slots: int) -> _Session:
    """Return the lab of a slot for an order, another one if it is none for that."""
    with _lock:
        session = _waiting.pop(slot, None)
    if session and session.takes(order):
        return session
    if session:
        session.close()
    return _Session(order, choose(order.lab, needs, slots)[0])


def _leave(slot: int, session: _Session) -> None:
    """Let a lab wait for its next run, but not for long."""
    with _lock:
        _waiting[slot] = session
    since = session.carried_out
    timer = threading.Timer(IDLE, _end, [lambda one: one is session and one.carried_out == since])
    timer.daemon = True
    timer.start()


def carry_out(order: Order, needs: Collection[str]) -> Outcome:
    """Carry out a run; a task of Dask, in one of a worker's threads: its slots.

    UnusableError if this worker cannot, LabError if its lab broke down.
    """
    from distributed import Reschedule, get_worker  # noqa: PLC0415  # Of an extra.

    _check_sources(order.sources)
    worker, slot = get_worker(), threading.get_ident()
    key = worker.get_current_task()

    def wanted() -> bool:
        """Whether the client is there and has not taken it back, and the scheduler is there."""
        task = worker.state.tasks.get(key)
        there = worker.status.name in _THERE
        return there and task is not None and task.state != "cancelled"

    def tell(line: str) -> None:
        worker.log_event(order.experiment, [worker.address, slot, line])

    session = _take(slot, order, needs, worker.state.nthreads)
    try:
        done = session.carry_out(order, wanted, tell)
        log = session.new_log()
    except BaseException:
        session.close()
        raise
    if done is None:
        session.close()
        raise Reschedule  # In case that it is wanted again.
    _leave(slot, session)
    return Outcome(worker.address, slot, *done, log)
