"""The runs of an experiment, one after the other, each in a native lab of its own.

As a program, inside a lab: python -m testbed.run.session RESULTS. It prints JSON lines:
{"kernel": ...} first, then {"run": N, "variant": ..., "phase": ...} as a run goes on and
{"result": {...}} at its end.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed.experiment.spec import PlannedRun, Spec
from testbed.lab.native import NativeLab
from testbed.results.folder import make_run_folder, missing_runs
from testbed.results.manifest import kernel
from testbed.run.worker import emit

_MARGIN = 120.0  # What a run may take besides its bootstrap before it is ended.


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it left no message"


def _carry_out(
    lab: NativeLab, results: Path, planned: PlannedRun, limit: float
) -> Iterator[dict[str, Any]]:
    log = make_run_folder(results, planned.run) / "logs" / "worker.log"
    command = [sys.executable, "-m", "testbed.run.worker", str(results), str(planned.run)]
    began = time.monotonic()
    process = lab.start(command, cwd=Path.cwd(), log=log)
    guard = threading.Timer(limit, process.kill)
    guard.start()
    result = None
    try:
        for text in process.lines():
            line = json.loads(text)
            if "result" in line:
                result = line["result"]
            else:
                yield {"run": planned.run, "variant": planned.variant, **line}
        status = process.wait()
    finally:
        guard.cancel()
        process.kill()
    if result is None:
        result = {
            "run": planned.run,
            "variant": planned.variant,
            "seed": planned.seed,
            "parameters": planned.parameters,
            "status": "failed",
            "reason": f"the worker ended with status {status}: {_last_line(log)}",
            "costs": {},
            "measured": {},
        }
    result["costs"]["whole"] = round(time.monotonic() - began, 6)
    yield {"result": result}


def execute(results: Path) -> Iterator[dict[str, Any]]:
    """Carry out the planned runs that a results folder lacks; yield what the module describes."""
    spec = Spec.load(results / "spec.toml", every_point=False)
    lab = NativeLab()
    yield {"kernel": kernel()}
    for planned in missing_runs(results):
        limit = spec.variants[planned.variant].timeout + _MARGIN
        yield from _carry_out(lab, results, planned, limit)


def main() -> None:
    """Carry out a session and print its lines."""
    for line in execute(Path(sys.argv[1])):
        emit(**line)


if __name__ == "__main__":
    main()
