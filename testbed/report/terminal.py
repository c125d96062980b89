"""The results as tables for the terminal."""

from __future__ import annotations

from textwrap import fill

from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.analysis.mechanisms import is_cumulative
from testbed.analysis.samples import Summary
from testbed.analysis.stats import phase_summaries
from testbed.base.phases import PHASES, TOTAL
from testbed.base.words import several
from testbed.report import style, tables
from testbed.results.folder import Results

_NAME = 19
"""Columns of a variant's name on a terminal of 80; a longer one is broken at its hyphens."""


def table(results: Results) -> Table:
    """Return the phases for the terminal: a row for the paper, and one for each variant."""
    compared = "" if results.of_many else ", and how it compares with the paper's"
    left = f"{results.paper.unattributed:g} s of the paper's total belong to no phase\n"
    shown = Table(
        title=f"{results.experiment}: median{compared};"
        " the total with its [95 % interval] or, below six runs, (range)",
        caption=f"{'' if results.of_many else left}"
        "warm: programs had rehearsed a bootstrap; cold: they had just been started",
        caption_justify="left",
        **tables.COMPACT,
    )
    shown.add_column("", overflow="fold")
    called = results.titles(paper=not results.of_many)
    for name in (*PHASES, TOTAL):
        title = called[name].replace(" to", "\nto")
        shown.add_column(title, justify="right", no_wrap=True)
    paper = {} if results.of_many else results.paper.seconds
    if paper:
        stated = (f"{paper[name]:g} s" for name in (*PHASES, TOTAL))
        shown.add_row("the paper", *stated, end_section=True)
    for name in results.variants:
        found = phase_summaries(results, name)
        cells = (
            _compared(found.get(phase), paper.get(phase, 0.0), phase == TOTAL)
            for phase in (*PHASES, TOTAL)
        )
        runs = len(results.of(name))
        good = f"{len(results.succeeded(name))} of {several(runs, 'run')}" if runs else "no run yet"
        good = ", ".join(filter(None, [good, results.warmth(name)]))
        shown.add_row(Text.assemble(fill(name, _NAME), (f"\n{good}", "dim")), *cells)
    return shown


def _compared(summary: Summary | None, paper: float, with_ends: bool) -> Text:
    if not summary:
        return Text("-")
    median, ends = style.parts(summary)
    compared = style.against_paper(summary.median, paper).replace(" ", "\n")
    rest = [ends if with_ends else "", compared]
    return Text.assemble(median, *(("\n" + line, "dim") for line in rest if line))


def show(results: Results, console: Console) -> None:
    """Print what each variant came to, if that is what an experiment is about, or the times.

    Then what is to be known of them, and why runs failed.
    """
    if tables.is_of_attacks(results):
        shown = [tables.attacks(results)]
    elif results.expects:
        shown = [tables.came_to(results)]
    else:
        shown = tables.sweep(results) if results.axes else [table(results)]
    if is_cumulative(results):
        shown.append(tables.mechanisms(results))
    if any(run.traffic for run in results.runs) and not results.expects:
        shown.append(tables.messages(results))
    if results.of_many:
        shown += tables.of_many(results)
    if any(run.flood for run in results.runs):
        shown.append(tables.floods(results))
    if any(run.held for run in results.runs):
        shown.append(tables.held(results))
    if any(run.handovers for run in results.runs):
        shown.append(tables.moved(results))
    if any(run.throughput for run in results.runs):
        shown.append(tables.came_through(results))
    for one in shown:
        console.print(one, "")
    for warning in results.warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    for run in results.failed:
        console.print(
            f"run {run.run} ({run.variant}) failed: {run.reason}", markup=False, soft_wrap=True
        )
