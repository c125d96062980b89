"""The files of keys for Wireshark."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from agents.nodes.keylog import KeyLog
from agents.shell.output import Output


def key_log(folder: str | None) -> KeyLog:
    """Return a log that appends to files of mode 0600 in a folder; without one nothing is kept.

    A file is opened with its first line, until the program ends. What cannot be written is
    missing, for the program is there for others.
    """
    if folder is None:
        return KeyLog()
    place, opened = Path(folder), dict[str, Output]()

    def append(name: str, line: str) -> None:
        if name not in opened:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            try:
                opened[name] = Output(os.open(place / name, flags, 0o600))
            except OSError as error:
                with suppress(OSError):
                    sys.stderr.write(f"no key is kept: {place / name}: {error.strerror}\n")
                return
        opened[name].write(f"{line}\n")
        opened[name].flush()

    return KeyLog(append)
