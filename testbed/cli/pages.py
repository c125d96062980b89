"""Commands that show results: a run's ladder as a figure, the page in a browser, the index."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.cli.options import FOLDER, Number, folder_argument, output_option
from testbed.cli.terminal import give_up

if TYPE_CHECKING:
    from testbed.results.runs import Run

_FORMATS = ("png", "svg", "pdf")
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


@click.command()
@folder_argument
@click.option("--run", "number", type=Number(int, 1), help="Which run; else a typical one.")
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write, .png, .svg or .pdf; else ladder-N.svg in the folder's figures.",
)
def timeline(folder: Path, number: int | None, path: Path | None) -> None:
    """Draw the ladder of a run of a results FOLDER: every message between its hosts."""
    from testbed.base.files import plain
    from testbed.base.jsonl import DataError
    from testbed.report import style
    from testbed.report.ladder import typical_run
    from testbed.report.timeline import timeline_figure
    from testbed.results import folder as results

    kind = path.suffix.removeprefix(".") if path else "svg"
    if kind not in _FORMATS:
        give_up(f"{path}: a figure is written as .png, .svg or .pdf")
    try:
        loaded = results.load(folder)
        run = typical_run(loaded) if number is None else _run(loaded.runs, number)
        fig, _ = timeline_figure(loaded, run)
        place = path or loaded.folder / "figures" / f"ladder-{run.run:04}.svg"
        style.save_as(fig, place, kind)
    except (DataError, OSError) as error:
        give_up(error)
    click.echo(plain(place))


def _run(runs: list[Run], number: int) -> Run:
    found = next((run for run in runs if run.run == number), None)
    if found is None:
        numbers = f"1 to {runs[-1].run}" if runs else "none"
        give_up(f"there is no run {number}; there are {numbers}")
    return found


@click.command()
@click.argument("folder", type=FOLDER, required=False)
@output_option
def view(folder: Path | None, output: Path) -> None:
    """Open the page of a results FOLDER, or without one an index of all results.

    Where there is no display, its path is printed.
    """
    from testbed.base.files import plain
    from testbed.base.jsonl import DataError
    from testbed.report import index

    try:
        page = _page(folder) if folder else index.write(output)
    except (DataError, OSError) as error:
        give_up(error)
    click.echo(plain(page))
    opener = shutil.which("xdg-open")
    if opener and any(os.environ.get(name) for name in DISPLAYS):
        subprocess.Popen(
            [opener, str(page)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _page(folder: Path) -> Path:
    """Return report.html of a results folder, which is written if there is none."""
    from testbed import runner

    page = folder.resolve() / "report.html"
    if not page.exists():
        runner.conclude(folder.resolve())
    return page
