"""Files that are written whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> Path:
    """Write rows as CSV, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return replace(path, text.getvalue())


def write_json(path: Path, content: Any) -> Path:
    """Write an object as indented JSON, whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
    return replace(path, text + "\n")


def replace(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)
    return path
