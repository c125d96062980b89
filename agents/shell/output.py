"""Standard output, on which a program tells its events."""

from __future__ import annotations

import os
from collections.abc import Callable
from select import PIPE_BUF

import msgspec

from agents.core.eventlog import RoleEvent


class Output:
    """Takes lines for a pipe that several processes share: none is split by another's.

    While it is held, what comes is kept back, and then written at once: every write to a pipe
    wakes its reader. What cannot be written (the disk is full, the reader is gone) is missing, and
    its program serves on; before what can be written again there is a line by `notice`, which gets
    how many lines are missing and the one that follows.
    """

    def __init__(
        self, descriptor: int = 1, notice: Callable[[int, bytes], bytes] | None = None
    ) -> None:
        self._descriptor = descriptor
        self._notice = notice
        self._lines: list[bytes] = []
        self._held = False
        self._missing = 0
        self._torn = b""
        """The rest of a line of which the beginning is written."""

    def write(self, line: str) -> None:
        """Take one line."""
        self._lines.append(line.encode())

    def flush(self) -> None:
        """Write what was taken, unless it is held."""
        if not self._held:
            self.release()

    def hold(self) -> None:
        """Keep back what is written from now on, until `release`."""
        self._held = True

    def release(self) -> None:
        """Write all that was kept back, and hold no longer."""
        self._held = False
        lines, self._lines = self._lines, []
        batch: list[bytes] = []
        size = 0
        for line in lines:
            if batch and size + len(line) > PIPE_BUF:
                self._put(batch)
                batch, size = [], 0
            batch.append(line)
            size += len(line)
        if batch:
            self._put(batch)

    def _put(self, lines: list[bytes]) -> None:
        notice = b""
        if self._missing and self._notice:
            notice = self._notice(self._missing, lines[0])
        begun = len(self._torn)
        data = self._torn + notice + b"".join(lines)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            rest = data[written:]
            is_torn = data[written - 1 : written] != b"\n" if written else begun > 0
            self._torn = rest[: rest.index(b"\n") + 1] if is_torn else b""
            before = 0 if notice and written > begun else self._missing - bool(notice)
            self._missing = before + rest.count(b"\n") - is_torn
        else:
            self._torn, self._missing = b"", 0


def events_lost(count: int, line: bytes) -> bytes:
    """Return the event that so many are missing before the one on this line."""
    event: RoleEvent = "EventsLost"
    following = msgspec.json.decode(line)
    origin = {name: following[name] for name in ("t", "host", "agent")}
    return msgspec.json.encode({**origin, "event": event, "count": count}) + b"\n"


OUTPUT = Output(notice=events_lost)
"""This process's."""
