"""What report.html says of phases, runs and links, as rows of text and as bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from testbed.analysis.compare import written
from testbed.analysis.samples import Summary, summarise
from testbed.analysis.stats import largest_disagreement, phase_summaries
from testbed.base.phases import PHASES, TOTAL, titles
from testbed.report import style, tables
from testbed.results import outcomes
from testbed.results.folder import Results

Rows = list[tuple[str, ...]]


def _phase_rows(results: Results) -> Rows:
    """Return a row per phase: title, the paper's time, and two lines per variant."""
    found = [phase_summaries(results, name) for name in results.variants]
    called = results.titles(paper=not results.of_many)
    if results.of_many:
        return [
            (called[name], *(_cell(one.get(name), 0.0) for one in found))
            for name in (*PHASES, TOTAL)
        ]
    paper = results.paper.seconds
    rows = [
        (called[name], f"{paper[name]:g} s", *(_cell(one.get(name), paper[name]) for one in found))
        for name in (*PHASES, TOTAL)
    ]
    missing = ("unattributed", f"{results.paper.unattributed:g} s", *("" for _ in found))
    return [*rows[:-1], missing, rows[-1]]


def _cell(summary: Summary | None, paper: float) -> str:
    if not summary:
        return "-"
    compared = style.against_paper(summary.median, paper)
    return "\n".join(filter(None, [style.interval(summary), compared]))


def phases_title(results: Results) -> str:
    """Return what the table of phases is called."""
    return "Total time at each point" if results.axes else "Phases"


def phases(results: Results) -> tuple[Sequence[str], Rows]:
    """Return a row per phase, and of what else is known; of a sweep one per point."""
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


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: how it looks, its shares in percent of the longest bar and of its own."""

    look: str
    share: float
    own: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A variant's phases as a bar, with its total and what is to be said of it."""

    name: str
    parts: list[Part]
    total: str
    note: str


def bars(results: Results) -> list[Bar]:
    """Return a bar of median phases for the paper and for each variant, or how far its runs got."""
    found = {name: phase_summaries(results, name) for name in results.variants}
    medians = {name: {p: s.median for p, s in one.items()} for name, one in found.items()}
    lengths = {
        name: {p: one[p] for p in PHASES} if one else outcomes.way(results, name)
        for name, one in medians.items()
    }
    paper = {} if results.of_many else dict(results.paper.seconds)
    called = {name: results.titles(name) for name in lengths}
    longest = max([paper.get(TOTAL, 0.0), *(sum(one.values()) for one in lengths.values())]) or 1.0
    made = []
    if paper:
        own = {p: paper[p] for p in PHASES} | {UNATTRIBUTED: results.paper.unattributed}
        made.append(_bar("the paper", titles(()), own, longest, f"{paper[TOTAL]:g} s", "as stated"))
    for name, one in lengths.items():
        total = medians[name].get(TOTAL)
        if total is None:
            made.append(_bar(name, called[name], one, longest, "", outcomes.verdict(results, name)))
        else:
            note = style.against_paper(total, paper.get(TOTAL, 0.0))
            made.append(_bar(name, called[name], one, longest, style.seconds(total), note))
    return made


UNATTRIBUTED = "unattributed"


def _bar(
    name: str,
    called: Mapping[str, str],
    lengths: Mapping[str, float],
    longest: float,
    total: str,
    note: str,
) -> Bar:
    whole = sum(lengths.values()) or 1.0
    parts = [
        Part(
            p if p == UNATTRIBUTED else f"ph-{p}",
            round(100 * length / longest, 3),
            round(100 * length / whole, 3),
            f"{called.get(p, p)}: {style.seconds(length)}",
        )
        for p, length in lengths.items()
        if length
    ]
    return Bar(name, parts, total, note)


def run_rows(
    results: Results, has_ladder: Callable[[int], bool]
) -> tuple[list[str], list[tuple[list[str], int | None]]]:
    """Return a row per run, each with its number if there is a ladder of it."""
    head = ["run", "variant", *(["at"] if results.axes else []), "status"]
    called = results.titles()
    head += [*(called[name] for name in (TOTAL, *PHASES)), "came to"]
    rows = []
    for run in results.runs:
        at = [written(run.parameters)] if results.axes else []
        lengths = run.phases or {}
        times = [style.seconds(lengths[p]) if p in lengths else "-" for p in (TOTAL, *PHASES)]
        cells = [str(run.run), run.variant, *at, run.status, *times, run.came_to]
        rows.append((cells, run.run if has_ladder(run.run) else None))
    return head, rows


_MEASURES = {"delay": "delay", "rate": "rate", "loss": "loss", "duplication": "duplicated"}
_MEASURES |= {"reordering": "reordered", "corruption": "altered"}


def link_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant, point and link: what was asked of it, and measured, as medians."""
    used = [
        name
        for name in _MEASURES
        if any((one.get(name) is not None) for run in results.runs for one in run.measured.values())
    ]
    rows: Rows = []
    for point in results.points:
        there = results.at(point)
        for name in results.variants:
            runs = there.of(name)
            spec = results.spec
            known = spec and name in spec.variants
            topology = spec.at(point).topology(name) if spec and known else results.topology(name)
            for link in dict.fromkeys(link for run in runs for link in run.measured):
                asked = next((one.shape for one in topology.links if one.name == link), None)
                cells = []
                for measure in used:
                    values = [run.measured.get(link, {}).get(measure) for run in runs]
                    found = [value for value in values if value is not None]
                    wanted = getattr(asked, measure) if asked else None
                    cells.append(_measured(measure, wanted, found))
                at = [written(point)] if results.axes else []
                rows.append((name, *at, link, *cells))
    head = ["variant", *(["at"] if results.axes else []), "link"]
    return [*head, *(f"{_MEASURES[name]}\nasked / measured" for name in used)], rows


def _measured(measure: str, asked: float | None, found: Sequence[float]) -> str:
    def write(value: float) -> str:
        if measure == "delay":
            return style.seconds(value)
        return f"{value:.4g} Mbit/s" if measure == "rate" else f"{value:.3g} %"

    return f"{'?' if asked is None else write(asked)} / {write(median(found)) if found else '-'}"
