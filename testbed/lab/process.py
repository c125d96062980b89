"""A lab's command in a process of its own."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

KILL_TIME = 5.0  # s for all processes of a lab to end once they are killed
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
"""Before a command: it ends when the thread that has started it does, however that ends."""


class ProcessJob:
    """A command in a process of its own, or in namespaces of this kernel."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path | None,
        environment: Mapping[str, str],
    ) -> Self:
        """Start a command; its standard error goes to the end of `log`, or with its output."""
        with ExitStack() as held:
            errors = held.enter_context(log.open("ab")) if log else subprocess.STDOUT
            return cls(
                subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,  # The terminal's SIGINT is the caller's to handle.
                )
            )

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


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
