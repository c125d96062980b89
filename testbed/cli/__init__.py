"""In: a command line. Out: an exit status. What one command needs is imported by it alone."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import click

from testbed.base import places
from testbed.cli import bench, experiments, graph, interop, labs, pages, results
from testbed.cli.terminal import give_up
from topologies.plugins import PluginError

STATUSES = """Exit status: 0 if all went well; 1 if a run failed or was not carried out; 2 if
something is missing, or was asked for wrongly. That of shell and exec is the command's."""


class _Group(click.Group):
    """The commands; what a package of others has wrong ends any of them with its message."""

    def invoke(self, ctx: click.Context) -> Any:
        """Carry out a command."""
        try:
            return super().invoke(ctx)
        except PluginError as error:
            give_up(error)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=STATUSES,
    no_args_is_help=True,
)
@click.version_option(package_name=places.DISTRIBUTION)
def main() -> None:
    """A laboratory for Mobile IPv6 bootstrapping.

    An EXPERIMENT is the path of a TOML file, or the name of one that ships; `mip6lab list` has
    these. Results go to ./results, or where --output or MIP6LAB_RESULTS says.
    """
    if sys.stdout is None:  # Descriptor 1 would become some file's, and that would get the output.
        give_up("standard output is closed; send it somewhere, as in >/dev/null")
    os.umask(os.umask(0o077) & 0o077)  # Who makes files can read and write them.
    # Where there is no home to write to, Matplotlib would report where it keeps its cache.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


for _command in (
    experiments.run,
    experiments.sweep,
    experiments.list_command,
    experiments.validate,
    experiments.schema,
    graph.graph,
    results.plot,
    results.report,
    pages.timeline,
    pages.view,
    results.compare,
    results.agree,
    results.claims,
    labs.doctor,
    labs.execute,
    labs.shell,
    labs.clean,
    bench.bench,
    interop.interop,
):
    main.add_command(_command)
