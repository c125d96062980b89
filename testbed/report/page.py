"""The results as one page of HTML that needs no other file: what is in it, section by section."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup

from testbed.analysis.claims import NOT_SHOWN, findings
from testbed.analysis.compare import written
from testbed.analysis.fits import swept_links
from testbed.analysis.losses import samples
from testbed.analysis.mechanisms import is_cumulative, share_rows
from testbed.base.files import plain, replace
from testbed.base.jsonl import DataError
from testbed.base.phases import PHASES, TOTAL
from testbed.base.words import several
from testbed.report import handovers, losses, soaks, storms, style, summary, tables, throughput
from testbed.report.costs import cost_rows, meanings, pace
from testbed.report.ladder import typical_run
from testbed.report.loads import flood_rows, program_rows
from testbed.report.packed import Ladders, pack
from testbed.report.template import document
from testbed.results.folder import Results, run_folder
from testbed.results.runs import Run

Rows = Sequence[Sequence[str]]
COSTS, TOPOLOGY = "costs", "topology"
"""Figures that have a place of their own."""

DRAWN = frozenset({"phases", "cdf", "timeline", COSTS, TOPOLOGY})
"""Figures whose place in the page something of its own has."""

WARMTH = (
    "Warm programs had rehearsed a bootstrap before they began, as daemons that have been up for a"
    " while; cold ones were interpreters just started, and did everything for the first time."
)
"""What the words mean that Results.warmth() uses."""

_SCRIPTS = ("dom.js", "table.js", "data.js", "ladder.js", "explorer.js", "page.js")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that has been drawn."""

    stem: str
    caption: str
    data: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: sentences, a table, sentences about it, and figures.

    `special` names what the template has for it alone.
    """

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Any] = ()
    notes: Sequence[str] = ()
    after: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    special: str = ""

    @property
    def anchor(self) -> str:
        """The name by which links in the page find it."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower()).strip("-")


def write(results: Results) -> Path:
    """Write report.html of results, and what it loads on demand.

    The figures are in it if they have been drawn. Raises DataError or OSError.
    """
    ladders = pack(results)
    page = document(
        "report.html",
        _SCRIPTS,
        title=f"{results.experiment}, {plain(Path(results.folder.name))}",
        heading=results.spec.document.get("title", "") if results.spec else "",
        intro=_intro(results),
        warnings=results.warnings,
        sections=sections(results, ladders),
        phases=list(PHASES),
        total=TOTAL,
        titles=results.titles(paper=not results.of_many),
        bars=summary.bars(results),
        paper_row=not results.of_many,
        commit=results.manifest.commit if results.manifest else None,
        command=command(results),
        spec=_specification(results),
        data=_data(results, ladders),
        ladders=ladders.inside,
    )
    return replace(results.folder / "report.html", page)


def _data(results: Results, ladders: Ladders) -> Markup:
    """Return what the page's script works with, so that no text in it ends the element."""
    try:
        typical = typical_run(results).run
    except DataError:
        typical = None
    content = {
        "titles": results.titles(),
        "variants": results.variants,
        "typical": typical,
        "runs": [_run(results, run, ladders) for run in results.runs],
    }
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704


def _run(results: Results, run: Run, ladders: Ladders) -> dict[str, Any]:
    return {
        "run": run.run,
        "variant": run.variant,
        "at": written(run.parameters),
        "status": run.status,
        "phases": run.phases,
        "total": (run.phases or {}).get(TOTAL),
        "folder": plain(run_folder(results.folder, run.run).relative_to(results.folder)),
        "ladder": ladders.has(run.run),
    }


def sections(results: Results, ladders: Ladders) -> list[Section]:
    """Return the sections of the page, those that there is something for."""
    bootstrapped = any(results.bootstrapped(name) for name in results.variants)
    known = not results.axes and any(map(results.warmth, results.variants))
    has_programs = any(run.programs for run in results.runs)
    wanted: list[Section | None] = [
        _outcomes(results),
        _described(results),
        Section("Handovers: parts, and for how long nothing got through", *handovers.rows(results))
        if any(run.handovers for run in results.runs)
        else None,
        Section("Throughput", *throughput.rows(results), after=[throughput.MEANING])
        if any(run.throughput for run in results.runs)
        else None,
        Section(
            summary.phases_title(results),
            *summary.phases(results),
            after=[WARMTH] if known else [],
            special="" if results.axes else "bars",
        )
        if bootstrapped or not results.expects
        else None,
        Section("Ladder", special="ladder", after=_without_ladder(ladders))
        if ladders.inside or ladders.beside
        else Section("Ladder", notes=["No run has kept captures: ", *_without_ladder(ladders)]),
        Section("Every run's time", special="distribution") if bootstrapped else None,
        Section("What each variant adds", *share_rows(results)) if is_cumulative(results) else None,
        Section("Under floods", *flood_rows(results))
        if any(run.flood for run in results.runs)
        else None,
        Section("Round trips fitted", *tables.fit_rows(results)) if swept_links(results) else None,
        Section("Figures", figures=others) if (others := _figures(results)) else None,
        Section("Over bad links", *losses.rows(results)) if samples(results) else None,
        Section("Messages and octets on each link", *tables.traffic_rows(results))
        if any(run.traffic for run in results.runs)
        else None,
        _claims(results),
        *_of_many(results),
        Section("Held over many bootstraps in a row", *soaks.rows(results))
        if any(run.held for run in results.runs)
        else None,
        Section("CPU and peak memory of the programs", *program_rows(results))
        if has_programs
        else None,
        _failed(results),
        Section("Runs", *summary.run_rows(results, ladders.has), special="runs"),
        Section("Topology", figures=[drawn]) if (drawn := _figure(results, TOPOLOGY)) else None,
        Section("Links, as asked and as measured", *summary.link_rows(results)),
        _costs(results),
        Section("Experiment", notes=[_described_by(results)], special="experiment"),
        _manifest(results),
    ]
    return [section for section in wanted if section]


def _without_ladder(ladders: Ladders) -> list[str]:
    return [f"Run {number}: {why}" for number, why in ladders.missing.items()]


def _of_many(results: Results) -> list[Section]:
    found = []
    if any(run.members for run in results.runs):
        title = "When mobile nodes were up, and at which home agent"
        found.append(Section(title, *tables.fleet_rows(results)))
        head, rows = tables.move_rows(results)
        if rows:
            found.append(Section(tables.MOVES[0].upper() + tables.MOVES[1:], head, rows))
    if storms.storms(results):
        found.append(Section("Many mobile nodes at once", *storms.rows(results)))
    return found


def _outcomes(results: Results) -> Section | None:
    """Return what came of attacks, or of variants of which something is expected."""
    if tables.is_of_attacks(results):
        return Section("Attacks, and what came of them", *tables.attack_rows(results))
    if results.expects:
        return Section("What each variant came to", *tables.outcome_rows(results))
    return None


def _described(results: Results) -> Section | None:
    """Return what the variants are; where something is expected of them, outcomes say it."""
    if results.expects or not results.spec:
        return None
    known = [(name, results.spec.variants.get(name)) for name in results.variants]
    rows = [(name, variant.description) for name, variant in known if variant]
    if not any(said for _, said in rows):
        return None
    return Section("Variants", ["variant", "description"], rows)


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


def _claims(results: Results) -> Section:
    """Return what is claimed as far as these runs decide it, and where the rest is."""
    found = findings([results])
    decided = [one for one in found if one.verdict != NOT_SHOWN]
    rest = f"{several(len(found) - len(decided), 'claim')}, of which these runs show nothing"
    hint = f"{'Not listed: ' if decided else ''}{rest}: mip6lab compare says what each needs."
    head, rows = tables.claim_rows(decided)
    after = [hint] if len(decided) < len(found) else []
    return Section("Claims", head if rows else (), rows, after=after)


def _figures(results: Results) -> list[Figure]:
    shown = [_figure(results, stem) for stem in style.FIGURES if stem not in DRAWN]
    return [figure for figure in shown if figure]


def _figure(results: Results, stem: str) -> Figure | None:
    path = results.folder / "figures" / f"{stem}.svg"
    if not path.exists():
        return None
    return Figure(stem, style.FIGURES[stem], base64.b64encode(path.read_bytes()).decode())


def _failed(results: Results) -> Section:
    rows = [(str(run.run), run.variant, run.reason or "no reason given") for run in results.failed]
    head = ["run", "variant", "reason"]
    return Section("Failed runs", head, rows, notes=[] if rows else ["None."])


def _costs(results: Results) -> Section:
    title = "Costs of a run"
    if not any(run.costs for run in results.runs):
        return Section(title, notes=["Not recorded."])
    figure = _figure(results, COSTS)
    return Section(
        title,
        *cost_rows(results),
        notes=list(filter(None, [pace(results)])),
        after=list(filter(None, [meanings(results)])),
        figures=[figure] if figure else [],
    )


def _described_by(results: Results) -> str:
    if not results.spec:
        return "What was asked is not known."
    found = results.spec.document
    return str(found.get("description") or found.get("title") or results.experiment)


def _specification(results: Results) -> str:
    path = results.folder / "spec.toml"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else "Not kept."


def command(results: Results) -> str:
    """Return the command that carries out the same runs again."""
    where = shlex.quote(plain(results.folder / "spec.toml"))
    words = ["mip6lab", "sweep" if results.axes else "run", where]
    planned = [run.variant for run in results.plan] or [run.variant for run in results.runs]
    each = {planned.count(name) / len(results.points or [{}]) for name in results.variants}
    if len(each) == 1 and (runs := each.pop()) == int(runs) > 0:
        words += ["--runs", str(int(runs))]
    if manifest := results.manifest:
        words += ["--seed", str(manifest.seed), "--lab", manifest.lab]
    return " ".join(words)


def _manifest(results: Results) -> Section:
    if not results.manifest:
        return Section("Manifest", notes=["Not recorded."])
    content: Mapping[str, object] = msgspec.to_builtins(results.manifest)
    rows = [(name.replace("_", " "), _plain(content[name])) for name in content]
    return Section("Manifest", ["", ""], rows)


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
