"""The command that draws networks: a topology, or those of an experiment's variants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import topologies
from testbed.base import places
from testbed.cli.options import NETWORK, set_option, variant_option
from testbed.cli.terminal import give_up

if TYPE_CHECKING:
    from testbed.report.graph import Graph

Drawing = tuple[list["Graph"], str, str]
"""Graphs with their title and subtitle."""


@click.command()
@click.argument("name", type=NETWORK)
@variant_option
@set_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(("svg", "mermaid")),
    default="svg",
    show_default=True,
    help="A picture, or text from which Markdown's readers draw one.",
)
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; else standard output.",
)
def graph(
    name: str,
    variants: Sequence[str],
    assignments: Sequence[str],
    kind: str,
    path: Path | None,
) -> None:
    """Draw the network NAME: hosts with their roles and addresses, links with rates and delays.

    NAME is an experiment, whose programs are shown too, or else a topology.
    """
    from testbed.base.files import plain, replace
    from testbed.report import style
    from testbed.report.graph import mermaid
    from testbed.report.graph_figure import figure

    graphs, title, subtitle = _drawing(name, variants, assignments)
    text = mermaid(graphs) if kind == "mermaid" else style.svg(figure(graphs, title, subtitle))
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        replace(path, text)
    except OSError as error:
        give_up(error)
    click.echo(plain(path))


def _drawing(name: str, variants: Sequence[str], assignments: Sequence[str]) -> Drawing:
    from agents.core.documents import absent
    from testbed.experiment.spec import SpecError
    from testbed.report import graph, graph_figure
    from testbed.report.catalogue import find, load_experiment

    known = topologies.names()
    if places.find_experiment(name).is_file():
        try:
            spec = load_experiment(name, assignments, variants)
            return graph.of_experiment(spec, variants), *graph_figure.headings(spec)
        except SpecError as error:
            give_up(error)
    if name not in known:
        there = sorted({*places.experiments(), *known})
        give_up(absent(f"experiment or topology {name}", name, there))
    if variants or assignments:
        what = "--variant" if variants else "--set"
        give_up(f"{name} is a topology; {what} is for an experiment's networks")
    about = find("topologies", Path())[name]
    return [graph.of_topology(topologies.load(name))], f"Topology {name}", about
