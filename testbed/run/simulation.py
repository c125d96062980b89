"""The runs of an experiment on a virtual clock, one after the other, all in this process.

A program, in the sim lab: python -m testbed.run.simulation RESULTS. It prints the lines of
testbed.run.session.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from testbed.experiment.spec import PlannedRun, Spec
from testbed.results.folder import missing_runs, run_folder, take
from testbed.results.runs import failed
from testbed.run import image
from testbed.run.crowd import CrowdWorker
from testbed.run.services import FILE, ServiceTimes, read
from testbed.run.session import told, whole
from testbed.run.simulated import SimulatedWorker

KERNEL = "none (simulated)"


def _carry_out(
    results: Path, spec: Spec, planned: PlannedRun, times: ServiceTimes
) -> dict[str, Any]:
    began = time.monotonic()
    there, service = spec.at(planned.parameters), times.of(planned.shared)
    log = run_folder(results, planned.run) / "logs" / "worker.log"
    try:
        is_fleet = there.small_topology(planned.variant).is_fleet
        kind = CrowdWorker if is_fleet else SimulatedWorker
        result = kind(results, planned, there, service, times.forwarding).execute()
    except Exception as error:  # A bug, which ends this run alone.
        with suppress(OSError):
            log.write_text(traceback.format_exc())
        result = failed(planned, traceback.format_exception_only(error)[-1].strip())
    result["costs"]["whole"] = round(time.monotonic() - began, 6)
    return whole(result, log.parent)


def execute(results: Path) -> Iterator[dict[str, Any]]:
    """Carry out the planned runs that a results folder lacks; yield a session's lines."""
    spec = Spec.load(results / "spec.toml", every_point=False)
    yield {"kernel": KERNEL}
    plan, times = missing_runs(results), read(results / FILE)
    image.freeze()
    for planned in take(results, plan):
        yield {"run": planned.run, "variant": planned.variant, "phase": "simulation"}
        yield {"result": _carry_out(results, spec, planned, times)}


def main() -> None:
    """Carry out a session and print its lines."""
    told(execute(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
