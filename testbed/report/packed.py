"""Ladders as report.html has them: in the page as far as there is room, beside it else."""

from __future__ import annotations

import base64
import gzip
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from testbed.base.files import replace
from testbed.base.jsonl import DataError
from testbed.report.ladder import ladder
from testbed.results.folder import Results, run_folder
from testbed.results.runs import Run

ROOM = 6_000_000
"""Octets of ladders in the page: what a mail takes, and a browser opens at once."""

BESIDE = "ladder.js"


@dataclass(slots=True)
class Ladders:
    """What there is of each run: in the page `inside`, `beside` it, or why there is none."""

    inside: list[tuple[int, str]] = field(default_factory=list)
    beside: list[int] = field(default_factory=list)
    missing: dict[int, str] = field(default_factory=dict)

    def has(self, run: int) -> bool:
        """Whether there is a ladder of a run."""
        return run in self.beside or any(number == run for number, _ in self.inside)


def pack(results: Results) -> Ladders:
    """Make the ladders of all runs that have captures, and write those that are beside the page.

    The page has first what shows most: a run of each variant, and those that failed. Raises OSError
    if one cannot be written.
    """
    found, room = Ladders(), ROOM
    for run in _in_order(results):
        path = run_folder(results.folder, run.run) / BESIDE
        try:
            one = ladder(results, run)
        except DataError as error:
            found.missing[run.run] = str(error)
            one = None
        except Exception as error:  # A bug, which takes no other run's ladder.
            found.missing[run.run] = traceback.format_exception_only(error)[-1].strip()
            one = None
        text = "" if one is None else _packed(msgspec.json.encode(one))
        if one is not None and len(text) > room:
            replace(path, f'mip6labLadder({run.run}, "{text}");\n')
            found.beside.append(run.run)
            continue
        path.unlink(missing_ok=True)
        if one is not None:
            found.inside.append((run.run, text))
            room -= len(text)
    return found


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _in_order(results: Results) -> Iterator[Run]:
    """Yield the first run of each variant and point, then those that failed, then the others."""
    seen: set[tuple[str, str]] = set()
    first: list[Run] = []
    failed: list[Run] = []
    others: list[Run] = []
    for run in results.runs:
        key = run.variant, str(run.parameters)
        (first if key not in seen else failed if run.status == "failed" else others).append(run)
        seen.add(key)
    yield from (*first, *failed, *others)
