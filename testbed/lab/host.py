"""What a lab with a kernel of its own takes from its host: a folder, memory, a guarded process."""

import fcntl
import mmap
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from testbed.lab.job import COVERED, LabError
from testbed.lab.process import DIE_WITH_PARENT

GUARD = Path(__file__).with_name("guard.sh")
PREFIX = "mip6lab-"
MEMORY = 2 << 30  # octets
LEAST_MEMORY = 512 << 20
LEAST_FILES, MOST_FILES = 1024, 65536  # A bootstrap of four hosts has 220 open.


@contextmanager
def job_folder() -> Iterator[Path]:
    """Make a folder for one job; it goes with the context, or after a crash with the next call."""
    parent = next((p for p in temporary_folders() if _is_usable(p) and may_execute(p)), None)
    if parent is None:
        msg = (
            "a lab needs a folder for temporary files that is not mounted noexec "
            "(tried TMPDIR, /tmp, /var/tmp); set TMPDIR to one whose name is plain"
        )
        raise LabError(msg)
    sweep()
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Return a new folder, and the descriptor that holds its lock; it is not swept from then on."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)  # It was swept before it was locked.


def sweep() -> int:
    """Remove the caller's job folders whose jobs are over; return how many there were."""
    removed = 0
    for parent in temporary_folders():
        for folder in parent.glob(f"{PREFIX}*"):
            try:
                mine = folder.is_dir() and folder.lstat().st_uid == os.geteuid()
                lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) if mine else -1
            except OSError:
                continue
            if lock < 0:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
            except OSError:
                pass  # A job is at work in it.
            finally:
                os.close(lock)
    return removed


def spawn(
    command: Sequence[str],
    folder: Path,
    held: ExitStack,
    *,
    messages: int,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    passed: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a kernel that ends when this process does, however that ends; its folder goes too.

    What it says goes to the descriptor `messages`, and its standard output to `stdout` if given.
    """
    limits = ("prlimit", "--core=0", f"--nofile={open_files()}:", "--")
    guard = held.enter_context(closing(Guard(folder)))
    process = subprocess.Popen(
        (*DIE_WITH_PARENT, *limits, *command),
        env={"PATH": os.environ.get("PATH", os.defpath), **(environment or {})},
        stdin=stdin,
        stdout=messages if stdout is None else stdout,
        stderr=messages,
        pass_fds=tuple(passed),
        start_new_session=True,  # The terminal's SIGINT is the caller's to handle.
    )
    guard.watch(process.pid)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what `spawn` has started, if it has not ended."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Guard:
    """Sees to it that nothing is left of a folder and a process group if this process is killed."""

    def __init__(self, folder: Path) -> None:
        """Guard nothing yet."""
        self._process = subprocess.Popen(
            ("/bin/sh", str(GUARD), str(folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # What kills this process's group must not kill the guard.
        )

    def watch(self, group: int | None = None) -> None:
        """Guard the folder, and a process group if it is named."""
        self._tell(f"{group or ''}\n")

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


def memory_size(at_once: int = 1) -> int:
    """Return the octets of memory that each of some kernels gets: 2 GiB, less if there is less."""
    return max(LEAST_MEMORY, min(MEMORY, _available() // (at_once + 1)))


def open_files() -> int:
    """Return how many files a lab's kernel can have open: each of its own is the host's."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)


def temporary_folders() -> list[Path]:
    """Return the folders that the caller's temporary files may be in."""
    named = (os.environ.get("TMPDIR"), "/tmp", "/var/tmp")  # noqa: S108
    return list(dict.fromkeys(Path(name).resolve() for name in named if name))


def may_execute(folder: Path) -> bool:
    """Whether files in the folder can be written, and mapped executable."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(mmap.PAGESIZE)
            protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED, protection).close()
    except OSError:
        return False
    return True


def _is_usable(folder: Path) -> bool:
    """Whether the name can stand on the kernel's command line, and means the same inside."""
    plain = re.fullmatch(r"[\w/.+-]+", str(folder), re.ASCII) is not None
    return plain and not any(folder.is_relative_to(covered) for covered in COVERED)


def _available() -> int:
    """Return the octets of memory that are free or can be freed."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = re.search(r"^MemAvailable: *(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) << 10 if found else MEMORY
