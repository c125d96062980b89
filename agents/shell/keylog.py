"""The files of keys for Wireshark."""

from __future__ import annotations

import os
from pathlib import Path

from agents.nodes.keylog import KeyLog


def key_log(folder: str | None) -> KeyLog:
    """Return a log that appends to files of mode 0600 in a folder; without one nothing is kept.

    A file is opened with its first line, until the program ends.
    """
    if folder is None:
        return KeyLog()
    place, opened = Path(folder), dict[str, int]()

    def append(name: str, line: str) -> None:
        if name not in opened:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            opened[name] = os.open(place / name, flags, 0o600)
        os.write(opened[name], line.encode("ascii") + b"\n")

    return KeyLog(append)
