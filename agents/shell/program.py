"""What every role's program does: read its configuration, run until a signal, end cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from agents.core.configuration import Commands, ConfigurationError, load
from agents.core.eventlog import EventLog

T = TypeVar("T")


async def unless_ended(stop: asyncio.Event, outcome: Coroutine[Any, Any, T]) -> T | None:
    """Wait for an outcome, and return None if `stop` is set before it is there."""
    waiting, stopping = asyncio.ensure_future(outcome), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        stopping.cancel()


def fail(program: str, text: object) -> NoReturn:
    """End the program with one line of explanation and exit status 2."""
    sys.stderr.write(f"{program}: {text}\n")
    raise SystemExit(2)


def take_commands(commands: Commands, log: EventLog) -> None:
    """Obey lines on standard input, "name argument ...", until it ends; say which were refused.

    Must be called inside a running event loop.
    """
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    begun = bytearray()
    try:
        loop.add_reader(descriptor, lambda: _read_commands(descriptor, begun, commands, log))
    except PermissionError:
        return  # Standard input is a file: there are no commands.


def _read_commands(descriptor: int, begun: bytearray, commands: Commands, log: EventLog) -> None:
    """Obey the lines that are whole; at the end of the input the last one is."""
    data = os.read(descriptor, 4096)
    if not data:
        asyncio.get_running_loop().remove_reader(descriptor)
    begun += data or b"\n"
    whole, _, rest = begun.rpartition(b"\n")
    begun[:] = rest
    for line in whole.decode(errors="replace").splitlines():
        _obey(line, commands, log)


def _obey(line: str, commands: Commands, log: EventLog) -> None:
    name, *arguments = line.split() or [""]
    try:
        done = commands[name](*arguments)
    except ValueError as error:
        log.write("CommandRefused", command=line, reason=str(error))
        return
    except (KeyError, TypeError) as error:
        log.write("CommandRefused", command=line, reason=repr(error))
        return
    if not done:
        log.write("CommandRefused", command=line, reason="not possible now")


def end_with_owner(stop: asyncio.Event) -> None:
    """Set `stop` when nobody holds the other end of standard input any more."""
    with suppress(PermissionError):  # Standard input is a file.
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)


class Node(Protocol):
    """What a program runs."""

    def start(self, ready: Callable[[], None]) -> None:
        """Begin; tell when others may rely on it, however long that takes."""

    def stop(self, stopped: Callable[[], None]) -> None:
        """End, and tell when that is done."""


async def serve_until(
    stop: asyncio.Event, node: Node, log: EventLog, commands: Commands | None = None
) -> None:
    """Run a node until `stop` is set."""

    def ready() -> None:
        if commands:
            take_commands(commands, log)
        log.write("Ready", pid=os.getpid())

    node.start(ready)
    await stop.wait()
    ended = asyncio.Event()
    node.stop(ended.set)
    await ended.wait()


def run(program: str, kind: type[T], serve: Callable[[T, asyncio.Event], Awaitable[None]]) -> None:
    """Run `serve(configuration, stop)` until it returns; SIGTERM and SIGINT set `stop`."""
    if len(sys.argv) != 2:
        fail(program, f"usage: python -m {program} CONFIGURATION")
    try:
        configuration = load(Path(sys.argv[1]), kind)
    except ConfigurationError as error:
        fail(program, error)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(configuration, stop)

    try:
        asyncio.run(main())
    except (OSError, ValueError) as error:
        fail(program, error)
