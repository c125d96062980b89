"""Programs that are killed and started again in the sim lab, in a bootstrap and after it."""

from __future__ import annotations

import re
import tomllib

import pytest
import tomli_w

from testbed.base.places import PROJECT
from testbed.experiment import steps
from testbed.results import folder as results
from testbed.trace import phases
from tests.testbed.simulated import carry_out

CRASHES = tomllib.loads((PROJECT / "experiments" / "crashes.toml").read_text())
SOME = (
    "all",
    "both-b-h",
    "dhcpv6-d-discovery",
    "fast-s-ike",
    "ikev1-h-registered",
    "ikev2-a-binding",
    "power-b",
    "twice-a",
)
OWN = {
    "never": {"steps": [{"at": "B Terminated", "host": "B", "kill": "program"}]},
    "dead": {
        "timeout": 20.0,
        "steps": [{"at": "ike", "host": "H", "kill": "program"}],
    },
    "refused": {
        "approach": "dhcpv6-ikev2",
        "topology": "dhcpv6",
        "timeout": 60.0,
        "settings": {"pana_liveness": 600.0},
        "steps": [
            {"at": "pana_to_ike", "host": "B", "kill": "program", "lasts": 2.0, "start": True}
        ],
    },
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return the runs by their variants, and the warnings."""
    chosen = {name: CRASHES["variants"][name] for name in SOME} | OWN
    text = tomli_w.dumps({**CRASHES, "variants": chosen})
    loaded = results.load(carry_out(tmp_path_factory.mktemp("crashes"), text))
    return {run.variant: run for run in loaded.runs}, loaded.warnings


def seconds(run):
    """Return how long after the first step in its bootstrap the mobile node was reachable."""
    return float(re.search(r"reachable (\S+) s after", run.outcome)[1])


@pytest.mark.parametrize("variant", SOME)
def test_whoever_is_killed_the_mobile_node_is_back(done, variant):
    run = done[0][variant]
    assert run.status == "ok", run.reason


def test_the_outcome_tells_after_how_long_and_what(done):
    run = done[0]["ikev2-a-binding"]
    said = " s after the first step: A has its program killed and is started again"
    assert run.outcome.endswith(said)
    assert 2.0 < seconds(run) < 3.0
    assert run.recovery == pytest.approx(seconds(run), abs=0.051)


def test_an_attempt_waits_for_an_authentication_that_is_under_way(done):
    """IKE fails for want of a key, PANA by its deadline; then there is a new session."""
    assert done[0]["fast-s-ike"].attempts == 3
    assert 10.0 < seconds(done[0]["fast-s-ike"]) < 11.0


def test_a_router_that_lets_nobody_pass_is_noticed_where_the_home_agent_is_looked_for(done):
    """No liveness test is due: what is looked for in vain has the access router be asked."""
    run = done[0]["refused"]
    assert run.status == "ok", run.reason
    assert 12.0 < seconds(run) < 20.0


def test_parts_that_begin_anew_are_no_contradiction(done):
    assert not [text for text in done[1] if "capture and events differ" in text]


def test_a_step_that_never_begins_fails_the_run(done):
    run = done[0]["never"]
    assert (run.status, run.reason) == ("failed", "the bootstrap was over without B Terminated")


def test_who_is_not_started_again_serves_nobody(done):
    assert done[0]["dead"].status == "failed"
    assert done[0]["dead"].reason == "no binding within 20 s"


def test_the_phases_at_which_steps_may_be_are_those_that_are_measured():
    assert steps.PHASES == phases.PHASES
