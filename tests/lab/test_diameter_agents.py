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
PLAIN = tuple(f"{way}{what}" for way in WAYS for what in ("", "-eap", "-after"))
SECURE = ("agent", "redirect", "freediameter", "freediameter-eap")
CASES = [(False, variant) for variant in PLAIN] + [(True, variant) for variant in SECURE]
NAMES = [f"{'tls' if secure else 'plain'}-{variant}" for secure, variant in CASES]
WRONG = "_ws.malformed or _ws.expert.severity >= 0x800000"
pytestmark = [NEEDS, needs("freeDiameterd")]


@pytest.fixture(scope="module")
def done(place: Path) -> dict[bool, Outcome]:
    """The experiment that ships, with TLS or not, without what waits for watchdogs."""
    return {
        secure: carry_out_here(
            PROJECT / "experiments" / "aaa_failover.toml",
            place / ("tls" if secure else "plain"),
            f"settings.diameter_tls={str(secure).lower()}",
            variants=variants,
        )
        for secure, variants in ((False, PLAIN), (True, SECURE))
    }


@pytest.mark.parametrize(("secure", "variant"), CASES, ids=NAMES)
def test_the_mobile_node_is_served(done, secure, variant, record_property):
    [run] = [run for run in done[secure].results.runs if run.variant == variant]
    record_property("run", results.run_folder(done[secure].folder, run.run))
    assert run.status == "ok", run.reason


@pytest.mark.parametrize("variant", PLAIN)
def test_wireshark_finds_nothing_wrong_with_diameter(done, variant):
    [run] = [run for run in done[False].results.runs if run.variant == variant]
    capture = results.run_folder(done[False].folder, run.run) / "captures" / "B.pcapng"
    seen = rows(capture, "diameter.cmd.code", where="diameter")
    assert any("268" in row for row in seen)
    wrong = f"diameter and ({WRONG})"  # An AVP of this project is not known, and no error.
    assert rows(capture, "frame.number", where=wrong) == []
