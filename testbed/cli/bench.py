"""The command that measures the machines without a lab."""

from __future__ import annotations

import json

import click

from testbed.cli.options import json_option
from testbed.cli.terminal import open_console


@click.command()
@json_option
def bench(as_json: bool) -> None:
    """Measure what the machines cost, without a network."""
    from rich.table import Table

    from agents.bench.exchanges import measure

    console = open_console()
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
