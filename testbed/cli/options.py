"""Arguments and options of the command line, and what a shell may complete them to."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
from click.shell_completion import CompletionItem

import topologies
from agents import approaches
from agents.core.documents import DocumentError, fit, shown
from testbed.base import places
from testbed.base.files import plain
from testbed.lab.choice import LABS


def _reached(path: Path, param: click.Parameter | None, ctx: click.Context | None) -> None:
    """Refuse a path of which nobody can tell whether something is there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise click.BadParameter(f"{shown(plain(path))}: {error.strerror}", ctx, param) from None


class _Path(click.Path):
    """A path, whether something is there or not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        _reached(Path(os.fsdecode(path)), param, ctx)
        return path


class Number(click.ParamType[Any]):
    """A number within limits, refused in the words that an experiment's are refused in."""

    name = "number"

    def __init__(
        self,
        kind: type[float],
        least: float,
        most: float | None = None,
        allowed: str | None = None,
    ) -> None:
        """`allowed` says what is, where it is more than a number."""
        self._kind = kind
        self._limits: Any = Annotated[kind, msgspec.Meta(ge=least, le=most, description=allowed)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        with suppress(ValueError):
            value = self._kind(value)
        try:
            return fit(value, self._limits)
        except DocumentError as error:
            return self.fail(str(error), param, ctx)


class Shipped(click.ParamType[str]):
    """The name of something that ships, or where that is possible the path of a file."""

    def __init__(self, name: str, names: Callable[[], list[str]], *, files: bool) -> None:
        self.name = name
        self._names = names
        self._files = files

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what cannot be looked for."""
        if self._files:
            _reached(Path(value), param, ctx)
        return value

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the names, and files."""
        found = [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]
        return [*found, CompletionItem(incomplete, type="file")] if self._files else found


EXPERIMENT = Shipped("experiment", lambda: list(places.experiments()), files=True)
APPROACH = Shipped("approach", approaches.names, files=False)
NETWORK = Shipped("name", lambda: sorted({*places.experiments(), *topologies.names()}), files=True)
FOLDER = _Path(path_type=Path, file_okay=False)

experiment_argument = click.argument("experiment", type=EXPERIMENT)
folder_argument = click.argument("folder", type=FOLDER)
_runs_option = click.option(
    "--runs", type=Number(int, 1), help="Runs of each variant, in a sweep at each point."
)
_seed_option = click.option("--seed", type=Number(int, 0), help="Seed of the order of the runs.")
variant_option = click.option(
    "--variant", "variants", metavar="NAME", multiple=True, help="Only this variant; repeatable."
)
AUTO = 0
"""As many labs at once as keep out of each other's way."""


class _Jobs(Number):
    """A number from 1, or `auto`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return AUTO if value in {"auto", AUTO} else super().convert(value, param, ctx)


_jobs_option = click.option(
    "--jobs",
    type=_Jobs(int, 1, allowed="auto, or a whole number from 1"),
    metavar="N|auto",
    help="Labs at once, each on a CPU of its own; one by default. auto: two in user-mode Linux, "
    "as many as there are CPUs in the simulator.",
)
_scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Carry the runs out on the workers of a Dask scheduler, as tcp://host:8786.",
)
_lab_option = click.option(
    "--lab",
    type=click.Choice(LABS),
    default="auto",
    help="Where the hosts run; sim: nowhere, they are models.",
)
real_lab_option = click.option(
    "--lab",
    type=click.Choice([lab for lab in LABS if lab != "sim"]),
    default="auto",
    help="Where the hosts run.",
)
_services_option = click.option(
    "--services",
    type=_Path(path_type=Path, dir_okay=False),
    help="Service times of simulated hosts: services.json of earlier results; else measured.",
)


_slowness_option = click.option(
    "--slowness",
    type=Number(
        float, 0.01, 1000
    ),  # With times of nothing at all, nobody could tell what came first.
    metavar="TIMES",
    help="How many times slower simulated hosts are than their service times.",
)
set_option = click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a value of the experiment, as in settings.ike.mode=aggressive; repeatable.",
)
output_option = click.option(
    "--output",
    type=FOLDER,
    default=Path("results"),
    envvar="MIP6LAB_RESULTS",
    show_default=True,
    show_envvar=True,
    help="The folder that keeps results.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def carried_out(*, optional: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the argument and the options of what carries out an experiment."""
    parameters = (
        click.argument("experiment", type=EXPERIMENT, required=not optional),
        _runs_option,
        _seed_option,
        variant_option,
        _lab_option,
        _jobs_option,
        _scheduler_option,
        _services_option,
        _slowness_option,
        set_option,
        output_option,
        json_option,
    )

    def give(command: Callable[..., None]) -> Callable[..., None]:
        for parameter in reversed(parameters):
            command = parameter(command)
        return command

    return give
