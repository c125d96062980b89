"""What user-mode Linux takes from its host besides: a program, a CPU, a file for its memory."""

import ctypes
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.base.places import how_to_install
from testbed.lab.host import may_execute, memory_size, temporary_folders
from testbed.lab.job import LabError

PROGRAM = "linux.uml"
XSTATE = Path(__file__).with_name("xstate.c")
AT_MINSIGSTKSZ = 51
# The kernel's part of a signal frame holds all floating-point state: 3632 octets up to AVX-512.
LARGEST_FRAME = 3632
SHARED_MEMORY = "/dev/shm"  # noqa: S108
LOOK = 0.05  # s over which the CPUs' load is compared


def program() -> str:
    """Return the path of the user-mode kernel."""
    path = shutil.which(PROGRAM)
    if path is None:
        msg = f"user-mode Linux is not installed; {how_to_install('user-mode-linux')}"
        raise LabError(msg)
    return path


@contextmanager
def one_cpu() -> Iterator[int]:
    """Choose the idlest of the CPUs that no other lab of this machine has, and hold it.

    The lock is a name in the abstract socket namespace: it needs no file and goes with the process.
    """
    allowed = os.sched_getaffinity(0)
    by_load = sorted(allowed, key=_load(allowed).__getitem__)
    for cpu in by_load:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
            try:
                holder.bind(f"\0mip6lab-cpu-{cpu}")
            except OSError:
                continue
            yield cpu
            return
    yield by_load[0]


def memory(wanted: int | None = None, at_once: int = 1) -> tuple[int, Path]:
    """Return how much memory (octets) a user-mode kernel can have, and the folder to keep it in.

    So that there is room for `at_once` of them. The memory is a file that is mapped executable;
    touching more than the folder can hold would kill the kernel later.
    """
    size = wanted or memory_size(at_once)
    first = [Path(os.environ["TMPDIR"])] if "TMPDIR" in os.environ else []
    for folder in (*first, Path(SHARED_MEMORY), *temporary_folders()):
        if _has_room(folder, at_once * size) and may_execute(folder):
            return size, folder
    msg = (
        f"user-mode Linux needs {at_once * size >> 20} MiB free in a folder that is not mounted "
        "noexec (tried TMPDIR, /dev/shm, /tmp, /var/tmp); set TMPDIR to one"
    )
    raise LabError(msg)


def preloaded(folder: Path) -> dict[str, str]:
    """Return the environment that makes linux.uml work on a CPU with AMX; see xstate.c."""
    if not needs_preload():
        return {}
    found = compiler()
    if found is None:
        msg = f"user-mode Linux needs a C compiler on this CPU (AMX); {how_to_install('tcc')}"
        raise LabError(msg)
    library = folder / "xstate.so"
    command = (found, "-shared", "-fPIC", "-O2", "-nostdlib", "-o", str(library), str(XSTATE))
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        msg = f"{found} cannot compile {XSTATE}: {made.stderr.strip()}"
        raise LabError(msg)
    return {"LD_PRELOAD": str(library)}


def compiler() -> str | None:
    """Return the path of a C compiler."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang", "tcc"))), None)


def needs_preload() -> bool:
    """Whether this CPU has more floating-point state than user-mode Linux knows of."""
    # Not from /proc/self/auxv: a process that gave up root may not read that.
    return int(ctypes.CDLL(None).getauxval(AT_MINSIGSTKSZ)) > LARGEST_FRAME


def _has_room(folder: Path, size: int) -> bool:
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize >= size


def _load(cpus: set[int]) -> dict[int, int]:
    """Return how busy each CPU is just now, in clock ticks over LOOK seconds."""
    if len(cpus) == 1:
        return dict.fromkeys(cpus, 0)
    before = _busy()
    time.sleep(LOOK)
    after = _busy()
    return {cpu: after.get(cpu, 0) - before.get(cpu, 0) for cpu in cpus}


def _busy() -> dict[int, int]:
    ticks = {}
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        label, *numbers = line.split()
        if re.fullmatch(r"cpu\d+", label):
            user, nice, system, _idle, _wait, *rest = map(int, numbers)
            ticks[int(label[3:])] = user + nice + system + sum(rest[:3])
    return ticks
