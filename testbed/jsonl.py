"""JSON-lines files that survive a kill: one object a line, a torn last line is told apart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")
LINE_LIMIT = 16 * 1024 * 1024


class DataError(Exception):
    """A file of a run or of its results that cannot be used: what, and in which file and line."""


@dataclass(frozen=True, slots=True)
class Lines(Generic[T]):
    """The objects of a file in order, and what is left of a last line that was not finished."""

    items: list[T]
    torn: str | None = None


def read_lines(path: Path, of: type[T]) -> Lines[T]:
    """Read `path` as one `of` a line; a last line without its end may be torn, others may not.

    Raises DataError with file and line.
    """
    decode = msgspec.json.Decoder(of).decode
    items: list[T] = []
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LINE_LIMIT):
                number += 1
                if not line.strip():
                    continue
                try:
                    items.append(decode(line))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    if not line.endswith(b"\n") and len(line) < LINE_LIMIT:
                        return Lines(items, f"{path}:{number}: the last line is not finished")
                    raise DataError(f"{path}:{number}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return Lines(items)


def append_line(path: Path, item: object) -> None:
    """Append one object in one write and have it on disk; a torn last line is cut off first."""
    line = msgspec.json.encode(item) + b"\n"
    with path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        start = _last_line_start(path, end)
        file.seek(start)
        tail = file.read(end - start)
        if tail and _is_whole(tail):
            line = b"\n" + line
        elif tail:
            file.truncate(start)
        file.write(line)
        os.fsync(file.fileno())


def _is_whole(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _last_line_start(path: Path, size: int) -> int:
    """Return the offset after the last newline (`size` if the file ends with one)."""
    with path.open("rb") as file:
        while size:
            start = max(0, size - 4096)
            file.seek(start)
            found = file.read(size - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            size = start
    return 0
