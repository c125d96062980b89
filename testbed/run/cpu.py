"""Hosts with slower processors: a share of the CPU for each, by cgroup v2.

The share is calibrated with MD5, which was then what it is now: 32-bit operations in hand-written
assembly, each waiting for the one before, with nothing for wide multipliers or vectors to do. It
thus compares the processors, where public-key operations would compare their multipliers too:
these have become several times faster again, so in the lab they stay faster than they were.

The reference is OpenSSL's own record of a P6 core, times/091/686-200.lnx in its sources: a
Pentium Pro at 200 MHz does 32,677,890 octets/s of MD5 in blocks of 8,192. The data fit the cache,
so the rate goes with the clock.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BLOCK = 8192
REFERENCE_GHZ, REFERENCE_RATE = 0.2, 32_677_890.0
_PERIOD = 0.010
"""Seconds. In the usual 0.1 s a short phase would not notice the quota."""

_LEAST_QUOTA = 0.001
_TRIALS, _TRIAL = 30, 0.01
_MOUNT = Path("/run/cgroup")
_REMOVAL_DEADLINE = 2.0
_POLL = 0.02


class CpuError(Exception):
    """The kernel does not let processors be slowed down; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor to imitate: `rate` is this machine's MD5 in octets/s, `share` the part of it."""

    ghz: float
    rate: float
    share: float


def measure() -> float:
    """Return this processor's MD5 in octets/s; the fastest of several short trials."""
    block = bytes(BLOCK)
    best = 0.0
    for _ in range(_TRIALS):
        count, begun = 0, time.perf_counter()
        while (taken := time.perf_counter() - begun) < _TRIAL:
            for _ in range(20):
                hashlib.md5(block, usedforsecurity=False)
            count += 20
        best = max(best, count * BLOCK / taken)
    return best


def share(ghz: float, rate: float) -> float:
    """Return the part of a processor with this MD5 rate that equals a P6 core of `ghz`."""
    return min(1.0, REFERENCE_RATE * ghz / REFERENCE_GHZ / rate)


def maximum(part: float) -> str:
    """Return what cpu.max is set to: quota and period in microseconds."""
    period = max(_PERIOD, _LEAST_QUOTA / part)  # The kernel wants a quota of 1 ms or more.
    return f"{round(part * period * 1e6)} {round(period * 1e6)}"


class Processors:
    """The groups of one run, one per host."""

    def __init__(self, folder: Path, processor: Processor) -> None:
        self._folder = folder
        self.processor = processor

    def assign(self, host: str, pid: int) -> None:
        """Let a process, and what it will start, run on a host's processor."""
        group = self._folder / host
        if not group.exists():
            _make(group)
            (group / "cpu.max").write_text(maximum(self.processor.share))
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Remove the groups; their processes have been ended, some may still be ending."""
        deadline = time.monotonic() + _REMOVAL_DEADLINE
        for group in [*(path for path in self._folder.iterdir() if path.is_dir()), self._folder]:
            while True:
                try:
                    group.rmdir()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_POLL)


@contextmanager
def slowed(name: str, ghz: float) -> Iterator[Processors]:
    """Give hosts processors of `ghz`; `name` tells this run's groups from others'.

    Wants root, and a mount namespace of its own with its own /run. Raises CpuError if the kernel
    has no CPU controller for cgroup v2.
    """
    root = _mount()
    controllers = (root / "cgroup.controllers").read_text().split()
    if "cpu" not in controllers:
        raise CpuError(
            "slower processors need the cpu controller of cgroup v2, which this kernel "
            "does not have or uses in version 1: set settings.habits.processor_ghz = 0"
        )
    rate = measure()
    folder, control = root / name, root / "cgroup.subtree_control"
    try:
        was_enabled = "cpu" in control.read_text().split()
        _make(folder)
        control.write_text("+cpu")
        (folder / "cgroup.subtree_control").write_text("+cpu")
    except OSError as error:
        raise CpuError(f"slower processors: {error.filename}: {error.strerror}") from None
    processors = Processors(folder, Processor(ghz, rate, share(ghz, rate)))
    try:
        yield processors
    finally:
        processors.remove()
        if not was_enabled:
            with suppress(OSError):  # Another run's groups need it.
                control.write_text("-cpu")


def _make(group: Path) -> None:
    """Make a group; a threaded one, for in a container its parent has processes of its own."""
    group.mkdir()
    (group / "cgroup.type").write_text("threaded")


def _mount() -> Path:
    if not (_MOUNT / "cgroup.controllers").exists():
        _MOUNT.mkdir(exist_ok=True)
        command = ("mount", "-t", "cgroup2", "none", str(_MOUNT))
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise CpuError("slower processors need cgroup v2, which cannot be mounted here")
    return _MOUNT
