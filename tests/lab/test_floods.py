"""A mobile node is served while a stranger floods the node that it needs."""

import pytest

from testbed.base.places import PROJECT
from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.needs import needs

pytestmark = [NEEDS, needs("bridge")]
ATTACKED = {
    "pana-start": "B-access_router",
    "ikev2-init": "C-home_agent",
    "binding-updates": "C-home_network",
}


@pytest.fixture(scope="module")
def runs(place):
    outcome = carry_out_here(PROJECT / "experiments" / "floods.toml", place, variants=ATTACKED)
    return {run.variant: run for run in outcome.results.runs}


@pytest.mark.parametrize("variant", ATTACKED)
def test_the_flood_lasts_and_what_it_takes_is_recorded(runs, variant):
    run = runs[variant]

    assert run.flood["attempts"] > 600
    assert run.flood["sent"] >= run.flood["attempts"]
    assert run.programs[ATTACKED[variant]]["seconds"] > 0
    assert 10 << 20 < run.programs[ATTACKED[variant]]["memory"] < 500 << 20


@pytest.mark.parametrize("variant", ATTACKED)
def test_the_mobile_node_is_served_and_the_stranger_gets_no_binding(runs, variant):
    run = runs[variant]

    assert (run.status, run.reason) == ("ok", None)
    assert run.flood["accepted"] == 0
