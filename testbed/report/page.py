"""The results as a table for the terminal and as one page of HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from textwrap import fill

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.analysis.claims import NOT_SHOWN, findings
from testbed.analysis.fits import swept_links
from testbed.analysis.losses import samples
from testbed.analysis.mechanisms import is_cumulative, share_rows
from testbed.analysis.samples import Summary, summarise
from testbed.analysis.stats import largest_disagreement, phase_summaries
from testbed.base.files import FORMAT, plain, replace
from testbed.base.phases import PHASES, TITLES, TOTAL
from testbed.base.words import several
from testbed.report import losses, soaks, storms, style, tables
from testbed.report.costs import cost_rows, meanings, pace
from testbed.report.loads import flood_rows, program_rows
from testbed.results.folder import Results

Rows = list[tuple[str, ...]]
_NAME = 19
"""Columns of a variant's name on a terminal of 80; a longer one is broken at its hyphens."""

COSTS = "costs"
"""The figure that has its place beside a table."""
WARMTH = (
    "Warm programs had rehearsed a bootstrap before they began, as daemons that have been up for a"
    " while; cold ones were interpreters just started, and did everything for the first time."
)
"""What the words mean that Results.warmth() uses."""


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
    for name in (*PHASES, TOTAL):
        title = TITLES[name].replace(" to", "\nto")
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


def _phase_rows(results: Results) -> Rows:
    """Return a row per phase: title, the paper's time, and two lines per variant."""
    found = [phase_summaries(results, name) for name in results.variants]
    if results.of_many:
        return [
            (TITLES[name], *(_cell(one.get(name), 0.0) for one in found))
            for name in (*PHASES, TOTAL)
        ]
    paper = results.paper.seconds
    rows = [
        (TITLES[name], f"{paper[name]:g} s", *(_cell(one.get(name), paper[name]) for one in found))
        for name in (*PHASES, TOTAL)
    ]
    missing = ("unattributed", f"{results.paper.unattributed:g} s", *("" for _ in found))
    return [*rows[:-1], missing, rows[-1]]


def _cell(summary: Summary | None, paper: float) -> str:
    if not summary:
        return "-"
    compared = style.against_paper(summary.median, paper)
    return "\n".join(filter(None, [style.interval(summary), compared]))


def _phases_title(results: Results) -> str:
    return "Total time at each point" if results.axes else "Phases"


def _phases(results: Results) -> tuple[Sequence[str], Rows]:
    if results.axes:
        return tables.point_rows(results)
    beside = [] if results.of_many else ["paper"]
    head = ["phase", *beside, *results.variants]
    others = [(title, *("" for _ in beside), *cells) for title, cells in _other_rows(results)]
    return head, [*_phase_rows(results), *others]


def _other_rows(results: Results) -> list[tuple[str, list[str]]]:
    """Return what else is known of each variant, by titles; no row of nothing."""
    succeeded, first, disagreement = [], [], []
    for name in results.variants:
        good = results.bootstrapped(name)
        succeeded.append(f"{len(results.succeeded(name))} of {len(results.of(name))}")
        arrived = summarise([run.first_packet for run in good if run.first_packet is not None])
        first.append(style.seconds(arrived.median) if arrived else "-")
        largest = largest_disagreement(good)
        # Without captures phases are the events', and agree with them.
        differs = largest and max(largest.values())
        disagreement.append(style.seconds(max(largest.values())) if differs else "-")
    rows = [
        ("first packet", first),
        ("runs succeeded", succeeded),
        ("programs were", [results.warmth(name) or "-" for name in results.variants]),
        ("events differ by up to", disagreement),
    ]
    return [(title, cells) for title, cells in rows if set(cells) != {"-"}]


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
    for one in shown:
        console.print(one, "")
    for warning in results.warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    for run in results.failed:
        console.print(
            f"run {run.run} ({run.variant}) failed: {run.reason}", markup=False, soft_wrap=True
        )


def write(results: Results) -> Path:
    """Write report.html of results: one page that needs no other file.

    The figures are in it if they have been drawn. Raises DataError.
    """
    shown = [item for item in style.FIGURES.items() if item[0] != COSTS]
    figures = "".join(_figure(results.folder / "figures", *item) for item in shown)
    bootstrapped = any(results.bootstrapped(name) for name in results.variants)
    is_known = not results.axes and any(map(results.warmth, results.variants))
    page = PAGE.substitute(
        format=FORMAT,
        title=escape(f"{results.experiment}, {plain(Path(results.folder.name))}"),
        intro=escape(_intro(results)),
        warnings="".join(f"<p class=warning>{escape(text)}</p>" for text in results.warnings),
        outcomes=_outcomes(results),
        variants=_described(results),
        phases=_section(_phases_title(results), _phases(results))
        + _paragraph(WARMTH if is_known else None)
        if bootstrapped or not results.expects
        else "",
        mechanisms=_section("What each variant adds", share_rows(results))
        if is_cumulative(results)
        else "",
        fitted=_section("Round trips fitted", tables.fit_rows(results))
        if swept_links(results)
        else "",
        traffic=_section("Messages and octets on each link", tables.traffic_rows(results))
        if any(run.traffic for run in results.runs)
        else "",
        losses=_section("Over bad links", losses.rows(results)) if samples(results) else "",
        claims=_claims(results),
        figures=f"<h2>Figures</h2>\n{figures}" if figures else "",
        failed=_failed(results),
        floods=_section("Under floods", flood_rows(results))
        if any(run.flood for run in results.runs)
        else "",
        fleets=_section(
            "When mobile nodes were up, and at which home agent", tables.fleet_rows(results)
        )
        + _moves(results)
        if any(run.members for run in results.runs)
        else "",
        soaks=_section("Held over many bootstraps in a row", soaks.rows(results))
        if any(run.held for run in results.runs)
        else "",
        storms=_section("Many mobile nodes at once", storms.rows(results))
        if storms.storms(results)
        else "",
        programs=_section("CPU and peak memory of the programs", program_rows(results))
        if any(run.programs for run in results.runs)
        else "",
        costs=_costs(results),
        manifest=_manifest(results),
    )
    return replace(results.folder / "report.html", page)


def _section(title: str, content: tuple[Sequence[str], Rows]) -> str:
    return f"<h2>{escape(title)}</h2>\n{_html(*content)}"


def _outcomes(results: Results) -> str:
    """Return what came of attacks, or of variants of which something is expected."""
    if tables.is_of_attacks(results):
        return _section("Attacks, and what came of them", tables.attack_rows(results))
    if results.expects:
        return _section("What each variant came to", tables.outcome_rows(results))
    return ""


def _moves(results: Results) -> str:
    head, rows = tables.move_rows(results)
    title = tables.MOVES[0].upper() + tables.MOVES[1:]
    return _section(title, (head, rows)) if rows else ""


def _intro(results: Results) -> str:
    good = sum(len(results.succeeded(name)) for name in results.variants)
    said = f"{good} of {several(len(results.runs), 'run')} "
    said += "ended as expected." if results.expects else "succeeded."
    if results.expects and not any(results.bootstrapped(name) for name in results.variants):
        return f"{said} Times are measured on the wire at the mobile node."
    paper = (
        ""
        if results.of_many or results.axes
        else f"; the paper's are averages ({results.paper.title}, section {results.paper.section})"
    )
    where = "for each mobile node" if results.of_many else "on the wire at the mobile node"
    return (
        f"{said} Times are medians over the bootstraps"
        " with their [95 % intervals] or, below six runs, (ranges: least to greatest), measured"
        f" {where}{paper}."
    )


def _claims(results: Results) -> str:
    """Return what is claimed as far as these runs decide it, and where the rest is."""
    found = findings([results])
    decided = [one for one in found if one.verdict != NOT_SHOWN]
    rest = f"{several(len(found) - len(decided), 'claim')}, of which these runs show nothing"
    hint = f"{'Not listed: ' if decided else ''}{rest}: mip6lab compare says what each needs."
    section = _html(*tables.claim_rows(decided)) if decided else ""
    return f"<h2>Claims</h2>\n{section}{_paragraph(hint if len(decided) < len(found) else None)}"


def _figure(folder: Path, stem: str, caption: str) -> str:
    path = folder / f"{stem}.svg"
    if not path.exists():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    text = escape(caption, quote=True)
    return (
        f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>\n"
    )


def _failed(results: Results) -> str:
    rows = [(str(run.run), run.variant, run.reason or "no reason given") for run in results.failed]
    return _html(["run", "variant", "reason"], rows) if rows else "<p>None.</p>"


def _paragraph(text: str | None) -> str:
    return f"<p>{escape(text)}</p>\n" if text else ""


def _described(results: Results) -> str:
    """Return what the variants are; where something is expected of them, outcomes say it."""
    if results.expects or not results.spec:
        return ""
    known = [(name, results.spec.variants.get(name)) for name in results.variants]
    rows: Rows = [(name, variant.description) for name, variant in known if variant]
    if not any(said for _, said in rows):
        return ""
    return _section("Variants", (["variant", "description"], rows))


def _costs(results: Results) -> str:
    if not any(run.costs for run in results.runs):
        return "<p>Not recorded.</p>"
    said = pace(results)
    figure = _figure(results.folder / "figures", COSTS, style.FIGURES[COSTS])
    table = _html(*cost_rows(results))
    return _paragraph(said) + table + _paragraph(meanings(results)) + figure


def _manifest(results: Results) -> str:
    if not results.manifest:
        return "<p>Not recorded.</p>"
    content: Mapping[str, object] = msgspec.to_builtins(results.manifest)
    return _html(["", ""], [(name.replace("_", " "), _plain(content[name])) for name in content])


def _plain(value: object) -> str:
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}"
        case dict():
            return "\n".join(f"{name}: {_plain(one)}" for name, one in value.items()) or "none"
        case list() | tuple():
            return ", ".join(_plain(one) for one in value) or "none"
    return str(value)


def _html(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(kind: str, cells: Iterable[str]) -> str:
        written = (escape(cell).replace("\n", "<br>") for cell in cells)
        return "<tr>" + "".join(f"<{kind}>{cell}</{kind}>" for cell in written) + "</tr>\n"

    top = f"<thead>{line('th', head)}</thead>\n" if any(head) else ""
    return f"<table>{top}<tbody>{''.join(line('td', row) for row in rows)}</tbody></table>\n"


PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="generator" content="mip6lab, results of format $format">
<title>$title</title>
<style>
body { font: 15px/1.5 "DejaVu Sans", Verdana, sans-serif; color: #222; max-width: 64em;
       margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2.2em; }
table { border-collapse: collapse; font-size: 0.88em; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3em 0.9em 0.3em 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid #ddd; }
figure { margin: 1.5em 0; } figure img { width: 100%; }
figcaption { color: #666; font-size: 0.85em; }
.warning { border-left: 4px solid #d55e00; padding-left: 0.8em; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$intro</p>
$warnings
$outcomes
$variants
$phases
$mechanisms
$floods
$fitted
$figures
$losses
$traffic
$claims
<h2>Failed runs</h2>
$failed
$fleets
$storms
$soaks
$programs
<h2>Costs of a run</h2>
$costs
<h2>Manifest</h2>
$manifest
</body>
</html>
""")
