"""The experiments that ship: each variant comes to what its file expects."""

import shutil

import pytest

from testbed.results import PROJECT
from tests.lab.experiment import NEEDS, carry_out_here

pytestmark = NEEDS
SHIPPED = ["approaches", "ha_choice", "pana_life", "rekey", "rogue_router"]


@pytest.mark.parametrize("name", SHIPPED)
def test_it_comes_to_what_it_expects(place, name):
    if name == "approaches" and not (shutil.which("kea-dhcp6") and shutil.which("nsd")):
        pytest.skip("kea-dhcp6 or nsd is not installed")

    outcome = carry_out_here(PROJECT / "experiments" / f"{name}.toml", place)

    assert not [(run.variant, run.reason) for run in outcome.results.failed]
    assert len(outcome.results.runs) == outcome.planned
