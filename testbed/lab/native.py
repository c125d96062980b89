"""The native lab: this kernel, in network, mount and PID namespaces of its own."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from testbed.lab.job import LabError, check_reachable, is_emulated, job_environment

KILL_TIME = 5.0  # s for all processes of a lab to end once they are killed
ENTER = Path(__file__).with_name("enter.sh")


def isolated(command: Sequence[str]) -> list[str]:
    """Return the command wrapped into namespaces of its own, gone when its parent is.

    Also for each run inside a lab. Needs root; start it from a thread that outlives it.
    """
    die_with_parent = ("setpriv", "--pdeathsig", "KILL", "--")
    apart = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
    return [*die_with_parent, *apart, "/bin/sh", str(ENTER), *command]


class ProcessJob:
    """A command in a process of its own, or in namespaces of this kernel."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def lines(self) -> Iterator[str]:
        """Yield the lines of standard output as they come."""
        if self._process.stdout is not None:
            for line in self._process.stdout:
                yield line.rstrip(b"\n").decode(errors="replace")

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status (128 + n after signal n); TimeoutError if it is not over."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(str(error)) from error
        return status if status >= 0 else 128 - status

    def kill(self) -> None:
        """Kill process 1 of the namespace, and with it every other; return when they are gone."""
        if self._process.poll() is None:
            # Killed itself, `unshare` would not wait for them; so its child is.
            for target in (*_children(self._process.pid), self._process.pid):
                with suppress(ProcessLookupError):
                    os.kill(target, signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(KILL_TIME)
                    break
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()


class NativeLab:
    """Hosts on this kernel. Needs root."""

    name = "native"

    @property
    def emulated(self) -> bool:
        """Whether this kernel's processor is emulated, as within the vm lab."""
        return is_emulated()

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ProcessJob:
        """Start a command in namespaces of its own."""
        check(cwd)
        errors = log.open("ab") if log else None
        try:
            return ProcessJob(
                subprocess.Popen(
                    isolated(command),
                    cwd=cwd,
                    env=job_environment(self.name, environment),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors or subprocess.STDOUT,
                    start_new_session=True,  # The terminal's SIGINT is the caller's to handle.
                )
            )
        finally:
            if errors:
                errors.close()

    def interact(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        reads: bool = False,  # noqa: ARG002  # Here it can always.
    ) -> int:
        """Run a command on the caller's terminal."""
        check(cwd)
        # Ctrl-C is for the command alone; what stands between inherits that it is ignored.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process = subprocess.Popen(
                isolated(("env", "--default-signal=INT", *command)),
                cwd=cwd,
                env=job_environment(self.name, environment),
            )
            return ProcessJob(process).wait()
        finally:
            signal.signal(signal.SIGINT, before)


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def check(cwd: Path) -> None:
    """Raise LabError if namespaces cannot be had, or would hide the folder to work in."""
    if os.geteuid() != 0:
        msg = "the native lab needs root: use sudo, or the uml lab"
        raise LabError(msg)
    check_reachable(cwd)
