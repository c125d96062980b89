"""The events of a run's programs, on their way into events.jsonl."""

from __future__ import annotations

import os
import queue
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from testbed.trace.phases import Event

LEAST_PRIORITY = 19
"""The harness's while it has only to look on: nice(2)."""


class Events:
    """The events of all agents: kept in a file, and handed out one by one.

    An OSError of the file is raised by next() and by close(): a record with gaps is none.
    """

    def __init__(self, path: Path) -> None:
        reader, self.writer = os.pipe()
        self._end = b"\0" + secrets.token_bytes(8).hex().encode() + b"\n"
        self._error: OSError | None = None
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._collect, args=(reader, path), daemon=True)

    def collect(self) -> None:
        """Begin; until then the pipe keeps what is told, and this process has one thread less."""
        self._thread.start()

    def _collect(self, reader: int, path: Path) -> None:
        os.setpriority(os.PRIO_PROCESS, 0, LEAST_PRIORITY)  # Of this thread.
        with os.fdopen(reader, "rb") as lines:
            written = _until(self._end, lines)
            try:
                with path.open("wb") as file:
                    for line in written:
                        file.write(line)
                        self._hand_out(line)
            except OSError as error:
                self._error = OSError(error.errno, error.strerror, str(path))
                self._lines.put(None)
                for _ in written:
                    pass  # A full pipe would stop the agents.

    def _hand_out(self, line: bytes) -> None:
        with suppress(ValueError, RecursionError):  # Not an agent's event; the file keeps it.
            event = msgspec.json.decode(line)
            msgspec.convert(event, Event)
            self._lines.put(event)

    def next(self, deadline: float) -> dict[str, Any] | None:
        """Return the next event, or None at the deadline (time.monotonic())."""
        try:
            event = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return None
        if self._error:
            raise self._error
        return event

    def close(self) -> None:
        """Stop collecting once every agent has ended."""
        if self._thread.ident is None:
            self._thread.start()  # Somebody else's failure came first: keep what there is.
        os.write(self.writer, self._end)  # Others may still hold the pipe.
        os.close(self.writer)
        self._thread.join()
        if self._error:
            raise self._error


def _until(end: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line.endswith(end):
            yield line.removesuffix(end)  # What a program left unfinished.
            return
        yield line
