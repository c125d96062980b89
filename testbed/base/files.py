"""Files that are written whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a disk says that takes nothing more, and will again when somebody has seen to it."""

_PROBE = 1 << 16  # Octets.
_FRESH = ".mip6lab."
"""What the names of files begin with that are about to take another's place."""

FORMAT = 1
"""The version of the files in a results folder; a change that old readers misread has a new one."""


def check_format(found: int) -> None:
    """Raise ValueError, with what to do, if a file has a format that this version cannot read."""
    if found != FORMAT:
        raise ValueError(_unknown(found))


class _Format(msgspec.Struct):
    format: int = FORMAT


def unknown_format(content: bytes) -> str | None:
    """Tell of JSON whose format this version cannot read; None if that is not what is wrong."""
    try:
        found = msgspec.json.decode(content, type=_Format).format
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if found == FORMAT else _unknown(found)


def _unknown(version: int) -> str:
    return (
        f"it is of format {version}, and this version of mip6lab reads format {FORMAT}:"
        " use the version that wrote it"
    )


def plain(text: Path | str) -> str:
    """Write a path, or a text with one in it, so that octets that are not UTF-8 can be printed."""
    return os.fsencode(text).decode(errors="backslashreplace")


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; OSError for what is none: a FIFO would be waited for without end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def last_line(log: Path) -> str:
    """Return the last line of a program's log, or that there is none."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it left no message"


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> Path:
    """Write rows as CSV, the first the names of the columns; `format` is added as the last."""
    text = io.StringIO()
    head, *rest = rows
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*head, "format"])
    writer.writerows([*row, FORMAT] for row in rest)
    return replace(path, text.getvalue())


def write_json(path: Path, content: Any) -> Path:
    """Write an object as indented JSON, whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
    return replace(path, text + "\n")


def beside(path: Path) -> Path:
    """Return the name of what will take the place of `path`: hidden, and this process's own."""
    return path.with_name(f"{_FRESH}{path.name}.{os.getpid()}")


def sweep(folder: Path) -> None:
    """Remove what killed processes were about to put into its place in a folder; raises OSError."""
    for path in folder.glob(f"{_FRESH}*.*"):
        number = path.suffix[1:]
        if number.isdecimal() and not Path("/proc", number).exists():
            path.unlink(missing_ok=True)


def check_room(folder: Path) -> None:
    """Raise OSError, with the folder's name, if a file of some size cannot be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE))
            file.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def replace(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all; an OSError names it."""
    fresh = beside(path)
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
    return path
