"""What the runs of a variant came to, and whether that is what was expected of them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from testbed.base.phases import PHASES
from testbed.base.words import several
from testbed.experiment.steps import Expectation
from testbed.results.folder import Results
from testbed.results.runs import Run
from testbed.trace.phases import ended_in

ENDED = {
    "pana": "in PANA",
    "pana_to_ike": "before IKE",
    "ike": "in IKE",
    "ike_to_binding": "before the Binding Update",
    "binding": "before the Binding Acknowledgement",
}
"""Where a run ended, by the phase that it did not get through."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What some runs of a variant came to alike.

    `phases` are the medians in seconds of those that all of them went through whole, and `ended_in`
    is the phase in which they ended, None if they went through all or that is not known.
    """

    text: str
    as_expected: bool
    runs: int
    phases: dict[str, float]
    ended_in: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it in the form of summary.json."""
        return {
            "outcome": self.text,
            "as_expected": self.as_expected,
            "runs": self.runs,
            "phases": self.phases,
            "ended_in": self.ended_in,
        }


def outcomes(results: Results, variant: str) -> list[Outcome]:
    """Return what the runs of a variant came to, in the order of their first."""
    alike: dict[tuple[bool, str], list[Run]] = {}
    for run in results.of(variant):
        alike.setdefault((run.status != "failed", run.came_to), []).append(run)
    return [
        Outcome(text, as_expected, len(runs), *_way(runs))
        for (as_expected, text), runs in alike.items()
    ]


def _way(runs: list[Run]) -> tuple[dict[str, float], str | None]:
    known = [run.phases for run in runs if run.phases is not None]
    if not known:
        return {}, None
    shared = [name for name in PHASES if all(name in one for one in known)]
    return {name: median(one[name] for one in known) for name in shared}, ended_in(shared)


def way(results: Results, variant: str) -> dict[str, float]:
    """Return the medians in seconds of the phases that all runs of a variant went through whole."""
    return _way(results.of(variant))[0]


def expectation(results: Results, variant: str) -> str:
    """Return what is expected of a variant, in words."""
    wanted = results.spec.variants.get(variant) if results.spec else None
    expect = wanted.expect if wanted else None
    if not wanted or not expect:
        return "a bootstrap"
    if expect.must:
        return expect.must
    told = [
        _bootstraps(expect, of_many=wanted.operator is not None),
        f"home agent {expect.home_agent}" if expect.home_agent else "",
        "" if expect.silence is None else f"no silence above {expect.silence:g} s",
        "" if expect.lost is None else f"at most {several(expect.lost, 'packet')} lost",
        ""
        if expect.octets_back is None
        else f"at most {expect.octets_back:g} octets back for one of the flood's",
    ]
    return ", ".join(filter(None, told))


def _bootstraps(expect: Expectation, *, of_many: bool) -> str:
    """Return what is to become of bootstraps: how many there are, or what comes in their place."""
    refused = ""
    if expect.reason:
        refused = f"{'not a bootstrap of all' if of_many else 'refused'}: {expect.reason}"
    if expect.up is not None:
        least = f"at least {expect.up}" if expect.up else "any number"
        return f"a bootstrap of {least} of the mobile nodes"
    return ", ".join(filter(None, [refused, expect.event])) or "a bootstrap"


def verdict(results: Results, variant: str) -> str:
    """Return in a sentence how the runs of a variant ended, none of them in a bootstrap."""
    found = outcomes(results, variant)
    if not found:
        return "no run yet"
    if all(one.as_expected for one in found):
        return f"as expected: {'; '.join(one.text for one in found)}"
    failed = next(one for one in found if not one.as_expected)
    good = len(results.succeeded(variant))
    return (
        f"{good or 'none'} of {several(len(results.of(variant)), 'run')} succeeded: {failed.text}"
    )
