"""The command line: mip6lab."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.table import Table

from testbed import claims, compare, report, results, runner, tables
from testbed.files import plain
from testbed.forecast import following
from testbed.jsonl import DataError
from testbed.lab import Lab, LabError, uml_host
from testbed.lab.caller import become, caller
from testbed.lab.choice import KERNEL_FEATURES, LABS, choose
from testbed.lab.doctor import examine
from testbed.manifest import DISTRIBUTION
from testbed.phases import DISCOVERY, PHASES, TOTAL
from testbed.spec import PlannedRun, Spec, SpecError, parse_assignment
from testbed.words import about, several

FAILED, UNUSABLE = 1, 2
_console = Console(highlight=False)


def _give_up(error: object) -> NoReturn:
    """End with one message and exit status 2."""
    click.echo(f"mip6lab: {plain(str(error))}", err=True)
    raise SystemExit(UNUSABLE)


def _place(name: str, needs: Iterable[str] = KERNEL_FEATURES) -> Lab:
    """Choose a lab and say which; root that is not needed is given up. Raises LabError."""
    place, why = choose(name, needs)
    click.echo(why, err=True)
    user = caller(runner.PROJECT)
    if user and place.name != "native":
        become(user)
    return place


lab_option = click.option(
    "--lab", type=click.Choice(LABS), default="auto", help="Where the hosts run."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
set_option = click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a value of the experiment, as in settings.ike.mode=aggressive.",
)
folder_argument = click.argument("folder", type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """A laboratory for Mobile IPv6 bootstrapping."""


experiment_argument = click.argument("experiment", type=click.Path(path_type=Path))
runs_option = click.option("--runs", type=click.IntRange(1), help="Runs of each variant.")
seed_option = click.option("--seed", type=click.IntRange(0), help="Seed of the order of the runs.")


@main.command()
@click.argument("experiment", type=click.Path(path_type=Path), required=False)
@runs_option
@seed_option
@lab_option
@set_option
@click.option(
    "--resume",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Go on with an interrupted results folder, in the lab that it began in.",
)
@json_option
def run(
    experiment: Path | None,
    runs: int | None,
    seed: int | None,
    lab: str,
    assignments: Sequence[str],
    resume: Path | None,
    as_json: bool,
) -> None:
    """Carry out an experiment and draw its figures."""
    if resume:
        if experiment or runs or seed is not None or assignments:
            _give_up(
                "--resume goes on as it was planned: without EXPERIMENT, --runs, --seed, --set"
            )
        _resume(resume, lab, as_json)
        return
    if experiment is None:
        _give_up("there is neither an EXPERIMENT to run nor --resume FOLDER to go on with")
    try:
        spec = Spec.load(experiment, assignments)
        if spec.experiment.sweep:
            raise SpecError(f"{experiment} is a sweep: mip6lab sweep {experiment}")
        place = _place(lab, spec.needs())
    except (SpecError, LabError) as error:
        _give_up(error)
    _carry_out(spec, place, runs, seed, as_json)


@main.command()
@experiment_argument
@click.option("--runs", type=click.IntRange(1), help="Runs of each variant at each point.")
@seed_option
@lab_option
@set_option
@json_option
def sweep(
    experiment: Path,
    runs: int | None,
    seed: int | None,
    lab: str,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Carry out an experiment over the grid of its [sweep] and fit the round trips."""
    try:
        spec = Spec.load(experiment, assignments)
        if not spec.experiment.sweep:
            raise SpecError(f"{experiment} has no [sweep]: mip6lab run {experiment}")
        place = _place(lab, spec.needs())
    except (SpecError, LabError) as error:
        _give_up(error)
    _carry_out(spec, place, runs, seed, as_json)


def _resume(folder: Path, lab: str, as_json: bool) -> None:
    try:
        loaded, spec = runner.interrupted(folder)
        began_in = loaded.manifest.lab if loaded.manifest else lab
        if lab not in ("auto", began_in):
            raise LabError(f"{plain(folder)} began in the {began_in} lab, and goes on there")
        place = _place(began_in, spec.needs())
    except (DataError, SpecError, LabError) as error:
        _give_up(error)
    _follow(
        spec, loaded.missing, as_json, lambda show: runner.resume(folder, lab=place, watcher=show)
    )


def _carry_out(spec: Spec, place: Lab, runs: int | None, seed: int | None, as_json: bool) -> None:
    plan, root = spec.plan(runs, seed), runner.default_root()
    used = spec.experiment.seed if seed is None else seed
    _follow(
        spec,
        plan,
        as_json,
        lambda show: runner.carry_out(spec, plan, lab=place, seed=used, root=root, watcher=show),
    )


def _follow(
    spec: Spec,
    plan: Sequence[PlannedRun],
    as_json: bool,
    carry_out: Callable[[runner.Watcher], runner.Outcome],
) -> None:
    """Say how long it will take, carry it out, and show what it came to."""
    console = Console(stderr=True, highlight=False) if as_json else _console
    guessed = spec.durations(plan)
    variants = several(len({one.variant for one in plan}), "variant")
    click.echo(f"{several(len(plan), 'run')} of {variants}, {about(sum(guessed))}", err=True)
    try:
        with following(guessed, console) as show:
            outcome = carry_out(show)
    except (LabError, DataError, OSError) as error:
        _give_up(error)
    loaded = outcome.results
    if as_json:
        click.echo((outcome.folder / "summary.json").read_text(encoding="utf-8"))
        if loaded.unfinished:
            console.print(loaded.unfinished, soft_wrap=True, markup=False)
    else:
        report.show(loaded, console)
    console.print(f"results: {plain(outcome.folder)}", soft_wrap=True, markup=False)
    if loaded.failed or loaded.missing:
        raise SystemExit(FAILED)


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """List what the labs need, what it is for, and whether it is here."""
    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("feature", "here", "lab", "for", "what to do"):
        table.add_column(heading)
    signs = {True: "[green]yes[/]", False: "[red]no[/]", None: "[yellow]?[/]"}
    for finding in findings:
        labs = "both" if len(finding.labs) > 1 else finding.labs[0]
        table.add_row(finding.name, signs[finding.here], labs, finding.purpose, finding.remedy)
    _console.print(table)
    for name in ("native", "uml"):
        missing = [f.name for f in findings if name in f.labs and f.here is False]
        verdict = f"lacks {', '.join(missing)}" if missing else "usable"
        _console.print(f"lab {name}: {verdict}")


@main.command()
@folder_argument
def plot(folder: Path) -> None:
    """Draw the figures of a results folder again."""
    try:
        loaded = runner.conclude(folder.resolve())
    except DataError as error:
        _give_up(error)
    for path in sorted((loaded.folder / "figures").glob("*.png")):
        click.echo(plain(path))


@main.command("report")
@folder_argument
@json_option
def report_command(folder: Path, as_json: bool) -> None:
    """Show the table of a results folder, and write its report.html again."""
    try:
        loaded = runner.conclude(folder.resolve())
    except DataError as error:
        _give_up(error)
    if as_json:
        click.echo((loaded.folder / "summary.json").read_text())
        return
    report.show(loaded, _console)
    click.echo(plain(loaded.folder / "report.html"))


@main.command("compare")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
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
    help="A point of a sweep, as in links.access.delay=0.05; else all, each by itself.",
)
@json_option
def compare_command(
    folders: Sequence[Path], phase: str, baseline: str | None, point: Sequence[str], as_json: bool
) -> None:
    """Compare the variants of results FOLDERS, and judge what is claimed of them."""
    try:
        fixed = {".".join(k): v for k, v in (parse_assignment(one, "--at") for one in point)}
        loaded = [results.load(folder) for folder in folders]
        made = compare.compare(compare.samples(loaded, phase, fixed), baseline)
        found = claims.findings(loaded)
    except (DataError, SpecError) as error:
        _give_up(error)
    warnings = compare.surroundings(loaded)
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
    _console.print(tables.comparisons(made, phase), "")
    _console.print(tables.claims(found))


@main.command()
@click.argument("experiment", type=click.Path(path_type=Path))
@set_option
def validate(experiment: Path, assignments: Sequence[str]) -> None:
    """Check an experiment's file without running it."""
    try:
        spec = Spec.load(experiment, assignments)
    except SpecError as error:
        _give_up(error)
    for name, variant in spec.variants.items():
        click.echo(f"{name}: approach {variant.approach}, topology {variant.topology}")
    click.echo(f"needs: {', '.join(sorted(spec.needs()))}")


@main.command("exec", context_settings={"ignore_unknown_options": True})
@lab_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(lab: str, command: Sequence[str]) -> None:
    """Run COMMAND as root inside a lab."""
    try:
        place = _place(lab)
        status = place.interact(command, cwd=Path.cwd())
    except LabError as error:
        _give_up(error)
    raise SystemExit(status)


@main.command()
@click.argument("topology", default="paper")
@lab_option
def shell(topology: str, lab: str) -> None:
    """Build TOPOLOGY in a lab and open Mininet's prompt in it."""
    try:
        place = _place(lab, ("veth", "sch_htb"))
        command = [sys.executable, "-m", "testbed.shell", topology]
        status = place.interact(command, cwd=Path.cwd())
    except LabError as error:
        _give_up(error)
    raise SystemExit(status)


@main.command()
def clean() -> None:
    """Remove what killed labs left: temporary folders of this user. Results stay."""
    click.echo(f"removed {uml_host.sweep()} temporary folders of killed labs")


@main.command()
@json_option
def bench(as_json: bool) -> None:
    """Measure what the machines cost, without a network."""
    measure = importlib.import_module("agents.bench").measure
    costs = []
    with _console.status("measuring") as status:
        for cost in measure():
            status.update(f"measured: {cost.name}")
            costs.append(cost)
    if as_json:
        click.echo(json.dumps([cost.as_json() for cost in costs], indent=1))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("exchange, both ends")
    for heading in ("median", "least", "greatest"):
        table.add_column(heading, justify="right")
    for cost in costs:
        times = (cost.median, cost.least, cost.greatest)
        table.add_row(cost.name, *(f"{t * 1000:.3f} ms" for t in times))
    _console.print(table)


if __name__ == "__main__":
    main()
