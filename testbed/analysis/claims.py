"""What the paper and this laboratory claim of the approaches, each with a verdict from data.

A verdict is "supported", "contradicted", or "not shown" when the runs do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from testbed.analysis.fits import AGREES
from testbed.analysis.judges import (
    CONTRADICTED,
    FAST,
    FAST_SHARE,
    LIKE,
    NOT_SHOWN,
    PANA,
    PROTOCOLS_SHARE,
    SUPPORTED,
    Verdict,
    as_expected,
    chosen_by_aaah,
    fast_is_fast,
    like_the_paper,
    mostly_daemons,
    no_dhcp,
    saves_an_exchange,
    served_under_floods,
)
from testbed.analysis.variants import Variant, variants
from testbed.results.folder import Results

__all__ = ["CLAIMS", "CONTRADICTED", "NOT_SHOWN", "SUPPORTED", "Claim", "Finding", "findings"]


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
class Claim:
    """What is claimed, where, which experiment that ships decides it, and what is to come of it."""

    name: str
    text: str
    source: str
    experiment: str
    expected: str
    judge: Callable[[Sequence[Variant]], Verdict]


_PAPER, _FIGURES = "the paper, section 4.3", "the paper, section 5.6"
CLAIMS = (
    Claim(
        "saves-a-round-trip",
        "PANA saves the exchange of DHCPv6: one round trip",
        _PAPER,
        "rtt",
        f"1 round trip over the access link by count, 1 ± {AGREES} by the fit",
        saves_an_exchange,
    ),
    Claim(
        "without-dhcp",
        "PANA does not require setting up a DHCP infrastructure",
        _PAPER,
        "rtt",
        "0 DHCPv6 messages in runs with PANA",
        no_dhcp,
    ),
    Claim(
        "aaah-chooses",
        "The AAAH chooses the home agent",
        _PAPER,
        "ha_choice",
        "in all runs the home agent that the AAAH's answer named, in some another than was offered",
        chosen_by_aaah,
    ),
    Claim(
        "pana-fast",
        f"{FAST} takes at most {FAST_SHARE:.0%} of the time of {PANA} over long links",
        "docs/pana-fast.md",
        "rtt",
        f"up to {FAST_SHARE:.0%} with 100 ms one way on either link, by the interval's upper end",
        fast_is_fast,
    ),
    Claim(
        "floods",
        "A mobile node bootstraps while a stranger floods a node that it needs, and the stranger"
        " gets no binding",
        "docs/security.md",
        "floods",
        "every bootstrap succeeds, 0 home addresses bound for strangers",
        served_under_floods,
    ),
    Claim(
        "like-the-paper",
        "With the habits of the paper's daemons a bootstrap takes about as long as the paper's"
        " 8.4 s, by its order",
        _FIGURES,
        "paper",
        f"a mean total of {LIKE[0]:g} to {LIKE[1]:g} times 8.4 s: 4.2 to 12.6 s",
        like_the_paper,
    ),
    Claim(
        "mostly-daemons",
        "Most of the paper's 8.4 s are habits of its daemons: the same messages of agents that are"
        " up take less than half of it",
        "docs/paper2006.md",
        "paper",
        f"medians of the total of resident agents up to {PROTOCOLS_SHARE:g} of 8.4 s: 4.2 s",
        mostly_daemons,
    ),
    Claim(
        "attacks",
        "What an attack comes to is what the RFCs have against it",
        "docs/security.md",
        "attacks",
        "each attack comes to what the table of docs/security.md has for it",
        as_expected("attacks"),
    ),
    Claim(
        "rogue-router",
        "A malicious access router can take the mobile node's place with a key from the MSK, and"
        " cannot with one from the EMSK or with a sealed assignment",
        "docs/security.md",
        "rogue_router",
        "2 routers of 5 come to their end, 3 are refused",
        as_expected("rogue-router"),
    ),
    Claim(
        "crashes",
        "Whichever program is killed at whichever phase, the mobile node is reachable at its home"
        " address afterwards",
        "docs/reliability.md",
        "crashes",
        "every run ends in a bootstrap, with service back within the seconds that its variant says",
        as_expected("crashes"),
    ),
    Claim(
        "outage",
        "Service is back after a link was cut for a minute",
        "docs/reliability.md",
        "outage",
        "at most 100 s without an answer, of which the link is cut for 60",
        as_expected("outage"),
    ),
    Claim(
        "handover",
        "A mobile node that moves to another access network stays reachable at its home address",
        "docs/mobility.md",
        "handover",
        "at most 2 s without an answer, with and without PANA",
        as_expected("handover"),
    ),
    Claim(
        "route-optimisation",
        "Route optimisation takes the detour by way of the home agent out of the path",
        "docs/route-optimisation.md",
        "route_optimisation",
        "a round trip of at most 1.1 times that to the care-of address, 0 packets lost",
        as_expected("route-optimisation"),
    ),
)


def findings(loaded: Sequence[Results]) -> list[Finding]:
    """Judge every claim by the runs of some results folders."""
    every = variants(loaded)
    return [Finding(claim.text, claim.source, *claim.judge(every)) for claim in CLAIMS]
