"""JSON files, and those of JSON lines, which survive a kill: a torn last line is told apart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgspec

from testbed.base.files import open_file, plain, unknown_format

T = TypeVar("T")
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 62), lt=1 << 62)]
"""A whole number that is counted with: JSON's may have any number of digits, a float's not."""

Number: TypeAlias = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
"""A number that is drawn: sums and axes of those near a float's largest are infinite."""

LINE_LIMIT = 16 * 1024 * 1024
_MOST = 256 << 20  # Octets of a file.
_TOO_DEEP = "it is nested too deeply"


class DataError(Exception):
    """A file of a run or of its results that cannot be used: what, and in which file and line."""


def read_json(path: Path, of: Any) -> Any:
    """Read a file that holds one `of`; raises DataError."""
    try:
        with open_file(path) as file:
            content = file.read(_MOST + 1)
    except OSError as error:
        raise DataError(f"{plain(path)}: {error.strerror}") from None
    if len(content) > _MOST:
        raise DataError(f"{plain(path)}: it is longer than {_MOST >> 20} MiB")
    try:
        return msgspec.json.decode(content, type=of)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{plain(path)}: {unknown_format(content) or error}") from None
    except RecursionError:
        raise DataError(f"{plain(path)}: {_TOO_DEEP}") from None


@dataclass(frozen=True, slots=True)
class Lines(Generic[T]):
    """The objects of a file in order, the numbers of their lines, and of an unfinished last one."""

    items: list[T]
    numbers: list[int]
    torn: str | None = None


def read_whole(path: Path, of: type[T]) -> list[T]:
    """Read a file that nobody writes any more as one `of` a line.

    Raises DataError with file and line, for a last line that is not finished too.
    """
    lines = read_lines(path, of)
    if lines.torn:
        raise DataError(lines.torn)
    return lines.items


def read_lines(path: Path, of: type[T]) -> Lines[T]:
    """Read `path` as one `of` per line; a last line without its end may be torn, others may not.

    Raises DataError with file and line.
    """
    decode = msgspec.json.Decoder(of).decode
    items: list[T] = []
    numbers: list[int] = []
    try:
        with open_file(path) as file:
            number = 0
            while line := file.readline(LINE_LIMIT):
                number += 1
                if not line.strip():
                    continue
                try:
                    items.append(decode(line))
                    numbers.append(number)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    where = f"{plain(path)}:{number}"
                    if not line.endswith(b"\n") and len(line) < LINE_LIMIT:
                        return Lines(items, numbers, f"{where}: the last line is not finished")
                    raise DataError(f"{where}: {unknown_format(line) or error}") from None
                except RecursionError:
                    raise DataError(f"{plain(path)}:{number}: {_TOO_DEEP}") from None
    except OSError as error:
        raise DataError(f"{plain(path)}: {error.strerror}") from None
    return Lines(items, numbers)


def append_line(path: Path, item: object) -> None:
    """Append one object and have it on disk; a torn last line is cut off first.

    An OSError names the file.
    """
    line = msgspec.json.encode(item) + b"\n"
    try:
        with path.open("a+b") as file:
            end = file.seek(0, os.SEEK_END)
            start = _last_line_start(path, end)
            file.seek(start)
            tail = file.read(end - start)
            if tail and _is_whole(tail):
                line = b"\n" + line
            elif tail:
                file.truncate(start)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _is_whole(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
