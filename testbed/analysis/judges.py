"""Whether what is claimed of the approaches is so: rules, each from runs to a verdict.

A verdict is "supported", "contradicted", or "not shown" when the runs do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address
from itertools import product
from statistics import mean, median
from typing import Any

from testbed.analysis import compare
from testbed.analysis.fits import AGREES, delay_path, interval
from testbed.analysis.variants import Variant
from testbed.base.phases import TOTAL
from testbed.base.words import several
from topologies.model import HostRole

SUPPORTED, CONTRADICTED, NOT_SHOWN = "supported", "contradicted", "not shown"
PAPERS, PANA, DHCP, FAST = "pana-ikev1", "pana-ikev2", "dhcpv6-ikev2", "pana-fast"
ACCESS, CORE, VISITED, DHCPV6 = "access", "core", "visited", "DHCPv6"
FAST_SHARE = 0.6
PROTOCOLS_SHARE = 0.5
LIKE = (0.5, 1.5)
"""What is of the order of the paper's total."""
FAR = {ACCESS: 0.1, CORE: 0.1}  # Seconds, one way.
SHORTCUTS = ("pana_start", "psk_source", "protection", "ike.authentication")
"""The settings that pana-fast consists of."""


Verdict = tuple[str, str, dict[str, Any]]


def _together(
    every: Sequence[Variant], one: str, other: str, but: Sequence[str] = ()
) -> tuple[Variant, Variant] | str:
    """Return a variant of each approach, of one folder, that differ in nothing else; or why not.

    `but` are settings in which they may differ; those that only one of them has are its own.
    """
    reason = f"needs successful runs of {one} and {other} in one folder"
    for first, second in product(every, repeat=2):
        wanted = (first.approach, second.approach) == (one, other)
        if not wanted or first.results is not second.results or not (first.runs and second.runs):
            continue
        a, b = first.settings, second.settings
        apart = [name for name in a if name in b and a[name] != b[name] and name not in but]
        if not apart:
            return first, second
        told = ", ".join(f"{name} ({a[name]} and {b[name]})" for name in apart)
        reason = f"{first.name} and {second.name} differ in more than their approach: {told}"
    return reason


def saves_an_exchange(every: Sequence[Variant]) -> Verdict:
    """Judge it by counts, and by the fits of a sweep if there are any."""
    pair = _together(every, PANA, DHCP)
    if isinstance(pair, str):
        return NOT_SHOWN, pair, {}
    if not all(one.round_trips(ACCESS) for one in pair):
        return NOT_SHOWN, "needs runs with captures of the access link", {}
    counts = [median(one.round_trips(ACCESS)) for one in pair]
    messages = [median(one.messages(DHCPV6, ACCESS)) for one in pair]
    saved = counts[1] - counts[0]
    data: dict[str, Any] = {"counted": counts, "saved": saved, "dhcpv6_messages": messages}
    evidence = (
        f"round trips over the access link: {counts[0]:g} with {PANA}, {counts[1]:g} with {DHCP};"
        f" DHCPv6 messages there: {messages[0]:g} and {messages[1]:g}"
    )
    pana, dhcp = (one.fit for one in pair)
    fitted, low, high = 1.0, 1.0, 1.0
    if pana and dhcp and ACCESS in pana.round_trips:
        fitted = dhcp.round_trips[ACCESS].value - pana.round_trips[ACCESS].value
        low, high = interval(dhcp.link_draws(ACCESS) - pana.link_draws(ACCESS))
        data["fitted"] = {"saved": fitted, "ci95": [low, high]}
        evidence += f"; fitted: {fitted:.2f} [{low:.2f}, {high:.2f}] saved"
    if saved != 1 or high < 1 - AGREES or low > 1 + AGREES:
        return CONTRADICTED, evidence, data
    shown = abs(fitted - 1) <= AGREES and low > 0
    return (SUPPORTED if shown else NOT_SHOWN), evidence, data


def no_dhcp(every: Sequence[Variant]) -> Verdict:
    """Judge it by what crossed the links of a topology without a DHCP server."""
    pana = [
        one
        for one in every
        if one.approach.startswith("pana-")
        and one.messages(DHCPV6)
        and one.spec
        and not one.spec.topology(one.name).has(HostRole.DHCPV6_SERVER)
    ]
    if not pana:
        return NOT_SHOWN, "needs runs with PANA in a topology without a DHCP server", {}
    good = sum(len(one.runs) for one in pana)
    runs = sum(run.status != "expected" for one in pana for run in one.results.of(one.name))
    seen = sum(sum(one.messages(DHCPV6)) for one in pana)
    data: dict[str, Any] = {"runs": runs, "succeeded": good, "dhcpv6_messages": seen}
    evidence = (
        f"works without any DHCP server: {good} of {runs} runs succeeded in a topology that has"
        f" none, with {seen} DHCPv6 messages"
    )
    if dhcp := next((one for one in every if one.approach == DHCP and one.messages(DHCPV6)), None):
        data["with_dhcpv6"] = median(dhcp.messages(DHCPV6))
        evidence += f"; {DHCP} takes {data['with_dhcpv6']:g} per bootstrap"
    return (CONTRADICTED if seen else SUPPORTED), evidence, data


def chosen_by_aaah(every: Sequence[Variant]) -> Verdict:
    """Judge it where the visited network offers a home agent too.

    The AAAH chooses if the mobile node ends up with what its answer names although the offer, and
    perhaps the mobile node's wish, was another.
    """
    offered = [
        (one, run.traffic)
        for one in every
        if one.approach.startswith("pana-") and one.settings.get("local_offered")
        for run in one.runs
        if run.traffic and run.traffic.home_agents and run.traffic.home_agent
    ]
    overruled = sum(
        one.settings["wish"] != "home" and _offer(one) not in seen.home_agents
        for one, seen in offered
    )
    if not overruled:
        return (
            NOT_SHOWN,
            "needs runs with two home agents to choose from, in which the home AAA server overrules"
            " a wish or an offer (experiment ha-choice)",
            {},
        )
    same = sum(seen.home_agent in seen.home_agents for _, seen in offered)
    chosen = sorted({name for _, seen in offered for name in seen.home_agents})
    data = {
        "runs": len(offered),
        "registered_with_it": same,
        "overruled": overruled,
        "home_agents": chosen,
    }
    evidence = (
        f"in {same} of {len(offered)} runs with a second home agent on offer the mobile node"
        f" registered with the one that the AAAH's answer named, in {overruled} of them another"
        f" than was offered; home agents named: {', '.join(chosen)}"
    )
    return (SUPPORTED if same == len(offered) else CONTRADICTED), evidence, data


def _offer(variant: Variant) -> str:
    """Return the address of the home agent that the visited network offers."""
    if not variant.spec:
        return ""
    topology = variant.spec.topology(variant.name)
    router = topology.host(HostRole.ACCESS_ROUTER)
    address: IPv6Address = topology.link(VISITED).end(router).address
    return str(address)


def fast_is_fast(every: Sequence[Variant]) -> Verdict:
    """Judge it by the fits of a sweep, or else by the runs at one point."""
    point = {delay_path(link): delay for link, delay in FAR.items()}
    where = f"at {compare.written(point)}"
    pair = _together(every, PANA, FAST, SHORTCUTS)
    if isinstance(pair, str):
        return NOT_SHOWN, pair, {}
    ratio, ci, data = _by_fit(*pair) or _by_runs(*pair, point)
    if ratio is None or ci is None:
        return NOT_SHOWN, f"needs a sweep that reaches it, or {compare.LEAST} runs, {where}", data
    low, high = ci
    evidence = f"total {ratio:.1%} of {PANA}'s [{low:.1%}, {high:.1%}] {where}, by {data['by']}"
    if low <= FAST_SHARE < high:
        return NOT_SHOWN, evidence, data
    return (SUPPORTED if high <= FAST_SHARE else CONTRADICTED), evidence, data


_Ratio = tuple[float | None, tuple[float, float] | None, dict[str, Any]]


def _by_fit(pana: Variant, fast: Variant) -> _Ratio | None:
    """Return the ratio of the fitted totals; None if there is no fit that reaches so far."""
    axes = pana.results.axes
    fitted = [one.fit for one in (pana, fast)]
    reached = all(max(axes.get(delay_path(link), [0.0])) >= far for link, far in FAR.items())
    if not reached or not fitted[0] or not fitted[1] or fitted[0].round_trips.keys() != FAR.keys():
        return None
    ratio = fitted[1].total(FAR).value / fitted[0].total(FAR).value
    ci = interval(fitted[1].total_draws(FAR) / fitted[0].total_draws(FAR))
    runs = [one.n for one in fitted if one]
    return ratio, ci, {"ratio": ratio, "ci95": ci, "n": runs, "by": "the fits"}


def _by_runs(pana: Variant, fast: Variant, point: Mapping[str, Any]) -> _Ratio:
    """Return the ratio of the medians at one point."""
    there = pana.results.at(point)
    totals = [compare.Sample(one.name, {"": there.values(one.name, TOTAL)}) for one in (pana, fast)]
    n = [len(one.points[""]) for one in totals]
    if not all(n):
        return None, None, {"n": n}
    [made] = compare.compare(totals)
    data = {"ratio": made.ratio, "ci95": made.ratio_ci95, "n": n, "by": "the medians"}
    return made.ratio, made.ratio_ci95, data


def served_under_floods(every: Sequence[Variant]) -> Verdict:
    """Judge it by the mobile node's bootstraps; a flood of which nothing was sent shows nothing."""
    flooded = [
        (one.name, run)
        for one in every
        for run in one.results.of(one.name)
        if run.flood and run.flood["sent"]
    ]
    if not flooded:
        return NOT_SHOWN, "needs runs with a flood (experiment floods)", {}
    good = sum(run.status == "ok" for _, run in flooded)
    failed = list(dict.fromkeys(name for name, run in flooded if run.status != "ok"))
    data: dict[str, Any] = {"runs": len(flooded), "succeeded": good, "failed": failed}
    evidence = f"{good} of {len(flooded)} bootstraps under a flood succeeded"
    if failed:
        evidence += f"; failed: {', '.join(failed)}"
    if bound := round(sum(run.flood.get("accepted", 0) for _, run in flooded if run.flood)):
        data["bound"] = bound
        evidence += f"; home addresses bound for strangers: {bound}"
    return (CONTRADICTED if failed or bound else SUPPORTED), evidence, data


def mostly_daemons(every: Sequence[Variant]) -> Verdict:
    """Judge it by agents that are up and called, over links without delay."""
    resident = [
        one
        for one in every
        if one.approach == PAPERS
        and one.runs
        and (one.settings["launch"], one.settings["profile"]) == ("resident", "modern")
        and not any(one.settings[delay_path(link)] for link in (ACCESS, CORE))
    ]
    if not resident:
        return NOT_SHOWN, f"needs runs of {PAPERS} with resident agents (experiment paper)", {}
    paper = resident[0].results.paper.total
    totals = {one.name: median(one.results.values(one.name, TOTAL)) for one in resident}
    evidence = "medians of the total: " + ", ".join(f"{v} {t:.2f} s" for v, t in totals.items())
    good = max(totals.values()) <= PROTOCOLS_SHARE * paper
    return (SUPPORTED if good else CONTRADICTED), f"{evidence}; the paper: {paper} s", totals


def like_the_paper(every: Sequence[Variant]) -> Verdict:
    """Judge it by the mean: the paper's figure is an average."""
    found = [one for one in every if one.settings.get("profile") == "paper2006" and one.runs]
    if not found:
        return NOT_SHOWN, "needs runs with profile = 'paper2006' (experiment paper)", {}
    paper = found[0].results.paper.total
    totals = found[-1].results.values(found[-1].name, TOTAL)
    data = {"mean": mean(totals), "n": len(totals)}
    low, high = (share * paper for share in LIKE)
    evidence = f"mean of {several(len(totals), 'run')}: {data['mean']:.1f} s; the paper: {paper} s"
    good = low <= data["mean"] <= high
    return (SUPPORTED if good else CONTRADICTED), evidence, data


def as_expected(experiment: str) -> Callable[[Sequence[Variant]], Verdict]:
    """Judge by what an experiment expects of its variants: each has to come to it in each run."""

    def judge(every: Sequence[Variant]) -> Verdict:
        own = [one for one in every if one.spec and one.results.experiment == experiment]
        if not own:
            return NOT_SHOWN, f"needs runs of experiment {experiment}", {}
        runs = [(one.name, run) for one in own for run in one.results.of(one.name)]
        failed = list(dict.fromkeys(name for name, run in runs if run.status == "failed"))
        good = sum(run.status != "failed" for _, run in runs)
        data = {"runs": len(runs), "as_expected": good, "failed": failed}
        evidence = f"{good} of {len(runs)} runs of {several(len(own), 'variant')} as expected"
        if failed:
            return CONTRADICTED, f"{evidence}; not: {', '.join(failed)}", data
        missing = {name for one in own if one.spec for name in one.spec.variants}
        missing -= {name for name, _ in runs}
        if missing or not runs:
            return NOT_SHOWN, f"{evidence}; without a run: {', '.join(sorted(missing))}", data
        return SUPPORTED, evidence, data

    return judge
