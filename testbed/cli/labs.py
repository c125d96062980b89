"""Commands about this machine and its labs: what is here, what runs in one, what one left."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from testbed.base import places
from testbed.cli.options import APPROACH, NETWORK, json_option, real_lab_option, set_option
from testbed.cli.terminal import UNUSABLE, choose_lab, give_up, handle_interrupts, open_console

if TYPE_CHECKING:
    from testbed.experiment.spec import Spec


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """List what the labs need, what it is for, and whether it is here."""
    from testbed.lab.choice import LABS
    from testbed.lab.doctor import FEATURES, PACKAGES, REAL, examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=1))
        return
    from rich.table import Table

    console = open_console()
    table = Table(box=None, pad_edge=False)
    for heading in ("feature", "here", "lab", "for", "what to do"):
        table.add_column(heading)
    signs = {True: "[green]yes[/]", False: "[red]no[/]", None: "[yellow]?[/]"}
    for finding in findings:
        labs = "all" if set(finding.labs) == REAL else " ".join(finding.labs)
        table.add_row(finding.name, signs[finding.here], labs, finding.purpose, finding.remedy)
    console.print(table)
    usable: list[str] = []
    for name in [lab for lab in LABS if lab in REAL]:
        missing = [f for f in findings if name in f.labs and f.here is False]
        if lacks := ", ".join(f.name for f in missing if FEATURES[f.name].always):
            console.print(f"lab {name}: lacks {lacks}")
            continue
        usable.append(name)
        less = ", ".join(f.purpose for f in missing)
        console.print(f"lab {name}: usable{less and f', except for {less}'}", soft_wrap=True)
    console.print("lab sim: usable; it needs nothing, for its hosts are models", soft_wrap=True)
    missing = [f for f in findings if f.here is False and f.name in PACKAGES]
    # One lab is enough, and the vm lab's packages are of a higher level than the others'.
    of_use = [f for f in missing if f.labs != ("vm",)] if usable else missing
    if packages := dict.fromkeys(PACKAGES[f.name] for f in of_use):
        level = "approaches" if usable else "tests"
        console.print(places.how_to_install(*packages, level=level), soft_wrap=True)
    if not usable:
        raise SystemExit(UNUSABLE)


def _interact(
    lab: str, command: Sequence[str], needs: Iterable[str] | None, *, reads: bool
) -> NoReturn:
    """Run a command in a lab on this terminal, and end with its exit status."""
    from testbed.lab import LabError

    handle_interrupts()
    try:
        status = choose_lab(lab, needs).interact(command, cwd=Path.cwd(), reads=reads)
    except LabError as error:
        give_up(error)
    raise SystemExit(status)


@click.command("exec", context_settings={"ignore_unknown_options": True})
@real_lab_option
@click.option("-i", "--stdin", is_flag=True, help="Hand standard input on, if it is no terminal.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(lab: str, stdin: bool, command: Sequence[str]) -> None:
    """Run COMMAND as root inside a lab."""
    _interact(lab, command, None, reads=stdin)


@click.command()
@click.argument("name", default="paper", type=NETWORK)
@click.option("--approach", type=APPROACH, help="Have its programs ready in the topology.")
@click.option("--variant", metavar="NAME", help="Which of the experiment's; the first by default.")
@set_option
@real_lab_option
def shell(
    name: str, approach: str | None, variant: str | None, assignments: Sequence[str], lab: str
) -> None:
    """Build a network in a lab and open Mininet's prompt in it, or carry out a script from stdin.

    NAME is a topology, or else an experiment. With an experiment, or with --approach, programs are
    ready in the hosts, and there are commands beside Mininet's: bootstrap, step, pause, resume,
    events, ping, capture, kill, start, loss, move. A script in which one fails ends with status 1.
    """
    import topologies
    from agents.core.documents import absent

    known = topologies.names()
    if name in known and not (approach or variant or assignments):
        shared = any(link.is_shared for link in topologies.load(name).links)
        needs = ("veth", "sch_htb", *(("bridge",) if shared else ()))
        _interact(lab, [sys.executable, "-m", "testbed.run.shell", name], needs, reads=True)
    if not places.find_experiment(name).is_file() and name not in known:
        there = sorted({*known, *places.experiments()})
        give_up(absent(f"topology or experiment {name}", name, there))
    if not (approach or places.find_experiment(name).is_file()):
        what = "--variant is for an experiment" if variant else "--set changes what programs do"
        give_up(f"{name} is a topology, and {what}: --approach says which there are")
    spec, chosen = _live_spec(name, approach, variant, assignments)
    asked = json.dumps({"document": spec.document, "variant": chosen})
    # Messages are held, and packets lost, in a bridge.
    needs = (*spec.needs(), "bridge", "sch_netem")
    _interact(lab, [sys.executable, "-m", "testbed.run.shell", asked], needs, reads=True)


def _live_spec(
    name: str, approach: str | None, variant: str | None, assignments: Sequence[str]
) -> tuple[Spec, str]:
    """Return what is asked for as an experiment of one variant, and that."""
    import topologies
    from testbed.experiment.spec import Spec, SpecError
    from testbed.report.catalogue import load_experiment

    if approach and variant:
        give_up("--approach is for a topology, --variant for an experiment: leave out one of them")
    try:
        if approach:
            spec = Spec.of_approach(approach, name, assignments)
        else:
            spec = load_experiment(name, assignments)
            chosen = variant or next(iter(spec.variants))
            spec = load_experiment(name, assignments, [chosen]).at(spec.points[0])
        [chosen] = spec.variants
        if spec.topology(chosen).is_fleet:
            raise SpecError(
                f"{name}: its network has many mobile nodes, and these commands are for one;"
                " without --approach and --set there is Mininet's prompt in a topology"
            )
    except SpecError as error:
        give_up(error)
    if not (approach or variant) and name not in topologies.names():
        click.echo(f"variant {chosen}; --variant takes another", err=True)
    return spec, chosen


@click.command()
def clean() -> None:
    """Remove what killed labs left: temporary folders of this user. Results stay."""
    from testbed.lab import host

    click.echo(f"removed {host.sweep()} temporary folders of killed labs")
