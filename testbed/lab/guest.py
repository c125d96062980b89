"""What labs with a kernel of their own share: it boots on the host's files and runs one job."""

import fcntl
import os
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from testbed.lab import host
from testbed.lab.job import EMULATED, LabError, check_reachable, job_environment

INIT = Path(__file__).with_name("init.sh")
POLL = 0.01  # s between two looks at a job's output
LAST_WORDS = 5  # lines of the console that an error shows


@dataclass(frozen=True, slots=True)
class Boot:
    """What a kernel is booted for; `init.sh`, the job and what it leaves are in the folder.

    The kernel's messages go to the descriptor `messages`. `terminal` are the caller's descriptors
    for input and output, None for a job without one.
    """

    folder: Path
    messages: int
    terminal: tuple[int, int] | None = None

    @property
    def init(self) -> Path:
        """The program that is process 1."""
        return self.folder / INIT.name


class GuestJob:
    """A command in a kernel of its own."""

    def __init__(
        self,
        what: str,
        process: subprocess.Popen[bytes],
        folder: Path,
        console: Path,
        held: ExitStack,
    ) -> None:
        """`what` is the kernel's name in messages."""
        self._what = what
        self._process = process
        self._folder = folder
        self._console = console
        self._held = held
        self._status: int | None = None

    def lines(self) -> Iterator[str]:
        """Yield the lines of standard output as they come.

        The output is an ordinary file on the host: a console would cut and recode it.
        """
        rest = b""
        with (self._folder / "output").open("rb") as stream:
            while True:
                ended = self._process.poll() is not None
                chunk = stream.read()
                if chunk:
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line.decode(errors="replace")
                elif ended:
                    break
                else:
                    time.sleep(POLL)
        if rest:
            yield rest.decode(errors="replace")

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; TimeoutError if it is not over, LabError if the kernel died."""
        if self._status is None:
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(str(error)) from error
            try:
                self._status = int((self._folder / "status").read_text(encoding="ascii"))
            except FileNotFoundError:
                raise LabError(self._last_words()) from None
            finally:
                self._held.close()
        return self._status

    def kill(self) -> None:
        """Kill the kernel, and with it all that runs in it."""
        host.end(self._process)
        self._held.close()

    def _last_words(self) -> str:
        try:
            lines = self._console.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        panics = [number for number, line in enumerate(lines, 1) if "Kernel panic" in line]
        before_the_trace = lines[: panics[-1]] if panics else lines
        tail = "\n".join(f"    {line}" for line in before_the_trace[-LAST_WORDS:])
        return f"{self._what} ended before its job did; it said last:\n{tail}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()


class GuestLab(ABC):
    """Hosts on a kernel that is booted for each job."""

    name: ClassVar[str]
    what: ClassVar[str]
    """The kernel's name in messages."""

    console: ClassVar[str]
    """The device inside that is the caller's terminal."""

    emulated = False

    @abstractmethod
    def modules(self) -> Path:
        """Return the folder with the kernel's modules, one for its release within."""

    @abstractmethod
    def boot(self, boot: Boot, held: ExitStack) -> subprocess.Popen[bytes]:
        """Start the kernel; what it needs until its end is added to `held`."""

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> GuestJob:
        """Boot, and start a command as root inside. The kernel's messages go beside `log`."""
        return self._start(command, cwd, log, environment, b"")

    def _start(
        self,
        command: Sequence[str],
        cwd: Path,
        log: Path | None,
        environment: Mapping[str, str] | None,
        read: bytes,
    ) -> GuestJob:
        with ExitStack() as held:
            folder = held.enter_context(host.job_folder())
            given, output = folder / "input", folder / "output"
            given.write_bytes(read)
            output.touch()
            errors = f"2>>{shlex.quote(str(log.absolute()))}" if log else "2>&1"
            redirect = f"<{shlex.quote(str(given))} >>{shlex.quote(str(output))} {errors}"
            self._write_job(folder, command, cwd, environment, redirect)
            console = log.with_suffix(".console.log") if log else folder / "console"
            with console.open("ab") as stream:
                process = self.boot(Boot(folder, stream.fileno()), held)
            return GuestJob(self.what, process, folder, console, held.pop_all())

    def interact(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        reads: bool = False,
    ) -> int:
        """Boot, and run a command as root inside on the caller's terminal."""
        if not sys.stdin.isatty() or not sys.stdout.isatty():
            read = sys.stdin.buffer.read() if reads else b""
            with self._start(command, cwd, None, environment, read) as job:
                for line in job.lines():
                    print(line, flush=True)
                return job.wait()
        terminal = sys.stdin.fileno(), sys.stdout.fileno()
        before = termios.tcgetattr(terminal[0])
        size = fcntl.ioctl(terminal[0], termios.TIOCGWINSZ, bytes(8))
        rows, columns, _, _ = struct.unpack("4H", size)
        with ExitStack() as held:
            folder = held.enter_context(host.job_folder())
            told = f"{self.console} {rows or 24} {columns or 80}\n"
            (folder / "terminal").write_text(told, encoding="ascii")
            self._write_job(folder, command, cwd, environment)
            console = folder / "console"
            try:
                with console.open("ab") as stream:
                    process = self.boot(Boot(folder, stream.fileno(), terminal), held)
                with GuestJob(self.what, process, folder, console, held.pop_all()) as job:
                    return job.wait()
            finally:
                termios.tcsetattr(terminal[0], termios.TCSADRAIN, before)

    def _write_job(
        self,
        folder: Path,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str] | None,
        redirect: str = "",
    ) -> None:
        check_reachable(cwd, folder)
        told = {EMULATED: "1"} if self.emulated else {}
        variables = job_environment(self.name, told | dict(environment or {})).items()
        words = ["env", "-i", *(f"{name}={value}" for name, value in variables), *command]
        script = f"cd {shlex.quote(str(cwd.absolute()))} && exec {shlex.join(words)} {redirect}\n"
        (folder / "run").write_bytes(os.fsencode(script))
        (folder / "modules").symlink_to(self.modules())
        shutil.copy(INIT, folder)
