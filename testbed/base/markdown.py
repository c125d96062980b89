"""Pages in Markdown of which a part is made by a command: what is between its two marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def begin(command: str) -> str:
    """Return the mark before what `mip6lab COMMAND` writes."""
    return f"<!-- begin: mip6lab {command} -->"


def end(command: str) -> str:
    """Return the mark behind it."""
    return f"<!-- end: mip6lab {command} -->"


def split(page: Path, command: str) -> tuple[str, str, str]:
    """Return what a page has before, between and behind the marks; ValueError without them."""
    before, first, rest = page.read_text(encoding="utf-8").partition(begin(command))
    inside, last, behind = rest.partition(end(command))
    if not (first and last):
        raise ValueError(
            f"{page} lacks the lines {begin(command)} and {end(command)}, between which the table"
            " goes: add them"
        )
    return before + first, inside.strip("\n"), last + behind


def joined(parts: tuple[str, str, str]) -> str:
    """Return the page that split() has split, with something else between its marks."""
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    every = (head, ("---",) * len(head), *rows)
    return [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in every]


def cells(line: str) -> list[str]:
    """Return what a line of a table has in its columns."""
    return [cell.strip().replace("&#124;", "|") for cell in line.strip().strip("|").split("|")]
