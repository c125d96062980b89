"""A real daemon in a role: it runs in the foreground as the role's child and ends with it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path
from typing import TypeAlias

from agents.core.eventlog import EventLog
from agents.shell.addresses import is_usable

POLL = 0.02
"""Seconds between two looks whether a daemon has come so far."""

Hear: TypeAlias = Callable[[str], str | None]
"""Takes a line that a daemon says; returns what of it may be kept."""

_AT_ONCE = 1 << 16
_STOP_DEADLINE = 5.0
_WORDS = 400
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONFINEMENT = Path("/sys/module/apparmor/parameters/enabled")
_UDP_TABLE = Path("/proc/net/udp6")


class DaemonError(OSError):
    """A daemon that is not there, does not start, or ends by itself; the text says what it said."""


def executable(name: str, work: Path) -> str:
    """Return the path of a Debian daemon; DaemonError if it is not installed.

    AppArmor's profiles let some write below /var and /run only, where a lab must not: such a
    daemon runs from a copy in its own folder, which no profile names.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise DaemonError(f"{name} is not installed")
    profile = Path("/etc/apparmor.d") / path.removeprefix("/").replace("/", ".")
    confined = _CONFINEMENT.exists() and _CONFINEMENT.read_text().startswith("Y")
    if not (confined and profile.exists()):
        return path
    return shutil.copy2(path, str(work))


def udp_port_bound(address: IPv6Address, port: int) -> bool:
    """Return whether a socket of this network namespace is bound to an address and port."""
    words = (address.packed[i : i + 4][::-1].hex().upper() for i in range(0, 16, 4))
    wanted = f"{''.join(words)}:{port:04X}"
    return any(line.split()[1] == wanted for line in _UDP_TABLE.read_text().splitlines()[1:])


async def wait_until(condition: Callable[[], bool], what: str, deadline: float) -> None:
    """Wait for a condition; DaemonError names what did not come within `deadline` seconds."""
    try:
        async with asyncio.timeout(deadline):
            while not condition():
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise DaemonError(f"{what}: not within {deadline:g} s") from None


async def wait_for_addresses(addresses: Sequence[IPv6Address], deadline: float) -> None:
    """Wait until this host can bind its addresses, for a daemon does not wait for that."""
    missing = ", ".join(map(str, addresses))
    await wait_until(
        lambda: all(map(is_usable, addresses)), f"addresses {missing} of this host", deadline
    )


def _holds(condition: Callable[[Daemon], bool], daemon: Daemon) -> bool:
    return daemon.alive and condition(daemon)


async def run_daemon(
    command: Sequence[str],
    log: Path,
    ready: Mapping[str, Callable[[Daemon], bool]],
    *,
    host: str,
    deadline: float,
    stop: asyncio.Event,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run the daemon of a role until `stop` is set, and tell when it is ready.

    It is ready when all conditions have come true, one after the other, each within `deadline`
    seconds; `ready` has them by what DaemonError says of one that has not.
    """
    daemon = await Daemon.start(command, log, environment)
    try:
        for what, condition in ready.items():
            await wait_until(partial(_holds, condition, daemon), what, deadline)
        EventLog(host, "role").write("Ready", pid=os.getpid(), daemon=daemon.pid)
        await daemon.serve(stop)
    finally:
        await daemon.close()


@asynccontextmanager
async def running(
    command: Sequence[str],
    log: Path,
    stop: asyncio.Event,
    *,
    environment: Mapping[str, str] | None = None,
    hear: Hear | None = None,
) -> AsyncIterator[Daemon]:
    """Run a daemon beside a node; if it ends by itself, `stop` is set, and DaemonError raised."""
    daemon = await Daemon.start(command, log, environment, hear=hear)
    ended = asyncio.Event()
    serving = asyncio.ensure_future(daemon.serve(ended))
    try:
        serving.add_done_callback(lambda _: stop.set())
        yield daemon
    finally:
        ended.set()
        await daemon.close()
        await asyncio.gather(serving, return_exceptions=True)
    await serving


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def in_one_line(text: str) -> str:
    """Return what a daemon said, its first and its last words, for a terminal to show."""
    lines = _COLOUR.sub("", text).splitlines()
    plain = ("".join(c if c.isprintable() else " " for c in line).strip() for line in lines)
    words = " / ".join(filter(None, plain))
    half = _WORDS // 2
    return words if len(words) <= _WORDS else f"{words[:half]} ... {words[-half:]}"


class Daemon:
    """A child process; all that it writes goes into a log file, whose lines tell how it is.

    With `hear` it is heard line by line, and what that returns goes into the log.
    """

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        log: Path,
        heard: asyncio.Task[None] | None = None,
    ) -> None:
        self._name = name
        self._process = process
        self._log = log
        self._heard = heard

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        hear: Hear | None = None,
    ) -> Daemon:
        """Start a daemon that stays in the foreground; it dies with this process."""
        with log.open("wb") as file:
            output = asyncio.subprocess.PIPE if hear else file
            process = await asyncio.create_subprocess_exec(
                "setpriv",
                "--pdeathsig",
                "TERM",
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
        heard = None
        if hear and process.stdout:
            heard = asyncio.create_task(_keep_hearing(process.stdout, hear, log))
        return cls(Path(command[0]).name, process, log, heard)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def said(self, pattern: str) -> bool:
        """Return whether its log has a line in which a regular expression is found."""
        return re.search(pattern, self._log.read_text(errors="replace"), re.MULTILINE) is not None

    @property
    def alive(self) -> bool:
        """That it runs; DaemonError with what it said if it does not."""
        if self._process.returncode is not None:
            raise DaemonError(self._end())
        return True

    def _end(self) -> str:
        status = self._process.returncode or 0
        how = f"ended with status {status}" if status >= 0 else f"was killed by {_signal(-status)}"
        words = in_one_line(self._log.read_text(errors="replace"))
        said = f"{words}; all of it is in {self._log}" if words else "it said nothing"
        return f"{self._name} {how}: {said}"

    async def serve(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set; DaemonError if the daemon ends before that."""
        stopping = asyncio.ensure_future(stop.wait())
        ending = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait((stopping, ending), return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                raise DaemonError(self._end())
        finally:
            stopping.cancel()
            ending.cancel()

    async def close(self) -> None:
        """End it, by force if it does not within a few seconds."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_DEADLINE):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._heard:
            await self._heard


async def _keep_hearing(stream: asyncio.StreamReader, hear: Hear, log: Path) -> None:
    """Hear a daemon to its end, and write what is to be kept."""
    with log.open("a", encoding="utf-8") as file:
        rest = b""
        while data := await stream.read(_AT_ONCE):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if (kept := hear(line.decode(errors="replace"))) is not None:
                    file.write(f"{kept}\n")
            file.flush()
