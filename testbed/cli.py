"""The command line: mip6lab. What one command needs is imported where it is used."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from testbed.base import places
from testbed.options import (
    FOLDER,
    carried_out,
    experiment_argument,
    folder_argument,
    json_option,
    lab_option,
    output_option,
    set_option,
    topology_argument,
)
from testbed.trace.phases import DISCOVERY, PHASES, TOTAL

if TYPE_CHECKING:
    from rich.console import Console

    from testbed.experiment.spec import PlannedRun, Spec
    from testbed.lab import Lab
    from testbed.results.folder import Results
    from testbed.runner import Outcome, Watcher

FAILED, UNUSABLE = 1, 2
KINDS = ("experiments", "topologies", "approaches", "results")
STATUSES = """Exit status: 0 if all went well; 1 if a run failed or was not carried out; 2 if
something is missing, or was asked for wrongly. That of shell and exec is the command's."""


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(highlight=False, stderr=stderr)


def _give_up(error: object) -> NoReturn:
    """End with one message and exit status 2."""
    from testbed.base.files import plain

    text = str(error)
    if isinstance(error, OSError) and error.filename:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    click.echo(f"mip6lab: {plain(text)}", err=True)
    raise SystemExit(UNUSABLE)


def _handle_interrupts() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, unless it is ignored: there will be things to end."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _place(name: str, needs: Iterable[str] | None = None) -> Lab:
    """Choose a lab and say which; root that is not needed is given up. Raises LabError."""
    from testbed.lab.caller import become, caller
    from testbed.lab.choice import KERNEL_FEATURES, choose

    place, why = choose(name, KERNEL_FEATURES if needs is None else needs)
    click.echo(why, err=True)
    user = caller(places.PROJECT)
    if user and place.name != "native":
        become(user)
    return place


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog=STATUSES, no_args_is_help=True
)
@click.version_option(package_name=places.DISTRIBUTION)
def main() -> None:
    """A laboratory for Mobile IPv6 bootstrapping.

    An EXPERIMENT is the path of a TOML file, or the name of one that ships; `mip6lab list` has
    these. Results go to ./results, or where --output or MIP6LAB_RESULTS says.
    """
    if sys.stdout is None:  # Descriptor 1 would become some file's, and that would get the output.
        _give_up("standard output is closed; send it somewhere, as in >/dev/null")
    os.umask(os.umask(0o077) & 0o077)  # Who makes files can read and write them.
    # Where there is no home to write to, Matplotlib would report where it keeps its cache.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


@main.command()
@carried_out(optional=True)
@click.option(
    "--resume",
    metavar="FOLDER",
    type=FOLDER,
    help="Go on with an interrupted results folder, in the lab that it began in.",
)
def run(
    experiment: str | None,
    variants: Sequence[str],
    assignments: Sequence[str],
    resume: Path | None,
    **how: Any,
) -> None:
    """Carry out an EXPERIMENT and draw its figures.

    All of it goes to OUTPUT/NAME/RUN-ID, beside it a link to it, latest.
    """
    if resume:
        if experiment or variants or assignments or how["runs"] or how["seed"] is not None:
            _give_up(
                "--resume goes on as it was planned:"
                " without EXPERIMENT, --variant, --set, --runs, --seed"
            )
        _resume(resume, how["lab"], as_json=how["as_json"])
        return
    if experiment is None:
        _give_up("there is neither an EXPERIMENT to run nor --resume FOLDER to go on with")
    _carry_out(_chosen(experiment, assignments, variants, swept=False), **how)


@main.command()
@carried_out()
def sweep(experiment: str, variants: Sequence[str], assignments: Sequence[str], **how: Any) -> None:
    """Carry out an EXPERIMENT over the grid of its [sweep] and fit the round trips."""
    _carry_out(_chosen(experiment, assignments, variants, swept=True), **how)


def _chosen(
    experiment: str, assignments: Sequence[str], variants: Sequence[str] = (), *, swept: bool | None
) -> Spec:
    """Read an experiment, which has to be a sweep, or none; with None it may be either."""
    from testbed.experiment.spec import SpecError
    from testbed.report.catalogue import load_experiment

    try:
        spec = load_experiment(experiment, assignments, variants)
        if swept is False and spec.experiment.sweep:
            raise SpecError(f"{experiment} is a sweep: mip6lab sweep {experiment}")
        if swept and not spec.experiment.sweep:
            raise SpecError(f"{experiment} has no [sweep]: mip6lab run {experiment}")
    except SpecError as error:
        _give_up(error)
    return spec


def _carry_out(
    spec: Spec, *, lab: str, runs: int | None, seed: int | None, output: Path, as_json: bool
) -> None:
    from testbed import runner
    from testbed.base.jsonl import DataError
    from testbed.experiment.spec import SpecError
    from testbed.lab import LabError
    from testbed.results.folder import load_paper

    _handle_interrupts()
    used = spec.experiment.seed if seed is None else seed
    try:
        plan = spec.plan(runs, used)
        load_paper()
        place = _place(lab, spec.needs())
        root = runner.make_output(output)
    except (SpecError, LabError, DataError, OSError) as error:
        _give_up(error)
    _follow(
        spec,
        plan,
        as_json,
        lambda show: runner.carry_out(spec, plan, lab=place, seed=used, root=root, watcher=show),
    )


def _resume(folder: Path, lab: str, *, as_json: bool) -> None:
    from testbed import runner
    from testbed.base.files import plain
    from testbed.base.jsonl import DataError
    from testbed.experiment.spec import SpecError
    from testbed.lab import LabError

    _handle_interrupts()
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


def _follow(
    spec: Spec,
    plan: Sequence[PlannedRun],
    as_json: bool,
    carry_out: Callable[[Watcher], Outcome],
) -> None:
    """Say how long it will take, carry it out, and show what it came to."""
    from testbed.base.files import plain
    from testbed.base.jsonl import DataError
    from testbed.base.words import about, several
    from testbed.lab import LabError
    from testbed.report import page as report
    from testbed.report.forecast import following

    console = _console(stderr=as_json)
    guessed = spec.durations(plan)
    variants = several(len({one.variant for one in plan}), "variant")
    click.echo(f"{several(len(plan), 'run')} of {variants}, {about(sum(guessed))}", err=True)
    try:
        with following(guessed, _console(stderr=True)) as show:
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


@main.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@output_option
@json_option
def list_command(kind: str | None, output: Path, as_json: bool) -> None:
    """List what there is: experiments, topologies, approaches, results, or one KIND of these."""
    from testbed.report import catalogue

    found = {one: catalogue.find(one, output) for one in ([kind] if kind else KINDS)}
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for heading, entries in found.items():
        if not kind:
            click.echo(f"{heading}:")
        width = max(map(len, entries), default=0)
        for name, text in entries.items():
            click.echo(f"{'' if kind else '  '}{name:<{width}}  {text}")


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """List what the labs need, what it is for, and whether it is here."""
    from testbed.lab.doctor import FEATURES, PACKAGES, examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=1))
        return
    from rich.table import Table

    console = _console()
    table = Table(box=None, pad_edge=False)
    for heading in ("feature", "here", "lab", "for", "what to do"):
        table.add_column(heading)
    signs = {True: "[green]yes[/]", False: "[red]no[/]", None: "[yellow]?[/]"}
    for finding in findings:
        labs = "both" if len(finding.labs) > 1 else finding.labs[0]
        table.add_row(finding.name, signs[finding.here], labs, finding.purpose, finding.remedy)
    console.print(table)
    usable: list[str] = []
    for name in ("native", "uml"):
        missing = [f for f in findings if name in f.labs and f.here is False]
        if lacks := ", ".join(f.name for f in missing if FEATURES[f.name].always):
            console.print(f"lab {name}: lacks {lacks}")
            continue
        usable.append(name)
        less = ", ".join(f.purpose for f in missing)
        console.print(f"lab {name}: usable{less and f', except for {less}'}", soft_wrap=True)
    lacking = (PACKAGES[f.name] for f in findings if f.here is False and f.name in PACKAGES)
    if packages := dict.fromkeys(lacking):
        console.print(places.how_to_install(*packages, level="approaches"), soft_wrap=True)
    if not usable:
        raise SystemExit(UNUSABLE)


@main.command()
@folder_argument
def plot(folder: Path) -> None:
    """Draw the figures of a results FOLDER again."""
    from testbed.base.files import plain

    for path in sorted((_conclude(folder).folder / "figures").glob("*.png")):
        click.echo(plain(path))


@main.command()
@folder_argument
@json_option
def report(folder: Path, as_json: bool) -> None:
    """Show the table of a results FOLDER, and write its report.html again."""
    from testbed.base.files import plain
    from testbed.report.page import show

    loaded = _conclude(folder)
    if as_json:
        click.echo((loaded.folder / "summary.json").read_text())
        return
    show(loaded, _console())
    click.echo(plain(loaded.folder / "report.html"))


def _conclude(folder: Path) -> Results:
    from testbed import runner
    from testbed.base.jsonl import DataError

    try:
        return runner.conclude(folder.resolve())
    except (DataError, OSError) as error:
        _give_up(error)


@main.command()
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
    help="A point of a sweep, as in links.access.delay=0.05; else all, each by itself.",
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
    except (DataError, SpecError) as error:
        _give_up(error)
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
    console = _console()
    console.print(tables.comparisons(made, phase), "")
    console.print(tables.claims(found))


@main.command()
@experiment_argument
@set_option
def validate(experiment: str, assignments: Sequence[str]) -> None:
    """Check an EXPERIMENT without running it."""
    spec = _chosen(experiment, assignments, swept=None)
    for name, variant in spec.variants.items():
        click.echo(f"{name}: approach {variant.approach}, topology {variant.topology}")
    click.echo(f"needs: {', '.join(sorted(spec.needs()))}")


def _interact(
    lab: str, command: Sequence[str], needs: Iterable[str] | None, *, reads: bool
) -> NoReturn:
    """Run a command in a lab on this terminal, and end with its exit status."""
    from testbed.lab import LabError

    _handle_interrupts()
    try:
        status = _place(lab, needs).interact(command, cwd=Path.cwd(), reads=reads)
    except LabError as error:
        _give_up(error)
    raise SystemExit(status)


@main.command("exec", context_settings={"ignore_unknown_options": True})
@lab_option
@click.option("-i", "--stdin", is_flag=True, help="Hand standard input on, if it is no terminal.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(lab: str, stdin: bool, command: Sequence[str]) -> None:
    """Run COMMAND as root inside a lab."""
    _interact(lab, command, None, reads=stdin)


@main.command()
@topology_argument
@lab_option
def shell(topology: str, lab: str) -> None:
    """Build TOPOLOGY in a lab and open Mininet's prompt in it, or carry out a script from stdin."""
    import topologies

    try:
        shared = any(link.is_shared for link in topologies.load(topology).links)
    except LookupError as error:
        _give_up(error.args[0])
    needs = ("veth", "sch_htb", *(("bridge",) if shared else ()))
    _interact(lab, [sys.executable, "-m", "testbed.run.shell", topology], needs, reads=True)


@main.command()
def clean() -> None:
    """Remove what killed labs left: temporary folders of this user. Results stay."""
    from testbed.lab import uml_host

    click.echo(f"removed {uml_host.sweep()} temporary folders of killed labs")


@main.command()
@json_option
def bench(as_json: bool) -> None:
    """Measure what the machines cost, without a network."""
    from rich.table import Table

    from agents.bench import measure

    console = _console()
    costs = []
    with console.status("measuring") as status:
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
    console.print(table)
