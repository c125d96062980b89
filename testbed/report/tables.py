"""Tables of what crosses the links, of sweeps, of comparisons and of claims, as rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from testbed.analysis.claims import CONTRADICTED, SUPPORTED, Finding
from testbed.analysis.compare import Comparison, axis, position, written
from testbed.analysis.fits import Counted, Estimate, Fit, fits, swept_links
from testbed.analysis.fleets import PERCENTILES, Fleet, fleets
from testbed.analysis.mechanisms import share_rows
from testbed.analysis.stats import attempts, phase_summaries, traffic
from testbed.base.phases import TOTAL
from testbed.base.words import several
from testbed.report import handovers, soaks, storms, style, throughput
from testbed.report.loads import flood_rows
from testbed.results import outcomes
from testbed.results.folder import Results
from topologies import operator
from topologies.model import HostRole

Rows = list[tuple[str, ...]]
COLOURS = {SUPPORTED: "green", CONTRADICTED: "red"}
COMPACT: Any = {
    "title_justify": "left",
    "box": box.SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "show_edge": False,
}
"""How tables look that have to go into 80 columns."""

MOVES = "how long mobile nodes took to another home agent: medians"
"""The title of what moves took."""

FRAMING = frozenset({"TCP", "ICMPv6", "other", "IPv6"})
"""Protocols that carry or serve others: they are counted together."""


def _table(title: str, head: Sequence[str], rows: Rows, left: int = 1) -> Table:
    shown = Table(title=title, **COMPACT)
    for i, name in enumerate(head):
        shown.add_column(name, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    return shown


def _times(fitted: Estimate, sign: str) -> str:
    return f"{fitted.value:.2f}{sign}\n[{fitted.ci95[0]:.2f}, {fitted.ci95[1]:.2f}]"


def _counts(found: Counted | None) -> str:
    if found is None:
        return "-"
    spread = "" if found.least == found.greatest else f"\n({found.least} to {found.greatest})"
    return f"{found.median:g}{spread}"


def fit_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant of a sweep: round trips fitted and counted, and the rest."""
    links = swept_links(results)
    head = ["variant", *(f"{link}\n{word}" for link in links for word in ("fitted", "counted"))]
    rows: Rows = []
    for name in results.variants:
        found = fits(results, name)
        if not found:
            rows.append((name, *("-" for _ in head)))
        rows += [_fit_row(fit, links) for fit in found]
    return [*head, "the rest"], rows


def _fit_row(fit: Fit, links: Sequence[str]) -> tuple[str, ...]:
    name = ", ".join(filter(None, [fit.variant, written(fit.fixed)]))
    cells: list[str] = []
    for link in links:
        sign = {True: "", False: " !", None: ""}[fit.agrees(link)]
        cells += [_times(fit.round_trips[link], sign), _counts(fit.counted.get(link))]
    low, high = (style.digits(end * 1e3) for end in fit.constant.ci95)
    return name, *cells, f"{style.digits(fit.constant.value * 1e3)} ms\n[{low}, {high}]"


def point_rows(results: Results, *, ends: bool = True) -> tuple[list[str], Rows]:
    """Return a row per point of a grid: each variant's median total, with `ends` its interval."""
    rows: Rows = []
    for point in results.points:
        there = results.at(point)
        cells = []
        for name in results.variants:
            total = phase_summaries(there, name).get(TOTAL)
            lost = len(there.of(name)) - len(there.succeeded(name))
            refused = not total and there.succeeded(name)
            shown = style.parts(total) if total else ("as expected" if refused else "-",)
            note = f"{lost} failed" if lost else ""
            cells.append("\n".join(filter(None, [*shown[: 1 + ends], note])))
        rows.append((*(position(*item) for item in point.items()), *cells))
    return [*map(axis, results.axes), *results.variants], rows


def traffic_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per link and protocol: messages and octets of each variant."""
    found = {name: traffic(results.bootstrapped(name)) for name in results.variants}
    links = list(dict.fromkeys(link for one in found.values() for link in one))
    rows: Rows = []
    for link in links:
        there: list[dict[str, Any]] = [one.get(link, {}) for one in found.values()]
        trips = [
            str(one["round_trips"]["median"]).removesuffix(".0") if one else "-" for one in there
        ]
        rows.append((link, "round trips", *trips))
        protocols = [one.get("protocols", {}) for one in there]
        names = list(dict.fromkeys(name for one in protocols for name in one))
        shown = [name for name in names if name not in FRAMING]
        rows += [("", name, *(_amount([one.get(name)]) for one in protocols)) for name in shown]
        rest = [
            [one[name] for name in names if name in FRAMING and name in one] for one in protocols
        ]
        if any(rest):
            rows.append(("", "other frames", *(_amount(one) for one in rest)))
        whole = [list(one.values()) for one in protocols]
        rows.append(("", "all", *(_amount(one) for one in whole)))
    return ["link", "", *results.variants], rows


def _amount(counts: Sequence[dict[str, Any] | None]) -> str:
    there = [one for one in counts if one]
    messages = sum(one["messages"] for one in there)
    if not messages:
        return "-"
    repeated = sum(one["repeated"] for one in there)
    again = f"\n({repeated} again)" if repeated else ""
    return f"{messages:g} / {sum(one['octets'] for one in there):.0f}{again}"


def outcome_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant: what it is, what was expected of it, and what it came to."""
    rows: Rows = []
    for name in results.variants:
        variant = results.spec.variants.get(name) if results.spec else None
        came_to, called = [], results.titles(name)
        for one in outcomes.outcomes(results, name):
            alike = f" ({several(one.runs, 'run')})" if one.runs < len(results.of(name)) else ""
            failed = "" if one.as_expected else "failed: "
            came_to.append(
                "\n".join(filter(None, [f"{failed}{one.text}{alike}", way(one, called)]))
            )
        good = f"{len(results.succeeded(name))}/{len(results.of(name))}"
        expected = outcomes.expectation(results, name)
        description = variant.description if variant else ""
        tried = _attempts(attempts(results.of(name)))
        ended = "\n".join(came_to) or "no run yet"
        rows.append((name, description, expected, ended, tried, good))
    head = ["variant", "description", "expected", "came to", "attempts", "runs as expected"]
    if any(row[1] for row in rows):
        return head, rows
    return [head[0], *head[2:]], [(row[0], *row[2:]) for row in rows]  # The names say it.


def _attempts(counted: dict[str, int]) -> str:
    """Write how many attempts runs took, where they differ for how many runs."""
    if len(counted) <= 1:
        return "".join(counted) or "-"
    return "\n".join(f"{number} ({several(runs, 'run')})" for number, runs in counted.items())


def fleet_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant and number of mobile nodes: when they were up, and where."""
    rows: Rows = []
    for one in (one for name in results.variants for one in fleets(results, name)):
        up = map(one.up, PERCENTILES)
        rows.append(
            (
                one.variant,
                str(one.nodes),
                f"{len(one.bootstrapped)} of {len(one.members)}",
                *("-" if seconds is None else style.seconds(seconds) for seconds in up),
                str(one.failures),
                _at_home_agents(one),
            )
        )
    head = ["variant", "nodes", "up", *(f"{percent} %" for percent in PERCENTILES)]
    return [*head, "attempts\nfailed", "at home agent"], rows


@cache
def _home_agents() -> dict[str, str]:
    """Return the hosts of all home agents that there can be, by their addresses."""
    topology = operator.build(home_agents=operator.MOST["home_agents"])
    return {
        str(end.address): end.host
        for link in topology.links
        for end in link.ends
        if end.host in topology.hosts_with(HostRole.HOME_AGENT)
    }


def _at_home_agents(fleet: Fleet) -> str:
    """Write how many mobile nodes each home agent got, run by run unless all runs are alike."""
    names = {agent: _home_agents().get(agent, agent) for agent in fleet.home_agents}
    lines = [
        ", ".join(f"{names[agent]}: {numbers[i]}" for agent, numbers in fleet.home_agents.items())
        for i in range(len(fleet.runs))
    ]
    return "\n".join(lines if len(set(lines)) > 1 else lines[:1]) or "-"


def move_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per fleet whose mobile nodes moved: how many, and how long each part took."""
    every = [one for name in results.variants for one in fleets(results, name)]
    found = [(one, one.moves) for one in every if one.moves]
    parts = list(dict.fromkeys(part for _, moves in found for part in moves))
    rows: Rows = [
        (
            one.variant,
            str(one.nodes),
            str(max(part.n for part in moves.values())),
            *(style.seconds(moves[part].median) for part in parts),
        )
        for one, moves in found
    ]
    return ["variant", "nodes", "moved", *parts], rows


def of_many(results: Results) -> list[Table]:
    """Return when how many mobile nodes were up, where, and how they moved, for the terminal."""
    title = "many mobile nodes: when so many were up"
    if not any(run.members for run in results.runs):
        return [_table(title, *storms.rows(results))]
    head, rows = fleet_rows(results)
    up = _table(title, head[:-1], [row[:-1] for row in rows])
    where = [(*row[:2], row[-1]) for row in rows]
    agents = _table("mobile nodes at each home agent", [*head[:2], ""], where, left=3)
    head, moved = move_rows(results)
    return [up, agents, *([_table(MOVES, head, moved)] if moved else [])]


def held(results: Results) -> Table:
    """Return what was held over many bootstraps in a row, for the terminal."""
    return _table("held over many bootstraps in a row, and whether it grows", *soaks.rows(results))


def moved(results: Results) -> Table:
    """Return what handovers took, for the terminal."""
    title = "handovers: parts, and for how long nothing got through"
    return _table(title, *handovers.rows(results))


def came_through(results: Results) -> Table:
    """Return what came through over each path, for the terminal."""
    return _table(
        "what came through: medians, and what part of the plain path's that is",
        *throughput.rows(results),
        left=3,
    )


def is_of_attacks(results: Results) -> bool:
    """Return whether an experiment is about attacks."""
    return results.spec is not None and any(v.threat for v in results.spec.variants.values())


def attack_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per attack: where it is foreseen, what must happen, what did, the verdict."""
    rows: Rows = []
    for name in results.variants:
        variant = results.spec.variants.get(name) if results.spec else None
        found = outcomes.outcomes(results, name)
        as_it_must = bool(found) and all(one.as_expected for one in found)
        rows.append(
            (
                f"{name}: {variant.description}" if variant else name,
                variant.threat if variant else "",
                outcomes.expectation(results, name),
                "\n".join(one.text for one in found) or "no run yet",
                "as it must be" if as_it_must else "NOT AS IT MUST BE" if found else "-",
            )
        )
    return ["attack", "threat", "what must happen", "what happened", "verdict"], rows


def way(outcome: outcomes.Outcome, called: Mapping[str, str]) -> str:
    """Write how far runs got, as phases are `called`; empty if that is not known."""
    if outcome.ended_in is None:
        total = style.seconds(sum(outcome.phases.values()))
        return f"all phases took {total}" if outcome.phases else ""
    whole = [f"{called[name]} {style.seconds(t)}" for name, t in outcome.phases.items()]
    return ", ".join([*whole, f"ended {outcomes.ENDED[outcome.ended_in]}"])


def comparison_rows(made: Sequence[Comparison]) -> tuple[list[str], Rows]:
    """Return a row per comparison."""
    swept = any(one.points > 1 for one in made)
    average = "mean of the\npoints' medians" if swept else "medians"
    head = ["second, first", *(["points"] if swept else []), "runs", average, "longer by"]
    head += ["ratio", "p (Holm)", "Cliff's\ndelta"]
    rows: Rows = []
    for one in made:
        means = "\n".join(style.seconds(value) for value in reversed(one.mean_of_medians))
        runs = "\n".join(str(n) for n in reversed(one.n))
        rows.append(
            (
                f"{one.second}\n{one.first}",
                *([str(one.points)] if swept else []),
                runs,
                means,
                _difference(one),
                "-" if one.ratio is None else f"{one.ratio:.3g}",
                f"{one.p_holm:.2g}",
                f"{one.delta:+.2f}\n{one.size}",
                one.verdict,
            )
        )
    return [*head, "second is"], rows


def _difference(one: Comparison) -> str:
    unit, factor = ("s", 1.0) if abs(one.difference) >= 0.9995 else ("ms", 1e3)
    ends = [one.difference, *(one.difference_ci95 or ())]
    value, *interval = (("-" if x < 0 else "+") + style.digits(abs(x) * factor) for x in ends)
    return f"{value} {unit}" + (f"\n[{', '.join(interval)}]" if interval else "")


def claim_rows(found: Sequence[Finding]) -> tuple[list[str], Rows]:
    """Return a row per claim."""
    rows: Rows = [(f"{one.claim} ({one.source})", one.verdict, one.evidence) for one in found]
    return ["claim", "verdict", "evidence"], rows


def comparisons(made: Sequence[Comparison], called: str) -> Table:
    """Return the comparisons of a phase, which is `called` so, for the terminal."""
    title = f"{called}: the second against the first [95 % interval]"
    return _table(title, *comparison_rows(made))


def claims(found: Sequence[Finding]) -> Table:
    """Return the verdicts for the terminal."""
    shown = Table(title="claims", title_justify="left", box=box.SIMPLE_HEAD, show_lines=True)
    for name in ("claim", "verdict", "evidence"):
        shown.add_column(name, no_wrap=name == "verdict")
    for one in found:
        verdict = Text(one.verdict, style=COLOURS.get(one.verdict, "yellow"))
        shown.add_row(Text(f"{one.claim}\n({one.source})"), verdict, Text(one.evidence))
    return shown


def came_to(results: Results) -> Table:
    """Return what was expected of each variant, and what it came to, for the terminal."""
    shown = Table(title="what each variant came to, and runs as expected", **COMPACT)
    head, rows = outcome_rows(results)
    tried = any(row[-2] not in ("-", "1") for row in rows)
    left_out = {"expected"} if tried else {"expected", "attempts"}  # The description says the rest.
    kept = [number for number, name in enumerate(head) if name not in left_out]
    for number in kept:
        name = head[number].partition(" as ")[0]
        shown.add_column(name, overflow="fold", no_wrap=name in ("variant", "runs"))
    for row in rows:
        shown.add_row(*(Text(row[number]) for number in kept))
    return shown


def attacks(results: Results) -> Table:
    """Return the attacks, and whether what must happen did, for the terminal."""
    shown = Table(title="attacks", show_lines=True, **COMPACT)
    head, rows = attack_rows(results)
    for name in head:
        shown.add_column(name, overflow="fold")
    for *cells, verdict in rows:
        colour = {"as it must be": "green", "-": ""}.get(verdict, "red")
        shown.add_row(*map(Text, cells), Text(verdict, style=colour))
    return shown


def sweep(results: Results) -> list[Table]:
    """Return a sweep's tables for the terminal: median totals at each point, and the fits."""
    head, rows = point_rows(results, ends=False)
    narrow = [name.replace("-", "-\n") for name in head]
    tables = [_table(f"{results.experiment}: median total", narrow, rows, left=len(results.axes))]
    if swept_links(results):
        title = "round trips of the critical path [95 % interval]; ! differs by more than 0.2"
        tables.append(_table(title, *fit_rows(results)))
    return tables


def mechanisms(results: Results) -> Table:
    """Return what each variant adds to the one before, and what of the paper's is left."""
    return _table("what each variant adds, and what stays unexplained", *share_rows(results))


def floods(results: Results) -> Table:
    """Return what strangers sent, and what it took of the programs that they attacked."""
    return _table("under floods: share of a CPU, and peak memory", *flood_rows(results))


def messages(results: Results) -> Table:
    """Return round trips, messages and octets on each link for the terminal, a row per variant.

    The protocols' shares of them are in the report.
    """
    found = {name: traffic(results.bootstrapped(name)) for name in results.variants}
    links = list(dict.fromkeys(link for one in found.values() for link in one))
    rows: Rows = [
        (name, *(_whole(one[link]) if link in one else "-" for link in links))
        for name, one in found.items()
    ]
    title = "on each link: round trips of the critical path, messages / octets of all frames"
    return _table(title, ["variant", *links], rows)


def _whole(link: dict[str, Any]) -> str:
    trips = str(link["round_trips"]["median"]).removesuffix(".0")
    return f"{trips}\n{_amount(list(link['protocols'].values()))}"
