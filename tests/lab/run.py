"""Run the lab tests, a lab for each module, as many at a time as there are CPUs: run.py [LAB]."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]
LONGEST = ("test_experiments.py", "test_bootstrap.py", "test_enforcement_point.py")
MEMORY = 3 << 30  # octets that a lab and its tools may take
COUNTED = re.compile(r"\d+ (passed|skipped)")  # in pytest's last line
PATIENCE = 1800  # s for one module


class Runs:
    """The modules at work."""

    def __init__(self, lab: str) -> None:
        self._lab = lab
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopping = threading.Event()

    def run(self, module: Path) -> bool:
        """Run one module and print what pytest says when it is over; return whether it passed."""
        if self._stopping.is_set():
            return False
        started = time.monotonic()
        process = subprocess.Popen(
            (
                *(sys.executable, "-m", "testbed", "exec", "--lab", self._lab, "--"),
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(module)),
            ),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.add(process)
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.terminate()
            output = process.communicate()[0] + f"\nnot over after {PATIENCE} s"
        self._processes.discard(process)
        seconds = time.monotonic() - started
        lines = output.strip().splitlines() or ["no output"]
        passed = process.returncode == 0 and bool(COUNTED.search(lines[-1]))
        skipped = [line for line in lines if line.startswith("SKIPPED")]
        said = (
            [lines[-1].strip("= "), *skipped]
            if passed
            else [f"failed, exit status {process.returncode}", *lines]
        )
        print(f"{module.relative_to(PROJECT)} ({seconds:.0f} s):", "\n    ".join(said), flush=True)
        return passed

    def stop(self) -> None:
        """End what is at work; start nothing more."""
        self._stopping.set()
        for process in tuple(self._processes):
            with suppress(ProcessLookupError):
                process.terminate()


def main() -> int:
    """Return 0 if all passed."""
    order = {name: place for place, name in enumerate(LONGEST)}
    modules = sorted(FOLDER.glob("test_*.py"), key=lambda path: order.get(path.name, len(order)))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    at_once = max(1, min(len(os.sched_getaffinity(0)), memory // MEMORY))
    runs = Runs(sys.argv[1] if len(sys.argv) > 1 else "auto")
    print(f"lab tests: {len(modules)} modules, {at_once} labs at a time", flush=True)
    with ThreadPoolExecutor(at_once) as pool:
        try:
            passed = list(pool.map(runs.run, modules))
        except KeyboardInterrupt:
            runs.stop()
            return 130
    failed = [module.name for module, good in zip(modules, passed, strict=True) if not good]
    print(
        f"lab tests: {len(failed)} modules failed: {' '.join(failed)}"
        if failed
        else f"lab tests: {len(modules)} modules passed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
