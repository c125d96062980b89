"""Commands about results folders: draw, show and compare what runs came to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.base.phases import DISCOVERY, PHASES, TOTAL
from testbed.cli.options import FOLDER, folder_argument, json_option
from testbed.cli.terminal import FAILED, give_up, open_console

if TYPE_CHECKING:
    from testbed.results.folder import Results


@click.command()
@folder_argument
def plot(folder: Path) -> None:
    """Draw the figures of a results FOLDER again."""
    from testbed.base.files import plain

    for path in sorted((_conclude(folder).folder / "figures").glob("*.png")):
        click.echo(plain(path))


@click.command()
@folder_argument
@json_option
def report(folder: Path, as_json: bool) -> None:
    """Show the table of a results FOLDER, and write its report.html again."""
    from testbed.base.files import plain
    from testbed.report.terminal import show

    loaded = _conclude(folder)
    if as_json:
        click.echo((loaded.folder / "summary.json").read_text())
        return
    show(loaded, open_console())
    click.echo(plain(loaded.folder / "report.html"))


def _conclude(folder: Path) -> Results:
    from testbed import runner
    from testbed.base.jsonl import DataError

    try:
        return runner.conclude(folder.resolve())
    except (DataError, OSError) as error:
        give_up(error)


@click.command()
@click.argument("folders", nargs=-1, required=True, type=FOLDER)
@click.option(
    "--phase",
    type=click.Choice([*PHASES, TOTAL, DISCOVERY]),
    default=TOTAL,
    help="What to compare.",
)
@click.option("--baseline", metavar="VARIANT", help="Compare all with this one, not all pairs.")
@click.option(
    "--at",
    "point",
    metavar="KEY=VALUE",
    multiple=True,
    help="Only these points of a sweep, as in links.access.delay=0.05; repeatable. Without it all,"
    " and each run beside those at its own point.",
)
@json_option
def compare(
    folders: Sequence[Path], phase: str, baseline: str | None, point: Sequence[str], as_json: bool
) -> None:
    """Compare the variants of results FOLDERS, and judge what is claimed of them."""
    from testbed.analysis import claims
    from testbed.analysis import compare as comparison
    from testbed.base.jsonl import DataError
    from testbed.experiment.spec import SpecError, parse_assignment
    from testbed.report import tables
    from testbed.results import folder as results

    try:
        fixed = {".".join(k): v for k, v in (parse_assignment(one, "--at") for one in point)}
        loaded = [results.load(folder) for folder in folders]
        made = comparison.compare(comparison.samples(loaded, phase, fixed), baseline)
        found = claims.findings(loaded)
    except (DataError, SpecError, OSError) as error:
        give_up(error)
    warnings = comparison.surroundings(loaded)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        content = {
            "phase": phase,
            "warnings": warnings,
            "comparisons": [one.as_json() for one in made],
            "claims": [one.as_json() for one in found],
        }
        click.echo(json.dumps(content, indent=1))
        return
    console = open_console()
    called = " / ".join({one.titles()[phase]: None for one in loaded})
    console.print(tables.comparisons(made, called), "")
    console.print(tables.claims(found))


@click.command()
@click.argument("simulated", type=FOLDER)
@click.argument("real", type=FOLDER)
@json_option
def agree(simulated: Path, real: Path, as_json: bool) -> None:
    """Hold SIMULATED results against those of a REAL lab; the figure goes to SIMULATED/figures."""
    from testbed.analysis.agreement import agreement, check_labs
    from testbed.base.jsonl import DataError
    from testbed.report import style
    from testbed.report.agreement import agreement_figure, tables
    from testbed.results import folder as results

    try:
        pair = results.load(simulated), results.load(real)
        check_labs(*pair)
        found = agreement(*pair)
        figure, data = agreement_figure(found, *pair)
        style.save(figure, pair[0].folder / "figures", "agreement", data)
    except (DataError, OSError) as error:
        give_up(error)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    else:
        console = open_console()
        for table in tables(found):
            console.print(table, "")
    if not found.whole:
        raise SystemExit(FAILED)


@click.command()
@click.argument("folders", nargs=-1, type=FOLDER)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Write the claims and these verdicts into this page, between its marks, as CLAIMS.md has"
    " them.",
)
@json_option
def claims(folders: Sequence[Path], page: Path | None, as_json: bool) -> None:
    """List what is claimed and what decides it, with the verdicts of results FOLDERS.

    Each folder decides the claims that are its experiment's.
    """
    from testbed.analysis.claims import CLAIMS, CONTRADICTED
    from testbed.base.jsonl import DataError
    from testbed.report import claimed
    from testbed.results import folder as results

    try:
        kept = claimed.verdicts([results.load(folder) for folder in folders])
        if page:
            claimed.write(page, kept)
    except (DataError, OSError, ValueError) as error:
        give_up(error)
    if as_json:
        content = [
            {
                "name": claim.name,
                "claim": claim.text,
                "source": claim.source,
                "expected": claim.expected,
                **asdict(claimed.check_of(claim)),
                "verdicts": [asdict(one) for one in kept if one.claim == claim.name],
            }
            for claim in CLAIMS
        ]
        click.echo(json.dumps(content, indent=1))
    else:
        open_console().print(claimed.judged(kept) if folders else claimed.listing())
    if any(one.verdict == CONTRADICTED for one in kept):
        raise SystemExit(FAILED)
