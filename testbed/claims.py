"""What the paper and this laboratory claim of the approaches, each with a verdict from data.

A verdict is "supported", "contradicted", or "not shown" when the runs do not tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from testbed import compare
from testbed.fits import AGREES, Fit, fits
from testbed.phases import TOTAL
from testbed.results import Results, Run, read_spec

SUPPORTED, CONTRADICTED, NOT_SHOWN = "supported", "contradicted", "not shown"
PANA, DHCP, FAST = "pana-ikev2", "dhcpv6-ikev2", "pana-fast"
ACCESS, DHCPV6 = "access", "DHCPv6"
FAST_SHARE = 0.6
FAR = 0.1  # Seconds, one way, of access and core link.


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim, where it is made, what the runs say about it, and the figures behind that."""

    claim: str
    source: str
    verdict: str
    evidence: str
    data: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Variant:
    """A variant of one results folder, and its approach."""

    results: Results
    name: str
    approach: str

    @property
    def runs(self) -> list[Run]:
        return self.results.succeeded(self.name)

    def messages(self, protocol: str, link: str | None = None) -> list[int]:
        """Return how many messages of a protocol each run had, on one link or on all."""
        return [
            sum(
                one.protocols[protocol].messages
                for name, one in run.traffic.links.items()
                if link in (None, name) and protocol in one.protocols
            )
            for run in self.runs
            if run.traffic
        ]

    def round_trips(self, link: str) -> list[int]:
        """Return the round trips counted on a link in each run."""
        return [
            run.traffic.links[link].round_trips
            for run in self.runs
            if run.traffic and link in run.traffic.links
        ]

    @property
    def fit(self) -> Fit | None:
        """The fit of a sweep over delays alone."""
        found = fits(self.results, self.name)
        return found[0] if len(found) == 1 else None


_Verdict = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Claim:
    text: str
    source: str
    judge: Callable[[Sequence[_Variant]], _Verdict]


def variants(loaded: Sequence[Results]) -> list[_Variant]:
    """Return every variant with its approach as spec.toml names it."""
    found = []
    for one in loaded:
        spec = read_spec(one.folder / "spec.toml")
        for name in one.variants:
            own = spec.get("variants", {}).get(name, {})
            found.append(_Variant(one, name, own.get("approach", spec.get("approach", ""))))
    return found


def findings(loaded: Sequence[Results]) -> list[Finding]:
    """Judge every claim by the runs of some results folders."""
    every = variants(loaded)
    return [Finding(claim.text, claim.source, *claim.judge(every)) for claim in CLAIMS]


def _together(every: Sequence[_Variant], *wanted: str) -> list[_Variant] | None:
    """Return one variant of each approach, all of one folder and with a successful run."""
    for folder in dict.fromkeys(one.results.folder for one in every):
        there = [one for one in every if one.results.folder == folder and one.runs]
        found = [next((v for v in there if v.approach == name), None) for name in wanted]
        if all(found):
            return [one for one in found if one]
    return None


def _missing(*wanted: str) -> _Verdict:
    return NOT_SHOWN, f"needs successful runs of {' and '.join(wanted)} in one folder", {}


def _saves_an_exchange(every: Sequence[_Variant]) -> _Verdict:
    pair = _together(every, PANA, DHCP)
    if not pair or not all(one.round_trips(ACCESS) for one in pair):
        return _missing(PANA, DHCP)
    pana, dhcp = pair
    counts = [median(one.round_trips(ACCESS)) for one in pair]
    messages = [median(one.messages(DHCPV6, ACCESS)) for one in pair]
    saved = counts[1] - counts[0]
    data: dict[str, Any] = {"counted": counts, "saved": saved, "dhcpv6_messages": messages}
    evidence = (
        f"round trips over the access link: {counts[0]:g} with {PANA}, {counts[1]:g} with {DHCP};"
        f" DHCPv6 messages there: {messages[0]:g} and {messages[1]:g}"
    )
    fitted = [one.fit for one in (pana, dhcp)]
    agrees = True
    if fitted[0] and fitted[1] and ACCESS in fitted[0].round_trips:
        difference, half = _fitted_difference(fitted[0], fitted[1])
        data["fitted"] = {"saved": difference, "ci95": [difference - half, difference + half]}
        evidence += f"; fitted: {difference:.2f} ± {half:.2f} saved"
        agrees = difference > 1 - AGREES
    if saved <= 0:
        return CONTRADICTED, evidence, data
    return (SUPPORTED if saved >= 1 and agrees else NOT_SHOWN), evidence, data


def _fitted_difference(pana: Fit, dhcp: Fit) -> tuple[float, float]:
    """Return the difference of two independent estimates and half of its 95 % interval."""
    one, other = pana.round_trips[ACCESS], dhcp.round_trips[ACCESS]
    halves = [(e.ci95[1] - e.ci95[0]) / 2 for e in (one, other)]
    return other.value - one.value, math.hypot(*halves)


def _no_dhcp(every: Sequence[_Variant]) -> _Verdict:
    pana = [one for one in every if one.approach.startswith("pana-") and one.messages(DHCPV6)]
    if not pana:
        return NOT_SHOWN, "needs successful runs of an approach with PANA", {}
    runs = sum(len(one.messages(DHCPV6)) for one in pana)
    seen = sum(sum(one.messages(DHCPV6)) for one in pana)
    data: dict[str, Any] = {"runs": runs, "dhcpv6_messages": seen}
    evidence = f"{runs} runs with PANA succeeded with {seen} DHCPv6 messages on any link"
    if dhcp := next((one for one in every if one.approach == DHCP and one.messages(DHCPV6)), None):
        data["with_dhcpv6"] = median(dhcp.messages(DHCPV6))
        evidence += f"; {DHCP} takes {data['with_dhcpv6']:g} a bootstrap"
    return (CONTRADICTED if seen else SUPPORTED), evidence, data


def _chosen_by_aaah(every: Sequence[_Variant]) -> _Verdict:
    seen = [
        run.traffic
        for one in every
        if one.approach.startswith("pana-")
        for run in one.runs
        if run.traffic and run.traffic.home_agents and run.traffic.home_agent
    ]
    if not seen:
        return NOT_SHOWN, "needs runs with PANA whose Diameter answers can be read", {}
    same = sum(one.home_agent in one.home_agents for one in seen)
    chosen = sorted({name for one in seen for name in one.home_agents})
    data = {"runs": len(seen), "registered_with_it": same, "home_agents": chosen}
    evidence = (
        f"in {same} of {len(seen)} runs the mobile node registered with a home agent that the"
        f" AAAH's answer named; home agents named: {', '.join(chosen)}"
    )
    return (SUPPORTED if same == len(seen) else CONTRADICTED), evidence, data


def _fast_is_fast(every: Sequence[_Variant]) -> _Verdict:
    point = {"links.access.delay": FAR, "links.core.delay": FAR}
    there = [_Variant(one.results.at(point), one.name, one.approach) for one in every]
    pair = _together(there, PANA, FAST)
    if not pair:
        verdict, evidence, data = _missing(PANA, FAST)
        return verdict, f"{evidence}, at {compare.written(point)}", data
    totals = [one.results.values(one.name, TOTAL) for one in pair]
    ratio = median(totals[1]) / median(totals[0])
    ci = compare.ratio_interval(*totals)
    low, high = ci or (ratio, ratio)
    data = {"ratio": ratio, "ci95": ci, "n": [len(one) for one in totals]}
    evidence = f"total {ratio:.1%} of {PANA}'s [{low:.1%}, {high:.1%}] at {compare.written(point)}"
    if low <= FAST_SHARE < high:
        return NOT_SHOWN, evidence, data
    return (SUPPORTED if ratio <= FAST_SHARE else CONTRADICTED), evidence, data


CLAIMS = (
    _Claim(
        "PANA saves the exchange of DHCPv6: one round trip",
        "the paper, section 4.3",
        _saves_an_exchange,
    ),
    _Claim(
        "PANA does not require setting up a DHCP infrastructure",
        "the paper, section 4.3",
        _no_dhcp,
    ),
    _Claim("The AAAH chooses the home agent", "the paper, section 4.3", _chosen_by_aaah),
    _Claim(
        f"{FAST} takes at most {FAST_SHARE:.0%} of the time of {PANA} over long links",
        "docs/pana-fast.md",
        _fast_is_fast,
    ),
)
