"""What user-mode Linux takes from its host: a program, a CPU, memory, a folder."""

import ctypes
import fcntl
import mmap
import os
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed.base.places import how_to_install
from testbed.lab.job import COVERED, LabError

PROGRAM = "linux.uml"
GUARD = Path(__file__).with_name("guard.sh")
XSTATE = Path(__file__).with_name("xstate.c")
PREFIX = "mip6lab-"
MEMORY = 2 << 30  # octets
LEAST_MEMORY = 512 << 20
LEAST_FILES, MOST_FILES = 1024, 65536  # A bootstrap of four hosts has 220 open.
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
def job_folder() -> Iterator[Path]:
    """Make a folder for one job; it goes with the context, or after a crash with the next call."""
    parent = next((p for p in _temporary_folders() if _is_usable(p) and _may_execute(p)), None)
    if parent is None:
        msg = (
            "user-mode Linux needs a folder for temporary files that is not mounted noexec "
            "(tried TMPDIR, /tmp, /var/tmp); set TMPDIR to one whose name is plain"
        )
        raise LabError(msg)
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep() -> int:
    """Remove the caller's job folders whose jobs are over; return how many there were."""
    removed = 0
    for parent in _temporary_folders():
        for folder in parent.glob(f"{PREFIX}*"):
            try:
                mine = folder.is_dir() and folder.lstat().st_uid == os.geteuid()
                lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) if mine else -1
            except OSError:
                continue
            if lock < 0:
                continue
            try:
                # A folder just made is not locked yet.
                if time.time() - os.fstat(lock).st_mtime > 1:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
            except OSError:
                pass  # A job is at work in it.
            finally:
                os.close(lock)
    return removed


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


class Guard:
    """Sees to it that nothing is left of a process group if this process is killed."""

    def __init__(self, folder: Path) -> None:
        """`folder` goes too."""
        self._process = subprocess.Popen(
            ("/bin/sh", str(GUARD), str(folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # What kills this process's group must not kill the guard.
        )

    def watch(self, group: int) -> None:
        """Name the process group."""
        self._tell(f"{group}\n")

    def close(self) -> None:
        """Let the guard go: the group is over."""
        self._tell("over\n")
        self._process.communicate()

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            with suppress(BrokenPipeError):
                stdin.write(line.encode())
                stdin.flush()


def memory(wanted: int | None = None, at_once: int = 1) -> tuple[int, Path]:
    """Return how much memory (octets) a user-mode kernel can have, and the folder to keep it in.

    So that there is room for `at_once` of them. The memory is a file that is mapped executable;
    touching more than the folder can hold would kill the kernel later.
    """
    size = wanted or max(LEAST_MEMORY, min(MEMORY, _available() // (at_once + 1)))
    first = [Path(os.environ["TMPDIR"])] if "TMPDIR" in os.environ else []
    for folder in (*first, Path(SHARED_MEMORY), *_temporary_folders()):
        if _has_room(folder, at_once * size) and _may_execute(folder):
            return size, folder
    msg = (
        f"user-mode Linux needs {at_once * size >> 20} MiB free in a folder that is not mounted "
        "noexec (tried TMPDIR, /dev/shm, /tmp, /var/tmp); set TMPDIR to one"
    )
    raise LabError(msg)


def open_files() -> int:
    """Return how many files a user-mode kernel can have open: each of its own is the host's."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)


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


def _temporary_folders() -> list[Path]:
    named = (os.environ.get("TMPDIR"), "/tmp", "/var/tmp")  # noqa: S108
    return list(dict.fromkeys(Path(name).resolve() for name in named if name))


def _is_usable(folder: Path) -> bool:
    """Whether the name can stand on the kernel's command line, and means the same inside."""
    plain = re.fullmatch(r"[\w/.+-]+", str(folder), re.ASCII) is not None
    return plain and not any(folder.is_relative_to(covered) for covered in COVERED)


def _may_execute(folder: Path) -> bool:
    """Whether files in the folder can be written, and mapped executable."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(mmap.PAGESIZE)
            protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED, protection).close()
    except OSError:
        return False
    return True


def _has_room(folder: Path, size: int) -> bool:
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize >= size


def _available() -> int:
    """Return the octets of memory that are free or can be freed."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = re.search(r"^MemAvailable: *(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) << 10 if found else MEMORY


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
