"""The command that tries our agents beside independent implementations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.base import markdown, places
from testbed.cli.options import json_option, output_option, real_lab_option
from testbed.cli.terminal import FAILED, choose_lab, give_up, handle_interrupts, open_console

if TYPE_CHECKING:
    from testbed.interop import Told, Verdict


@click.command()
@click.argument("words", nargs=-1, metavar="[WORD]...")
@real_lab_option
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Write the table into this page, between its marks, as docs/interop.md has them.",
)
@output_option
@json_option
def interop(words: Sequence[str], lab: str, page: Path | None, output: Path, as_json: bool) -> None:
    """Try our agents and independent implementations in pairs, as far as they are installed.

    With WORDs only the pairs in whose rows all of them are: `interop IKEv2 strongSwan rekey`.
    """
    from testbed import interop as pairing
    from testbed import runner
    from testbed.lab import LabError
    from testbed.lab.caller import caller, give
    from testbed.lab.choice import side_by_side

    if not pairing.MATRIX.exists():
        give_up(
            f"{pairing.MATRIX}: not there. The pairs are tests, which an installed package has"
            " not: use a clone of the project, and there make interop"
        )
    if find_spec("pytest") is None:
        give_up(
            "pytest is not installed, and the pairs are tests; run once: make setup LEVEL=tests"
        )
    matrix = pairing.load()
    wanted = pairing.pairs(matrix, words)
    if not wanted:
        give_up(f"no row has all of these words: {' '.join(words)}; docs/interop.md has all rows")
    handle_interrupts()
    try:
        if page:
            markdown.split(page, pairing.COMMAND)  # Before what takes minutes.
        place, at_once = side_by_side(choose_lab(lab))
        folder = runner.make_output(output) / "interop" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        folder.mkdir(parents=True)
        with open_console(stderr=True).status("starting"):
            verdicts = pairing.carry_out(wanted, place, at_once, folder, _tell)
        here = pairing.versions(matrix.packages)
        if page:
            pairing.write_page(page, verdicts, here, place.name)
        if user := caller(places.PROJECT):
            give(folder.parent, user)
    except (LabError, OSError, ValueError) as error:
        give_up(error)
    if as_json:
        plain = [verdict.as_json() for verdict in verdicts]
        whole = {"lab": place.name, "folder": str(folder), "versions": here, "pairs": plain}
        click.echo(json.dumps(whole, indent=1))
    else:
        _show(verdicts)
        click.echo(folder)
    if any(verdict.status == pairing.RED for verdict in verdicts):
        raise SystemExit(FAILED)


def _tell(told: Told) -> None:
    """Say what became of a test, for what is to come takes minutes."""
    click.echo(f"{told.outcome} ({told.seconds:.1f} s): {told.test}", err=True)


def _show(verdicts: Sequence[Verdict]) -> None:
    from rich.table import Table

    from testbed.interop import ABSENT, GREEN, RED, table

    colours = {GREEN: "green", RED: "red", ABSENT: "yellow"}
    shown = Table(box=None, pad_edge=False)
    for heading in ("protocol", "begins", "with", "shown", "result"):
        shown.add_column(heading)
    for verdict, row in zip(verdicts, table(verdicts), strict=True):
        shown.add_row(*row, style=colours[verdict.status])
    open_console().print(shown, markup=False)
    if any(verdict.status == ABSENT and not verdict.pair.absent for verdict in verdicts):
        click.echo("what is not installed comes with: sudo make setup LEVEL=tests")
