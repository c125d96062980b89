"""The client of a Dask cluster: hands runs to workers, and puts what comes back in its place."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from secrets import token_hex
from typing import Any

from testbed.base.places import how_to_install_extra
from testbed.base.words import several
from testbed.cluster import worker
from testbed.cluster.parcel import Parcel, pack, unpack
from testbed.cluster.worker import Fitness, Order, Outcome, UnusableError
from testbed.experiment.spec import PlannedRun
from testbed.lab import LabError
from testbed.lab.together import Ended, Line
from testbed.results import folder as results
from testbed.results.manifest import Machine
from testbed.results.runs import failed

CONNECT = 10.0  # s for the scheduler to answer, and for a first worker to be there
ABSENCE = 60.0  # s without a worker after which nothing more is expected
_TICK = 1.0  # s between two looks at the workers
_GATHER = 5.0  # s for a result to come from its worker
_CLOSE = 10.0  # s for the workers to end what they have
_AHEAD = 2  # runs that Dask knows of, per slot
_RETRIES = 2  # of a run in whose lab something broke
_SCHEDULER = "dask scheduler"
_WORKERS = "dask worker {} --nworkers N --nthreads 1"


class _GoneError(Exception):
    """The scheduler, or the last worker, is gone."""


@dataclass(slots=True)
class Dispatch:
    """Runs under way on a cluster: their lines as they come, as Together has those of jobs."""

    cluster: Cluster
    folder: Path
    plan: Sequence[PlannedRun]
    _experiment: str = field(default_factory=lambda: f"mip6lab-{token_hex(8)}")
    _told: SimpleQueue[Any] = field(default_factory=SimpleQueue)
    _planned: dict[int, PlannedRun] = field(default_factory=dict)
    _futures: dict[int, Any] = field(default_factory=dict)
    _slots: dict[tuple[str, int], int] = field(default_factory=dict)
    _shared: dict[str, Parcel] = field(default_factory=dict)
    _at: dict[int, int] = field(default_factory=dict)

    def stop(self) -> None:
        """Let told() end with what is here until now; for a signal's handler too."""
        self._told.put(None)

    def told(self) -> Iterator[Line | Ended]:
        """Yield the lines of all runs, each run's folder being there when its result is told.

        What breaks down is told as the end of a slot; then no further run begins.
        """
        self.cluster.client.subscribe_topic(self._experiment, lambda event: self._put(*event))
        try:
            yield from self._lines()
        except _GoneError as error:
            yield Ended(0, LabError(str(error)))
        finally:
            self._end()

    def _put(self, _: float, message: Any) -> None:
        self._told.put(tuple(message))

    def _lines(self) -> Iterator[Line | Ended]:
        rest = iter(self.plan)
        watched = _Watched(self.cluster)
        self._submit(rest, watched.look())
        while self._futures:
            try:
                told = self._told.get(timeout=_TICK)
            except Empty:
                watched.look()
                continue
            match told:
                case None:
                    return
                case (str(address), int(thread), str(text)):
                    yield from self._phase(self._slot(address, thread), text)
                case int(number) if number in self._futures:
                    broken = False
                    for line in self._finished(number):
                        broken |= isinstance(line, Ended) and line.status != 0
                        yield line
                    rest = iter(()) if broken else rest
                    self._submit(rest, watched.look())

    def _submit(self, rest: Iterator[PlannedRun], slots: int) -> None:
        """Keep the workers in work, and what the scheduler has to hold small."""
        spec = (self.folder / "spec.toml").read_text(encoding="utf-8")
        for _ in range(max(1, _AHEAD * slots) - len(self._futures)):
            if (planned := next(rest, None)) is None:
                return
            if planned.shared not in self._shared:
                self._shared[planned.shared] = pack(self.folder / "shared" / planned.shared)
            order = Order(
                experiment=self._experiment,
                lab=self.cluster.name,
                sources=self.cluster.sources,
                spec=spec,
                planned=planned,
                shared=self._shared[planned.shared],
            )
            future = self.cluster.client.submit(
                worker.carry_out, order, self.cluster.needs, key=order.key, retries=_RETRIES
            )
            self._planned[planned.run], self._futures[planned.run] = planned, future
            self._await(planned.run)

    def _await(self, number: int) -> None:
        self._futures[number].add_done_callback(lambda _: self._told.put(number))

    def _slot(self, address: str, thread: int) -> int:
        """Return the number of a worker's slot, counted from 0 as they appear."""
        return self._slots.setdefault((address, thread), len(self._slots))

    def _phase(self, slot: int, text: str) -> Iterator[Line | Ended]:
        run = json.loads(text)["run"]
        if run not in self._futures:
            return  # It was over before this came.
        before = self._at.get(run, slot)
        self._at[run] = slot
        if before != slot:
            yield Ended(before, 0)  # Its worker was lost.
        yield Line(slot, text)

    def _finished(self, number: int) -> Iterator[Line | Ended]:
        """Put a run's folder in its place, and yield what is to be told of it."""
        from distributed import KilledWorker  # noqa: PLC0415  # Of an extra.

        planned, future = self._planned[number], self._futures[number]
        slot = self._at.get(number, 0)
        try:
            outcome: Outcome = future.result(timeout=_GATHER)
        except KilledWorker as error:
            if number not in self._at:  # It waited there for another, which was the cause.
                future.retry()
                self._await(number)
                return
            times = error.allowed_failures + 1
            reason = (
                f"{several(times, 'worker')} of the cluster died while they carried it out, the"
                f" last one {error.last_worker.address}: see there"
            )
            results.clear_run_folder(self.folder, number)
            results.make_run_folder(self.folder, number)
            yield Line(slot, json.dumps({"result": failed(planned, reason)}))
        except (LabError, UnusableError) as error:
            yield Ended(slot, LabError(f"run {number}, on a worker of the cluster: {error}"))
        except Exception as error:
            if future.cancelled() or self.cluster.client.status != "running":
                raise _GoneError(f"the scheduler at {self.cluster.address} is gone") from None
            if future.status != "error":  # Its worker was lost with it: it is carried out again.
                self._await(number)
                return
            text = f"{type(error).__name__}: {error}"
            yield Ended(slot, LabError(f"run {number}, on a worker of the cluster: {text}"))
        else:
            try:
                yield from self._place(planned, outcome)
            except ValueError as error:
                text = f"worker {outcome.worker} of the cluster sent no result: {error}"
                yield Ended(slot, LabError(f"run {number}: {text}"))
        del self._futures[number], self._planned[number]
        self._at.pop(number, None)

    def _place(self, planned: PlannedRun, outcome: Outcome) -> Iterator[Line]:
        slot = self._slot(outcome.worker, outcome.slot)
        if outcome.log:
            with results.lab_log(self.folder, slot).open("ab") as log:
                log.write(outcome.log)
        results.clear_run_folder(self.folder, planned.run)
        unpack(outcome.folder, results.run_folder(self.folder, planned.run))
        for text in outcome.lines:
            line = json.loads(text)
            if "result" in line:
                line["result"]["worker"] = outcome.worker
            yield Line(slot, json.dumps(line))

    def _end(self) -> None:
        """Have what is under way ended, and the labs that wait for more."""
        client = self.cluster.client
        futures = list(self._futures.values())
        self._futures.clear()
        if client.status == "running":  # Else the workers find out by themselves.
            client.unsubscribe_topic(self._experiment)
            _at_most(_CLOSE, lambda: client.cancel(futures))
            _at_most(_CLOSE, lambda: client.run(worker.end, self._experiment, on_error="ignore"))


class _Watched:
    """How many slots there are, and for how long there were none."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._slots = 0
        self._looked = self._seen = time.monotonic()

    def look(self) -> int:
        """Return how many there are; _GoneError if none has been for long."""
        now = time.monotonic()
        if not self._slots or now - self._looked >= _TICK:
            self._looked = now
            self._slots = self._cluster.count_slots()
        if self._slots:
            self._seen = now
        elif now - self._seen > ABSENCE:
            raise _GoneError(
                f"the scheduler at {self._cluster.address} has had no worker for {ABSENCE:.0f} s"
            )
        return self._slots


class Cluster:
    """Workers that are fit to carry out an experiment's runs, behind a scheduler."""

    def __init__(self, client: Any, address: str, needs: Collection[str]) -> None:
        self.client, self.address, self.needs = client, address, sorted(needs)
        self.name, self.emulated, self.jobs = "", False, 0
        self.sources = worker.sources()
        self.workers: dict[str, Machine] = {}

    def dispatch(self, folder: Path, plan: Sequence[PlannedRun]) -> Dispatch:
        """Return what carries out planned runs into a results folder."""
        return Dispatch(self, folder, plan)

    def count_slots(self) -> int:
        """Return how many runs the workers carry out at once that are there now, new ones too."""
        try:
            found = self.client.scheduler_info(n_workers=-1)["workers"]
            if new := found.keys() - self.workers.keys():
                self._examine(self.name, list(new))
        except LabError as error:
            raise _GoneError(str(error)) from None
        except Exception:
            raise _GoneError(f"the scheduler at {self.address} is gone") from None
        return sum(one["nthreads"] for one in found.values())

    def examine(self, lab: str) -> None:
        """Find out what the workers are; LabError, with what to do, if one cannot be used."""
        try:
            self.client.wait_for_workers(1, timeout=CONNECT)
        except TimeoutError:
            start = _WORKERS.format(self.address)
            raise LabError(
                f"the scheduler at {self.address} has no worker; start some: {start}"
            ) from None
        fit = self._examine(lab, None)
        kinds = {(one.lab, one.emulated) for one in fit}
        if len(kinds) != 1:
            labs = ", ".join(f"{name}{' (emulated)' if slow else ''}" for name, slow in kinds)
            raise LabError(
                f"the workers have different labs, and so different times: {labs or 'none'};"
                " choose one by --lab"
            )
        if told := _crowded(fit):
            raise LabError("\n".join(told))
        [(self.name, self.emulated)] = kinds
        self.jobs = sum(one.slots for one in fit)

    def _examine(self, lab: str, addresses: list[str] | None) -> list[Fitness]:
        """Return what workers are, all by default; one that is just lost is none."""
        found: dict[str, Fitness | Exception] = self.client.run(
            worker.look, lab, self.needs, self.sources, workers=addresses, on_error="return"
        )
        fit = {name: one for name, one in found.items() if isinstance(one, Fitness)}
        told = [
            f"worker {name}: {_complaint(one)}"
            for name, one in found.items()
            if isinstance(one, Exception) and not isinstance(one, OSError)
        ]
        if told:
            raise LabError("\n".join(told))
        self.workers |= {name: one.machine for name, one in fit.items()}
        return list(fit.values())

    def __str__(self) -> str:
        """What it is, in a line."""
        where = f"{several(len(self.workers), 'worker')} of {self.address}"
        return f"lab: {self.name} (on {where}, {several(self.jobs, 'slot')})"


def _complaint(error: Exception) -> str:
    if isinstance(error, UnusableError):
        return str(error)
    return (  # It has no mip6lab, or one that does not know what it was asked.
        f"{error}; install the same mip6lab there as here, with its extra cluster, and start it"
        " from that environment"
    )


def _crowded(fit: Sequence[Fitness]) -> list[str]:
    """Return a line for each machine that has more slots than CPUs."""
    slots: Counter[str] = Counter()
    for one in fit:
        slots[one.host] += one.slots
    cpus = {one.host: one.machine.cpus for one in fit}
    return [
        f"machine {name}: its workers have {n} slots and it has {cpus[name]} CPUs; labs that share"
        " one lengthen each other's times: start fewer workers there, by --nworkers"
        for name, n in slots.items()
        if n > cpus[name]
    ]


@contextmanager
def connected(address: str, lab: str, needs: Collection[str]) -> Iterator[Cluster]:
    """Have the workers of the scheduler at an address, such as tcp://host:8786.

    LabError, with what to do, if there is none, or a worker cannot be used.
    """
    try:
        from distributed import Client, Security  # noqa: PLC0415  # Of an extra.
        from distributed.comm import connect  # noqa: PLC0415
    except ImportError:
        raise LabError(f"--scheduler needs Dask: {how_to_install_extra('cluster')}") from None
    # What it has to say is said here, in words.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    async def reach() -> None:
        """A client that has not reached its scheduler would wait for 20 s when it goes."""
        arguments = Security().get_connection_args("client")
        await (await connect(address, timeout=CONNECT, **arguments)).close()

    try:
        asyncio.run(reach())
        client = Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise LabError(_no_scheduler(address, error)) from None
    with ExitStack() as held:
        held.callback(_at_most, _CLOSE, client.close)
        cluster = Cluster(client, address, needs)
        cluster.examine(lab)
        yield cluster


def _at_most(seconds: float, call: Callable[[], object]) -> None:
    """Make a call that may fail, and wait for it so long: its other end may be gone."""

    def make() -> None:
        with suppress(Exception):
            call()

    calling = threading.Thread(target=make, daemon=True)
    calling.start()
    calling.join(seconds)


def _no_scheduler(address: str, error: Exception) -> str:
    tls = "; TLS takes its certificates from Dask's configuration (distributed.comm.tls)"
    if isinstance(error, OSError):
        return (
            f"no Dask scheduler answers at {address} within {CONNECT:.0f} s; start one there:"
            f" {_SCHEDULER}; then its workers: {_WORKERS.format(address)}"
            f"{tls if address.startswith('tls') else ''}"
        )
    if address.startswith("tls"):
        return f"{address}: {error}{tls}"
    if "encryption" in str(error):
        return f"{address}: {error}; an address that is encrypted begins with tls://"
    return f"{address}: {error}; a scheduler's address is such as tcp://host:8786"
