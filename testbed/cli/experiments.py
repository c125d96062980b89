"""Commands about experiments: carry them out, list what there is, check a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.cli.options import (
    AUTO,
    FOLDER,
    carried_out,
    experiment_argument,
    json_option,
    output_option,
    set_option,
)
from testbed.cli.terminal import FAILED, choose_lab, give_up, handle_interrupts, open_console

if TYPE_CHECKING:
    from testbed.cluster.client import Cluster
    from testbed.experiment.spec import PlannedRun, Spec
    from testbed.lab import Lab
    from testbed.runner import Outcome, Watcher

_SIMULATED, _SIMULATED_EACH = 0.1, 0.025
"""Seconds that a simulated run takes to compute: with one mobile node, and for each one more.

And for each time that its steps are taken again.
"""

_PLANNED = ("runs", "seed", "services", "slowness")
"""Options that a plan was made with."""

_STEP = re.compile(r"^steps\[\d+\]")
"""Where it is that a step cannot be carried out: variants have others for one reason."""

KINDS = ("experiments", "topologies", "approaches", "results")


@click.command()
@carried_out(optional=True)
@click.option(
    "--resume",
    metavar="FOLDER",
    type=FOLDER,
    help="Go on with an interrupted results folder, in the lab that it began in, as many at once.",
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
        planned = any(how[name] is not None for name in _PLANNED)
        if experiment or variants or assignments or planned:
            give_up(
                "--resume goes on as it was planned:"
                " without EXPERIMENT, --variant, --set, --runs, --seed, --services, --slowness"
            )
        _resume(resume, how["lab"], how["jobs"], how["scheduler"], as_json=how["as_json"])
        return
    if experiment is None:
        give_up("there is neither an EXPERIMENT to run nor --resume FOLDER to go on with")
    _carry_out(chosen(experiment, assignments, variants, swept=False), **how)


def _to_run(ctx: click.Context, param: click.Parameter, folder: str | None) -> None:  # noqa: ARG001
    if folder is not None:
        give_up(f"run goes on with a sweep too: mip6lab run --resume {folder}")


@click.command()
@carried_out()
@click.option(
    "--resume", metavar="FOLDER", hidden=True, is_eager=True, expose_value=False, callback=_to_run
)
def sweep(experiment: str, variants: Sequence[str], assignments: Sequence[str], **how: Any) -> None:
    """Carry out an EXPERIMENT over the grid of its [sweep] and fit the round trips."""
    _carry_out(chosen(experiment, assignments, variants, swept=True), **how)


def chosen(
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
        give_up(error)
    return spec


def _carry_out(
    spec: Spec,
    *,
    lab: str,
    jobs: int | None,
    scheduler: str | None,
    services: Path | None,
    slowness: float | None,
    runs: int | None,
    seed: int | None,
    output: Path,
    as_json: bool,
) -> None:
    from testbed import runner
    from testbed.base.jsonl import DataError
    from testbed.experiment.spec import SpecError
    from testbed.lab import LabError
    from testbed.results.paper import load_paper

    handle_interrupts()
    used = spec.experiment.seed if seed is None else seed
    try:
        plan = spec.plan(runs, used)
        load_paper()
        with _place(lab, spec.needs(), jobs, scheduler) as (place, at_once):
            _prepare_simulation(place, services, slowness)
            _check(spec, plan, place)
            _warn(spec)
            root = runner.make_output(output)
            _follow(
                _durations(spec, plan, place),
                plan,
                place,
                at_once,
                as_json,
                lambda show: runner.carry_out(
                    spec, plan, lab=place, jobs=at_once, seed=used, root=root, watcher=show
                ),
            )
    except (SpecError, LabError, DataError, OSError) as error:
        give_up(error)


def _warn(spec: Spec) -> None:
    """Say what is perhaps not meant."""
    from testbed.experiment.doubts import doubts

    for variant, what in doubts(spec):
        click.echo(f"warning: variant {variant}: {what}", err=True)


@contextmanager
def _place(
    lab: str,
    needs: Collection[str],
    jobs: int | None,
    scheduler: str | None,
    asked: str = "as asked",
) -> Iterator[tuple[Lab | Cluster, int]]:
    """Have where runs are carried out, and how many at once; say which. Raises LabError."""
    from testbed.cluster.client import connected
    from testbed.lab import LabError
    from testbed.lab.choice import side_by_side

    if scheduler is None:
        place = choose_lab(lab, needs, jobs or 1, asked)
        yield side_by_side(place) if jobs == AUTO else (place, jobs or 1)
        return
    if lab == "sim":
        raise LabError("the sim lab is a process of this machine: leave out --scheduler")
    if jobs is not None:
        raise LabError(
            "--jobs is how many labs this machine has at once; with --scheduler that is up to the"
            " workers: dask worker --nworkers N --nthreads 1"
        )
    with connected(scheduler, lab, needs) as cluster:
        click.echo(cluster, err=True)
        yield cluster, cluster.jobs


def _check(spec: Spec, plan: Sequence[PlannedRun], lab: Lab | Cluster) -> None:
    """Raise LabError, with what to do, for what a lab cannot carry out."""
    from testbed.lab import LabError

    if lab.name == "sim":
        from testbed.experiment.simulable import obstacles
        from testbed.run.simulated import can_run

        found, instead = obstacles(spec, can_run), "a lab with a kernel can: leave out --lab sim"
    else:
        from testbed.experiment import carriable

        slow = lab.name == "uml" or lab.emulated
        found = carriable.obstacles(spec, plan, slow=slow)
        instead = "the sim lab can: --lab sim"
    if not found:
        return
    able = [name for name in spec.variants if name not in dict(found)]
    lines = [f"the {lab.name} lab cannot carry this out"]
    if able:
        lines += [f"it can carry out the others: {' '.join(f'--variant {v}' for v in able)}"]
    if not able or lab.name != "sim":
        lines.append(instead)
    raise LabError("\n".join([*lines, *_reasons(found, list(spec.variants))]))


def _reasons(found: Sequence[tuple[str, str]], variants: Sequence[str]) -> Iterator[str]:
    """Yield each reason, once, with the variants for which it is one."""
    whose: dict[str, dict[str, None]] = {}
    for name, why in found:
        whose.setdefault(_STEP.sub("steps", why), {})[name] = None
    for why, names in whose.items():
        if len(names) == 1:
            mine = [one for one in found if one[0] in names and _STEP.sub("steps", one[1]) == why]
            yield from (f"variant {name}: {said}" for name, said in mine)
        elif len(names) == len(variants):
            yield f"every variant: {why}"
        else:
            yield f"variants {', '.join(names)}: {why}"


def _prepare_simulation(lab: Lab | Cluster, services: Path | None, slowness: float | None) -> None:
    """Tell the sim lab its service times; raise LabError if it is another."""
    from testbed.lab import LabError, SimLab

    if isinstance(lab, SimLab):
        lab.services, lab.slowness = services, slowness
    elif services or slowness is not None:
        option = "--services" if services else "--slowness"
        raise LabError(f"{option} is for the sim lab; in {lab.name} hosts take their own time")


def _resume(
    folder: Path, lab: str, jobs: int | None, scheduler: str | None, *, as_json: bool
) -> None:
    from testbed import runner
    from testbed.base.files import plain
    from testbed.base.jsonl import DataError
    from testbed.experiment.spec import SpecError
    from testbed.lab import LabError

    handle_interrupts()
    try:
        loaded, spec = runner.interrupted(folder)
        began_in = loaded.manifest.lab if loaded.manifest else lab
        if lab not in ("auto", began_in):
            raise LabError(f"{plain(folder)} began in the {began_in} lab, and goes on there")
        if jobs is None and scheduler is None:
            before = loaded.manifest
            jobs = before.jobs if before and not before.workers else 1
        asked = "as asked" if lab == began_in else "as before"
        with _place(began_in, spec.needs(), jobs, scheduler, asked) as (place, at_once):
            _follow(
                _durations(spec, loaded.missing, place),
                loaded.missing,
                place,
                at_once,
                as_json,
                lambda show: runner.resume(folder, lab=place, jobs=at_once, watcher=show),
            )
    except runner.CompleteError as error:
        click.echo(f"nothing to do: {error}", err=True)
    except (DataError, SpecError, LabError, OSError) as error:
        give_up(error)


def _durations(spec: Spec, plan: Sequence[PlannedRun], lab: Lab | Cluster) -> list[float]:
    """Return about how many seconds each run takes."""
    if lab.name != "sim":
        return spec.durations(plan)
    points = {json.dumps(run.parameters): run.parameters for run in plan}
    others = {
        (key, name): variant.cycles + variant.mobile_nodes - 1
        for key, point in points.items()
        for name, variant in spec.at(point).variants.items()
    }
    more = (others[json.dumps(run.parameters), run.variant] - 1 for run in plan)
    return [_SIMULATED + _SIMULATED_EACH * each for each in more]


def _follow(
    durations: Sequence[float],
    plan: Sequence[PlannedRun],
    lab: Lab | Cluster,
    jobs: int,
    as_json: bool,
    carry_out: Callable[[Watcher], Outcome],
) -> None:
    """Say how long it will take, carry it out, and show what it came to."""
    from testbed.base.files import plain
    from testbed.base.jsonl import DataError
    from testbed.base.words import about, several
    from testbed.lab import LabError
    from testbed.report.forecast import STARTING, Forecast, following

    console = open_console(stderr=as_json)
    forecast = Forecast(durations, jobs)
    variants = several(len({one.variant for one in plan}), "variant")
    at_once = f", {jobs} at a time" if jobs > 1 else ""
    runs = f"{several(len(plan), 'run')} of {variants}{at_once}"
    # Of what is simulated nothing starts, but service times come first.
    begins, first = (
        ("once service times are there", "preparing service times")
        if lab.name == "sim"
        else ("once the lab has started", STARTING)
    )
    click.echo(f"{runs}, {about(forecast.left(0.0))} {begins}", err=True)
    try:
        with following(forecast, open_console(stderr=True), first) as show:
            outcome = carry_out(show)
    except (LabError, DataError, OSError) as error:
        give_up(error)
    loaded = outcome.results
    if as_json:
        click.echo((outcome.folder / "summary.json").read_text(encoding="utf-8"))
        if loaded.unfinished:
            console.print(loaded.unfinished, soft_wrap=True, markup=False)
    else:
        from testbed.report import terminal

        terminal.show(loaded, console)
    console.print(f"results: {plain(outcome.folder)}", soft_wrap=True, markup=False)
    if loaded.failed or loaded.missing:
        raise SystemExit(FAILED)


@click.command("list")
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


@click.command()
@experiment_argument
@set_option
def validate(experiment: str, assignments: Sequence[str]) -> None:
    """Check an EXPERIMENT without running it."""
    spec = chosen(experiment, assignments, swept=None)
    for name, variant in spec.variants.items():
        click.echo(f"{name}: approach {variant.approach}, topology {variant.topology}")
    _warn(spec)
    click.echo(f"needs: {', '.join(sorted(spec.needs()))}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of experiment files, by which editors complete and check them."""
    from testbed.experiment.schema import schema as made

    click.echo(json.dumps(made(), indent=1))
