"""Experiments that ship, on the virtual clock: each variant comes to what its file expects.

What of them a kernel has a part in is carried out on one too: tests/lab/test_experiments.py.
"""

import pytest

from testbed.base.places import PROJECT
from testbed.results import folder as results
from tests.testbed.simulated import carry_out


@pytest.mark.parametrize(
    "name",
    [
        "ha_balance",
        "ha_choice",
        "pana_life",
        "pana_relay",
        "rekey",
        "rogue_router",
        "route_optimisation",
    ],
)
def test_it_comes_to_what_it_expects(name, tmp_path):
    text = (PROJECT / "experiments" / f"{name}.toml").read_text()

    done = results.load(carry_out(tmp_path, text, "--runs", "1"))

    assert not [(run.variant, run.reason) for run in done.failed]
    assert len(done.runs) == len(done.plan)
    if name == "rogue_router":
        [impersonated] = done.of("impersonate-msk")
        assert impersonated.outcome == "B Impersonated: 2001:db8:100::1"


def test_either_home_aaa_server_stands_in_for_the_other(tmp_path):
    """All but freeDiameter, which is a real program."""
    text = (PROJECT / "experiments" / "aaa_failover.toml").read_text()
    simulated = [line for line in text.splitlines() if not line.startswith("freediameter")]

    done = results.load(carry_out(tmp_path, "\n".join(simulated), "--runs", "1"))

    assert not [(run.variant, run.reason) for run in done.failed]
    assert len(done.runs) == len(done.plan) == 12
