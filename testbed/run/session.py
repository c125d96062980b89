"""The runs of an experiment, one after the other, each in a child of this process.

A program, inside a lab: python -m testbed.run.session RESULTS [--fed]. It prints JSON lines:
{"kernel": ...} first, then {"run": N, "variant": ..., "phase": ...} as a run goes on, now and
then the same phase once more, and {"result": {...}} at its end. Where nothing can be written any
more it ends with {"unwritten": ...}, and the run that was under way counts for nothing.

What a run needs is imported here, and rehearsed, once. A run is process 1 of namespaces of its
own, so that nothing of it is left, however it ends. A session that is fed waits for more to be
planned, until it is killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from agents.core.patience import SLOWNESS, patient
from testbed.base.files import NO_ROOM, check_room, last_line
from testbed.experiment.spec import PlannedRun, Spec
from testbed.results.folder import missing_runs, run_folder, take
from testbed.results.manifest import kernel
from testbed.results.runs import failed
from testbed.run import image
from testbed.run.fleet import FleetWorker
from testbed.run.namespaces import fork, isolate
from testbed.run.speed import slowness
from testbed.run.worker import Worker

FED = "--fed"
_ALIVE = 60.0  # s after which a run that enters no other phase is told of again
_POLL = 0.05  # s between two looks at whether more is planned
_MARGIN = 120.0  # What a run may take besides its bootstrap and steps before it is ended.


def emit(**line: object) -> None:
    """Print one JSON line for the harness."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def told(lines: Iterable[dict[str, Any]]) -> None:
    """Print a session's lines, and what could not be written if that ends it."""
    try:
        for line in lines:
            emit(**line)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        named = os.fsdecode(error.filename) if error.filename else None
        emit(unwritten=[error.errno, error.strerror, named])


def whole(result: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a run's result; OSError if it has failed where nothing can be written."""
    if result["status"] == "failed":
        check_room(folder)
    return result


def _work(worker: Worker, log: Path, output: int) -> NoReturn:
    """Carry out a run as the process that it has for itself."""
    status = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 2)
        os.dup2(output, 1)
        isolate()
        image.draw_anew()
        emit(result=worker.execute())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _lines(output: int, seconds: float) -> Iterator[str]:
    """Yield lines until their writer has ended, or the time is over; the last one now and then."""
    deadline, rest, last = time.monotonic() + seconds, b"", ""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([output], [], [], min(left, _ALIVE))[0]:
            yield from filter(None, [last])
            continue
        data = os.read(output, 1 << 16)
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            last = line.decode()
            yield last


def _carry_out(
    results: Path, spec: Spec, planned: PlannedRun, *, warm: bool
) -> Iterator[dict[str, Any]]:
    began = time.monotonic()
    log = run_folder(results, planned.run) / "logs" / "worker.log"
    there = spec.at(planned.parameters)
    kind = FleetWorker if there.topology(planned.variant).is_fleet else Worker
    worker = kind(results, planned, there, warm=warm, entered=lambda phase: emit(phase=phase))
    output, writer = os.pipe()
    pid = fork()
    if pid == 0:
        _work(worker, log, writer)
    os.close(writer)
    result = None
    try:
        for text in _lines(output, patient(worker.longest + _MARGIN)):
            line = json.loads(text)
            if "result" in line:
                result = line["result"]
            else:
                yield {"run": planned.run, "variant": planned.variant, **line}
    finally:
        os.kill(pid, signal.SIGKILL)  # And all that it has started.
        os.close(output)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if result is None:
        result = failed(planned, f"the worker ended with status {status}: {last_line(log)}")
    result["costs"]["whole"] = round(time.monotonic() - began, 6)
    yield {"result": whole(result, run_folder(results, planned.run))}


def prepare(spec: Spec, variants: Iterable[str]) -> set[str]:
    """Make this process the warm image of what the variants run; return those that are warm.

    What cannot be rehearsed, such as a network that the virtual clock does not know, runs cold.
    Variants that are alike but for an attack are rehearsed once.
    """
    image.keep_memory()
    image.warm_kernel()
    warm, rehearsed = set(), set()
    for name in variants:
        if spec.settings(name).is_warm:
            variant = spec.variants[name]
            roles = msgspec.to_builtins(variant.roles)
            topology, plain = spec.small_topology(name), image.peaceful(variant.settings)
            plain["roles"] = msgspec.to_builtins(variant.roles.of_agents)
            alike = json.dumps([variant.approach, variant.topology, plain], sort_keys=True)
            try:
                settings = {**variant.settings, "roles": roles}
                image.import_programs(variant.approach, settings, topology)
                if alike not in rehearsed:
                    image.rehearse(variant.approach, plain, topology)
                    rehearsed.add(alike)
                warm.add(name)
            except Exception:
                traceback.print_exc()
    image.freeze()
    return warm


def execute(results: Path, *, fed: bool = False) -> Iterator[dict[str, Any]]:
    """Carry out the planned runs that a results folder lacks; yield what the module describes."""
    spec = Spec.load(results / "spec.toml", every_point=False)
    yield {"kernel": kernel()}
    plan = missing_runs(results)
    warm = prepare(spec, spec.variants if fed else {planned.variant: None for planned in plan})
    while plan or fed:
        for planned in take(results, plan):
            yield from _carry_out(results, spec, planned, warm=planned.variant in warm)
        if not fed:
            return
        time.sleep(_POLL)
        plan = missing_runs(results)


def main() -> None:
    """Carry out a session and print its lines."""
    os.environ[SLOWNESS] = f"{slowness():g}"
    results, *how = sys.argv[1:]
    told(execute(Path(results), fed=how == [FED]))


if __name__ == "__main__":
    main()
