"""The command that measures the machines without a lab."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from testbed.cli.options import Number, json_option
from testbed.cli.terminal import open_console

if TYPE_CHECKING:
    from rich.status import Status
    from rich.table import Table

    from agents.bench.bootstraps import BootstrapCost
    from agents.bench.exchanges import Cost
    from agents.bench.growth import Growth


@click.command()
@click.option(
    "--nodes",
    type=Number(int, 1, 1_000_000),
    metavar="N",
    help="Serve so many mobile nodes at once instead, and measure what the last of 1, 10, ... N "
    "cost; 10,000 take ten minutes.",
)
@json_option
def bench(nodes: int | None, as_json: bool) -> None:
    """Measure what the machines and whole bootstraps cost, without a network."""
    if nodes:
        _growth(nodes, as_json=as_json)
        return
    from agents.bench import bootstraps, exchanges

    console = open_console()
    costs: list[Cost] = []
    wholes: list[BootstrapCost] = []
    with console.status("measuring") as status:
        for cost in exchanges.measure():
            _tell(status, cost.name)
            costs.append(cost)
        for whole in bootstraps.measure():
            _tell(status, whole.name)
            wholes.append(whole)
    if as_json:
        plain = {
            "exchanges": [cost.as_json() for cost in costs],
            "bootstraps": [whole.as_json() for whole in wholes],
        }
        click.echo(json.dumps(plain, indent=1))
        return
    console.print(_exchanges(costs))
    console.print()
    console.print(_bootstraps(wholes))


def _tell(status: Status, what: str) -> None:
    """Say how far it is, where there is no terminal in a line."""
    status.update(f"measured: {what}")
    if not status.console.is_terminal:
        click.echo(f"measured: {what}", err=True)


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _exchanges(costs: list[Cost]) -> Table:
    table = _table("exchange, both ends", "median", "least", "greatest")
    for cost in costs:
        times = (cost.median, cost.least, cost.greatest)
        table.add_row(cost.name, *(f"{t * 1000:.3f} ms" for t in times))
    return table


def _bootstraps(costs: list[BootstrapCost]) -> Table:
    nodes = list(dict.fromkeys(node for cost in costs for node in cost.nodes))
    table = _table(
        "bootstrap, ms", *(n.replace("_", " ") for n in nodes), "all", "crypto", "all/crypto"
    )
    for cost in costs:
        times = (*(cost.nodes.get(n) for n in nodes), cost.total, cost.cryptography)
        shown = (f"{t * 1000:.2f}" if t is not None else "" for t in times)
        table.add_row(cost.name, *shown, f"{cost.ratio:.1f}")
    return table


def _growth(nodes: int, *, as_json: bool) -> None:
    """Measure what a mobile node costs when more and more are served."""
    from agents.bench.growth import measure

    console = open_console()
    found = []
    with console.status("measuring") as status:
        sizes = [*(10**n for n in range(9) if 10**n < nodes), nodes]
        for growth in measure(sizes):
            _tell(status, f"{growth.approach}, {growth.action}, {growth.nodes} mobile nodes")
            found.append(growth)
    if as_json:
        click.echo(json.dumps([growth.as_json() for growth in found], indent=1))
        return
    programs = sorted({name for growth in found for name in growth.seconds})
    grew = any(growth.memory is not None for growth in found)
    memory = ("kB held", "kB grown") if grew else ("kB held",)
    headings = ("served", *(p.replace("_", " ") for p in programs), *memory)
    table = _table("ms of CPU\n(times that of few)", *headings)
    for growth in found:
        shown = (_with_ratio(growth, program) for program in programs)
        held = f"{sum(growth.held.values()) / 1000:.1f}" if growth.held else ""
        grown = "" if growth.memory is None else f"{growth.memory / 1000:.1f}"
        columns = (*shown, held, grown) if grew else (*shown, held)
        table.add_row(f"{growth.approach}, {growth.action}", str(growth.nodes), *columns)
    console.print(table)


def _with_ratio(growth: Growth, program: str) -> str:
    if program not in growth.seconds:
        return ""
    shown = f"{growth.seconds[program] * 1000:.2f}"
    return f"{shown} ({growth.times[program]:.2f})" if program in growth.times else shown
