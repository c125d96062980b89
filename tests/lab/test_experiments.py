"""The experiments that ship: each variant comes to what its file expects."""

import shutil

import pytest

from testbed.base.places import PROJECT
from tests.lab.experiment import NEEDS, carry_out_here

pytestmark = NEEDS
SERVERS = {
    "approaches": ["kea-dhcp6", "nsd"],
    "ha_balance": [],
    "ha_choice": ["kea-dhcp6"],
    "pana_life": [],
    "pana_relay": [],
    "rekey": [],
    "rogue_router": [],
}


@pytest.mark.parametrize("name", SERVERS)
def test_it_comes_to_what_it_expects(place, name):
    missing = [program for program in SERVERS[name] if not shutil.which(program)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")

    outcome = carry_out_here(PROJECT / "experiments" / f"{name}.toml", place)

    assert not [(run.variant, run.reason) for run in outcome.results.failed]
    assert len(outcome.results.runs) == len(outcome.results.plan)
