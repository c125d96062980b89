"""The uml lab: user-mode Linux on the host's file system, as whatever user the caller is."""

import fcntl
import itertools
import os
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import cached_property
from pathlib import Path
from typing import Self

from testbed.lab import uml_host
from testbed.lab.job import LabError, check_reachable, job_environment

INIT = Path(__file__).with_name("init.sh")
POLL = 0.01  # s between two looks at a job's output
LAST_WORDS = 5  # lines of the console that an error shows
SPARED = ("initcall_blacklist=raid6_select_algo,init_zswap,init_jfs_fs", "pty.legacy_count=0")
"""Two thirds of a start: RAID's benchmark, compressed swap, a file system, terminals of old."""


class UmlJob:
    """A command in a user-mode kernel of its own."""

    def __init__(
        self, process: subprocess.Popen[bytes], folder: Path, console: Path, held: ExitStack
    ) -> None:
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
        """Kill the user-mode kernel, and with it all that runs in it."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._held.close()

    def _last_words(self) -> str:
        try:
            lines = self._console.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        before_the_trace = itertools.takewhile(lambda line: line != "Stack:", lines)
        tail = "\n".join(f"    {line}" for line in list(before_the_trace)[-LAST_WORDS:])
        return f"user-mode Linux ended before its job did; it said last:\n{tail}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()


class UmlLab:
    """Hosts on a kernel that runs as an ordinary process. Needs no rights."""

    name = "uml"

    def __init__(self, memory: int | None = None, at_once: int = 1) -> None:
        """`memory` in octets; by default 2 GiB, or less where `at_once` of these would not fit."""
        self._wanted, self._at_once = memory, at_once

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> UmlJob:
        """Boot, and start a command as root inside. The kernel's messages go beside `log`."""
        return self._start(command, cwd, log, environment, b"")

    def _start(
        self,
        command: Sequence[str],
        cwd: Path,
        log: Path | None,
        environment: Mapping[str, str] | None,
        read: bytes,
    ) -> UmlJob:
        with ExitStack() as held:
            folder = held.enter_context(uml_host.job_folder())
            given, output = folder / "input", folder / "output"
            given.write_bytes(read)
            output.touch()
            errors = f"2>>{shlex.quote(str(log.absolute()))}" if log else "2>&1"
            redirect = f"<{shlex.quote(str(given))} >>{shlex.quote(str(output))} {errors}"
            _write_job(folder, command, cwd, environment, redirect)
            console = log.with_suffix(".console.log") if log else folder / "console"
            with console.open("ab") as stream:
                process = self._boot(folder, held, stream.fileno())
            return UmlJob(process, folder, console, held.pop_all())

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
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        size = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
        rows, columns, _, _ = struct.unpack("4H", size)
        with ExitStack() as held:
            folder = held.enter_context(uml_host.job_folder())
            (folder / "terminal").write_text(f"{rows or 24} {columns or 80}\n", encoding="ascii")
            _write_job(folder, command, cwd, environment)
            console = folder / "console"
            try:
                with console.open("ab") as stream:
                    process = self._boot(folder, held, stream.fileno(), terminal)
                with UmlJob(process, folder, console, held.pop_all()) as job:
                    return job.wait()
            finally:
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    @cached_property
    def _memory(self) -> tuple[int, Path]:
        """Decided before the first of several boots: each would find less."""
        return uml_host.memory(self._wanted, self._at_once)

    def _boot(
        self,
        folder: Path,
        held: ExitStack,
        messages: int,
        terminal: int | None = None,
    ) -> subprocess.Popen[bytes]:
        memory, memory_folder = self._memory
        cpu = held.enter_context(uml_host.one_cpu())
        environment = {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": str(memory_folder)}
        environment |= uml_host.preloaded(folder)
        console: tuple[str, ...] = ("con0=null,fd:1",)
        passed: tuple[int, ...] = ()
        if terminal is not None:
            passed = (os.dup(sys.stdout.fileno()),)
            held.callback(os.close, passed[0])
            console = ("console=ttyS0", "ssl0=null,fd:1", f"con0=fd:0,fd:{passed[0]}")
        kernel = (
            uml_host.program(),
            f"mem={memory >> 20}M",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "rw",
            f"init={folder / INIT.name}",
            f"job={folder}",
            f"uml_dir={folder}",
            *SPARED,
            "con=null",
            *console,
        )
        pinned = (
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            "prlimit",
            "--core=0",
            f"--nofile={uml_host.open_files()}:",
            "--",
            "taskset",
            "-c",
        )
        guard = held.enter_context(closing(uml_host.Guard(folder)))
        process = subprocess.Popen(
            (*pinned, str(cpu), *kernel),
            env=environment,
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=messages,
            stderr=messages,
            pass_fds=passed,
            start_new_session=True,  # The terminal's SIGINT is the caller's to handle.
        )
        guard.watch(process.pid)
        return process


def _write_job(
    folder: Path,
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str] | None,
    redirect: str = "",
) -> None:
    check_reachable(cwd, folder)
    variables = job_environment(UmlLab.name, environment).items()
    words = ["env", "-i", *(f"{name}={value}" for name, value in variables), *command]
    script = f"cd {shlex.quote(str(cwd.absolute()))} && exec {shlex.join(words)} {redirect}\n"
    (folder / "run").write_bytes(os.fsencode(script))
    shutil.copy(INIT, folder)
