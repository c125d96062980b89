"""What a run has kept beside its line: the events of its programs, and its captures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testbed.base.jsonl import read_whole
from testbed.results.folder import Results, run_folder
from testbed.results.runs import Run


def events(results: Results, run: Run) -> list[dict[str, Any]]:
    """Return the events of a run's programs, in the order in which they were told.

    Each has `t` in nanoseconds of the hosts' monotonic clock, `host`, `agent` and `event`, and what
    is particular to it. Raises DataError if they were not kept, or not whole.
    """
    return read_whole(run_folder(results.folder, run.run) / "events.jsonl", dict)


def captures(results: Results, run: Run) -> dict[str, Path]:
    """Return the paths of a run's captures (pcapng), by host; none if none were kept."""
    found = (run_folder(results.folder, run.run) / "captures").glob("*.pcapng")
    return {path.stem: path for path in sorted(found)}
