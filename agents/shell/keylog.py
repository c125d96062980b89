"""The files of keys for Wireshark."""

from __future__ import annotations

import os
from pathlib import Path

from agents.nodes.keylog import KeyLog


def key_log(folder: str | None) -> KeyLog:
    """Return a log that appends to files of mode 0600 in a folder; without one nothing is kept."""
    if folder is None:
        return KeyLog()
    place = Path(folder)

    def append(name: str, line: str) -> None:
        descriptor = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="ascii") as file:
            file.write(line + "\n")

    return KeyLog(append)
