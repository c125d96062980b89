"""What programs use: CPU time and peak memory, as the kernel accounts for them (proc(5))."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4, 7)
"""Of the numbers in the first line of /proc/stat: idle, waiting for a disk, stolen by a host."""

_GUEST = 8
"""From here on they are in others already."""

_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Fields of /proc/PID/stat behind the name, which may have blanks and brackets in it."""

_PEAK = "VmHWM:"
KIB = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time in seconds, user's and system's, and the peak of resident memory in octets."""

    cpu: float = 0.0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    usage: Usage


def _read(folder: Path) -> _Process:
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS
    peak = 0
    for line in (folder / "status").read_text().splitlines():
        if line.startswith(_PEAK):
            peak = int(line.split()[1]) * KIB
    return _Process(int(fields[_PARENT]), Usage(cpu, peak))


def read(pids: Iterable[int], proc: Path = _PROC) -> dict[int, Usage]:
    """Return what processes have used, each with its descendants; those that ended are left out.

    The peaks of a process and its descendants are added up, though they may be apart in time.
    """
    processes: dict[int, _Process] = {}
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):  # It has ended meanwhile.
                processes[int(folder.name)] = _read(folder)
    wanted = [pid for pid in pids if pid in processes]
    found = {pid: processes[pid].usage for pid in wanted}
    for pid, process in processes.items():
        ancestor = pid
        while ancestor in processes and ancestor not in found:
            ancestor = processes[ancestor].parent
        if ancestor in found and ancestor != pid:
            sum_, more = found[ancestor], process.usage
            found[ancestor] = Usage(sum_.cpu + more.cpu, sum_.memory + more.memory)
    return found


def busy(proc: Path = _PROC) -> float:
    """Return the CPU time in seconds of all that this kernel has done, its own work included."""
    _, *numbers = (proc / "stat").read_text().split("\n", 1)[0].split()
    ticks = [int(number) for number in numbers[:_GUEST]]
    return sum(ticks[i] for i in range(len(ticks)) if i not in _IDLE) / _TICKS


class Meter:
    """Tells what programs use from the moment that it is made."""

    def __init__(self, pids: Iterable[int], proc: Path = _PROC) -> None:
        self._proc = proc
        self._begun = time.monotonic()
        self._before = read(pids, proc)

    def read(self, programs: Mapping[str, int]) -> dict[str, dict[str, float]]:
        """Return for each program, by its process: `cpu`, of `seconds`, and the peak `memory`."""
        seconds = round(time.monotonic() - self._begun, 6)
        now = read(programs.values(), self._proc)
        found = {}
        for name, pid in programs.items():
            if pid in now:
                cpu = now[pid].cpu - self._before.get(pid, Usage()).cpu
                found[name] = {
                    "cpu": round(cpu, 6),
                    "seconds": seconds,
                    "memory": float(now[pid].memory),
                }
        return found
