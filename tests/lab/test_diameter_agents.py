"""Two home AAA servers behind relays and a redirect agent: bootstraps, and one server that dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.base.places import PROJECT
from testbed.results import folder as results
from testbed.runner import Outcome
from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.needs import needs
from tests.wireshark import rows

WAYS = ("direct", "agent", "redirect", "freediameter")
VARIANTS = tuple(f"{way}{what}" for way in WAYS for what in ("", "-eap", "-after"))
WRONG = "_ws.malformed or _ws.expert.severity >= 0x800000"
pytestmark = [NEEDS, needs("freeDiameterd")]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def done(request: pytest.FixtureRequest, place: Path) -> Outcome:
    """The experiment that ships, without those variants that wait for watchdogs."""
    secure = str(request.param).lower()
    return carry_out_here(
        PROJECT / "experiments" / "aaa_failover.toml",
        place / secure,
        f"settings.diameter_tls={secure}",
        variants=VARIANTS,
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mobile_node_is_served(done, variant, record_property):
    [run] = [run for run in done.results.runs if run.variant == variant]
    record_property("run", results.run_folder(done.folder, run.run))
    assert run.status == "ok", run.reason


@pytest.mark.parametrize("variant", VARIANTS)
def test_wireshark_finds_nothing_wrong_with_diameter(done, variant):
    [run] = [run for run in done.results.runs if run.variant == variant]
    captures = results.run_folder(done.folder, run.run) / "captures"
    assert rows(captures / "B.pcapng", "frame.number", where="diameter or tls")
    wrong = f"diameter and ({WRONG})"  # An AVP of this project is not known, and no error.
    assert rows(captures / "B.pcapng", "frame.number", where=wrong) == []
