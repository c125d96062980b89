"""Run the tests that boot something, in as many labs at a time as there are CPUs: run.py [LAB].

Long modules have a lab each, the others share a few: to boot one, and to start pytest in it, takes
longer than most of them. Modules of virtual machines and of the container image start what they
need. Each lot has a CPU for itself, so that what takes how long in one does not depend on others.

A lot that is not over in time is carried out once more, and that is said: a lab's kernel may stand
still, which was seen once in some hundreds of labs in user-mode Linux.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]
OUTSIDE = ("vm", "container")
LONG = ("test_experiments.py", "test_attacks.py", "test_bootstrap.py")
SHARED = 2  # labs for each CPU that the others share, so that all CPUs are busy to the end
MEMORY = 3 << 30  # octets that a lab and its tools may take
COUNTED = re.compile(r"\d+ (passed|skipped)")  # in pytest's last line
PATIENCE = 1200  # s for one lot; the longest takes a fourth of that on a busy machine

Lot = tuple[Path, ...]
"""Modules that run one after the other, in one lab or in none."""


class Runs:
    """The lots at work."""

    def __init__(self, lab: str, cpus: Iterable[int]) -> None:
        self._lab = lab
        self._cpus = SimpleQueue[int]()
        for cpu in cpus:
            self._cpus.put(cpu)
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopping = threading.Event()

    def run(self, lot: Lot) -> bool:
        """Run a lot and print what pytest says when it is over; return whether it passed."""
        if self._stopping.is_set():
            return False
        cpu = self._cpus.get()
        try:
            passed = self._run(lot, cpu)
            return bool(self._run(lot, cpu)) if passed is None else passed
        finally:
            self._cpus.put(cpu)

    def _run(self, lot: Lot, cpu: int) -> bool | None:
        """Run a lot and print what pytest says; return whether it passed, None if it hangs."""
        started = time.monotonic()
        process = subprocess.Popen(
            ("taskset", "-c", str(cpu), *self._command(lot)),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.add(process)
        hangs = False
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.terminate()
            output, hangs = process.communicate()[0] + f"\nnot over after {PATIENCE} s", True
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
        print(f"{named(lot)} ({seconds:.0f} s):", "\n    ".join(said), flush=True)
        return None if hangs else passed

    def _command(self, lot: Lot) -> Sequence[str]:
        pytest = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, lot))
        if any(module.parent != FOLDER for module in lot):
            return pytest
        return sys.executable, "-m", "testbed", "exec", "--lab", self._lab, "--", *pytest

    def stop(self) -> None:
        """End what is at work; start nothing more."""
        self._stopping.set()
        for process in tuple(self._processes):
            with suppress(ProcessLookupError):
                process.terminate()


def named(lot: Lot) -> str:
    """Return the modules of a lot in words."""
    return " ".join(str(module.relative_to(PROJECT)) for module in lot)


def lots(shared: int) -> list[Lot]:
    """Return all lots, what takes longest first; so many labs are shared."""
    outside = [tuple(sorted((FOLDER.parent / name).glob("test_*.py"))) for name in OUTSIDE]
    alone = [(FOLDER / name,) for name in LONG]
    others = sorted({*FOLDER.glob("test_*.py")} - {module for (module,) in alone})
    together = [tuple(others[number::shared]) for number in range(min(shared, len(others)))]
    return [*outside, *alone, *together]


def main() -> int:
    """Return 0 if all passed."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cpus = sorted(os.sched_getaffinity(0))[: max(1, memory // MEMORY)]
    every = lots(SHARED * len(cpus))
    runs = Runs(sys.argv[1] if len(sys.argv) > 1 else "auto", cpus)
    print(f"lab tests: {sum(map(len, every))} modules, {len(cpus)} labs at a time", flush=True)
    with ThreadPoolExecutor(len(cpus)) as pool:
        try:
            passed = list(pool.map(runs.run, every))
        except KeyboardInterrupt:
            runs.stop()
            return 130
    failed = [named(lot) for lot, good in zip(every, passed, strict=True) if not good]
    print(f"lab tests: failed: {' '.join(failed)}" if failed else "lab tests: all modules passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
