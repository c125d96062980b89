"""Standard output, on which a program tells its events."""

from __future__ import annotations

import os
from select import PIPE_BUF


class Output:
    """Takes lines for a pipe that several processes share: none is split by another's.

    While it is held, what comes is kept back, and then written at once: every write to a pipe
    wakes its reader.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._held = False

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
        data = b""
        for line in lines:
            if len(data) + len(line) > PIPE_BUF:
                self._put(data)
                data = b""
            data += line
        self._put(data)

    def _put(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]


OUTPUT = Output()
"""This process's."""
