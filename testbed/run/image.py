"""The warm image: a process in which everything has been imported and has run once.

A child forked from it has nothing to import or compile. What it still lacks is memory: it shares
its parent's until it writes, and has no page of a library mapped. `populate` gives it both before
it is timed (docs/decisions/warm.md).
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import resource
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.bindings.openssl.binding import Binding

from agents import approaches
from agents.approaches.settings import HOSTILE
from agents.core.documents import fit
from agents.kernel.associations import LinuxSecurityAssociations
from agents.kernel.port import KernelError
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.world import World
from topologies.model import Topology

_REPEATS = 2
_DEADLINE = 60.0  # Of the virtual clock.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # mallopt(3)
_NEVER, _ROOM, _LARGEST = 1 << 30, 1 << 20, 32 << 20  # Octets.
_POPULATE_READ, _POPULATE_WRITE = 22, 23  # madvise(2), since Linux 5.14
_SEED = 32  # Octets.
_LIBC = ctypes.CDLL(None, use_errno=True)


def keep_memory() -> None:
    """Have malloc keep what is freed: to take memory anew costs a page fault a page."""
    _LIBC.mallopt(_TRIM_THRESHOLD, _NEVER)
    _LIBC.mallopt(_MMAP_THRESHOLD, _LARGEST)
    _LIBC.mallopt(_TOP_PAD, _ROOM)


def warm_kernel() -> None:
    """Have the kernel load what security associations need, once for all runs."""
    with LinuxSecurityAssociations() as associations, suppress(KernelError):
        associations.warm_up()  # A kernel that cannot is found out by the run.


def import_programs(approach: str, settings: dict[str, Any], topology: Topology) -> None:
    """Import the programs of an approach, those of attackers too."""
    module = approaches.load(approach)
    for program in module.compose(fit(settings, module.Settings), topology, Path(), Path()):
        importlib.import_module(program.module)


def peaceful(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without what makes a run one of an attack, which is not rehearsed."""
    return {name: value for name, value in settings.items() if name not in HOSTILE}


def rehearse(approach: str, settings: dict[str, Any], topology: Topology) -> bool:
    """Carry out a few bootstraps on the virtual clock; return whether they succeeded.

    Where an approach has daemons that cannot be there, it is the one that it names for this.
    """
    approach = getattr(approaches.load(approach), "REHEARSED", approach)
    done = []
    with tempfile.TemporaryDirectory() as name:
        plain = {**settings, "diameter_tls": False}  # Simulated streams have no certificates.
        if "launch" in approaches.load(approach).Settings.__struct_fields__:
            plain["launch"] = "resident"  # What a script starts is real, and no part of the image.
        prepared = PreparedApproach(approach, Path(name), plain, topology)
        for seed in range(_REPEATS):
            laboratory = prepared.laboratory(World(seed))
            laboratory.leave_out_what_is_not_simulated()
            laboratory.start()
            done.append(laboratory.run(_DEADLINE, laboratory.is_bootstrapped))
    return all(done)


def freeze() -> None:
    """Let the garbage collector leave alone what there is: it would write to all of it."""
    gc.collect()
    gc.freeze()
    gc.collect()  # Else it waits, with all that is old, for a quarter as much as it had before.


def draw_anew() -> None:
    """Have OpenSSL draw in this process, and those forked from it, what it draws in no other.

    It notices a fork by the process's number. In a new PID namespace some process may have that of
    the image, and in each run the same: it would have the same keys every time.
    """
    ssl.RAND_add(os.urandom(_SEED), _SEED)
    Binding().lib.RAND_add(os.urandom(_SEED), _SEED, _SEED)  # The cryptography library has its own.


def _mappings() -> Iterator[tuple[int, int, str]]:
    """Yield start, end and rights of this process's memory (proc(5))."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        region, rights, _, _, _, *name = line.split(maxsplit=5)
        if "r" in rights and not (name and name[0].startswith(("[v", "/dev"))):
            start, end = (int(part, 16) for part in region.split("-"))
            yield start, end, rights


def populate() -> None:
    """Map all memory of this process, and make its pages its own; older kernels do nothing."""
    mapped = [(start, end) for start, end, rights in _mappings() if _is_mapped(start, end, rights)]
    # User-mode Linux tells its host of a new page when it is touched; of all when a thread starts.
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    for start, end in mapped:
        _touch(start, end)


def _is_mapped(start: int, end: int, rights: str) -> bool:
    """Map a part of memory; return whether that could be done with every page."""
    private = "w" in rights and "p" in rights
    advice = _POPULATE_WRITE if private else _POPULATE_READ
    return not _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def _touch(start: int, end: int) -> None:
    """Read of every page: the host of user-mode Linux, once told of it, maps it only then."""
    region = (ctypes.c_ubyte * (end - start)).from_address(start)
    memoryview(region)[:: resource.getpagesize()].tobytes()
