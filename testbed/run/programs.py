"""Programs in hosts: started anew as a shell would, or forked from this process, which is warm."""

from __future__ import annotations

import importlib
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from testbed.run import image
from testbed.run.net import Network

_GO = b"\n"
_DAEMONS = "agents.daemons."
"""Programs that start somebody else's daemon, and then have nothing to do."""


class Forked:
    """A program of a module's `main()` in a child of this process.

    It is made ready, with its memory, and waits for `go()`: then it has its standard input for
    itself. To be made while this process has one thread only.
    """

    def __init__(
        self, network: Network, host: str, module: str, argument: str, stdout: int, stderr: Path
    ) -> None:
        self._module, self._argument = module, argument
        self.returncode: int | None = None
        reader, writer = os.pipe()
        ready, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(network, host, reader, stdout, stderr, told)
        os.close(reader)
        os.close(told)
        self.stdin: IO[bytes] | None = os.fdopen(writer, "wb")
        self._ready = ready
        self._descriptor = os.pidfd_open(self.pid)

    def wait_until_populated(self) -> None:
        """Wait until the child has its memory, or has ended."""
        os.read(self._ready, 1)
        os.close(self._ready)

    def go(self) -> None:
        """Let the program begin."""
        if self.stdin:
            with suppress(BrokenPipeError):
                self.stdin.write(_GO)
                self.stdin.flush()

    def _become(
        self, network: Network, host: str, stdin: int, stdout: int, stderr: Path, told: int
    ) -> NoReturn:
        status = 1
        try:
            network.mininet[host].enter()
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            log = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            for descriptor, target in ((stdin, 0), (stdout, 1), (log, 2)):
                os.dup2(descriptor, target)
            os.dup2(told, 3)
            os.closerange(4, os.sysconf("SC_OPEN_MAX"))
            sys.argv = [self._module, self._argument]
            main: Callable[[], None] = importlib.import_module(self._module).main
            if not self._module.startswith(_DAEMONS):
                image.populate()
            os.write(3, _GO)
            os.close(3)
            if os.read(0, len(_GO)) == _GO:
                main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                sys.stderr.write(f"{end.code}\n")
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def poll(self) -> int | None:
        """Return the exit status, -n after signal n, or None if it has not ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._descriptor)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; subprocess.TimeoutExpired after `timeout` seconds."""
        while (status := self.poll()) is None:
            if not select.select([self._descriptor], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._module, timeout or 0.0)
        return status

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)
