"""An experiment carried out under a progress bar."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from testbed import runner
from testbed.lab import Lab, LabError
from testbed.lab.caller import caller
from testbed.lab.job import check_reachable
from testbed.phases import TITLES
from testbed.places import PROJECT
from testbed.spec import PlannedRun, Spec


class Bar:
    """Shows how far an experiment is, and the phase of the run under way."""

    def __init__(self, progress: Progress, planned: int) -> None:
        self._progress = progress
        self._task = progress.add_task("starting the lab", total=planned)

    def phase(self, variant: str, phase: str) -> None:
        """Show the phase that a run has entered."""
        self._progress.update(self._task, description=f"{variant}: {TITLES.get(phase, phase)}")

    def finished(self) -> None:
        """Count a run."""
        self._progress.advance(self._task)


def make_output(folder: Path) -> Path:
    """Make the folder for results, of the user behind sudo if it is new; return its whole path.

    LabError or OSError if there can be no results.
    """
    check_reachable(folder)
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if user := caller(PROJECT):
        for each in new:
            os.chown(each, user.pw_uid, user.pw_gid)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LabError(f"{folder} cannot be written to; choose another folder by --output")
    return folder.absolute()


def carry_out(
    spec: Spec,
    plan: Sequence[PlannedRun],
    *,
    lab: Lab,
    seed: int | None,
    root: Path,
    console: Console,
) -> runner.Outcome:
    """Carry out the planned runs, the bar on `console`. LabError, DataError or OSError."""
    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        return runner.carry_out(
            spec,
            plan,
            lab=lab,
            seed=spec.experiment.seed if seed is None else seed,
            root=root,
            watcher=Bar(progress, len(plan)),
        )
