"""Experiments that ship, as far as a kernel or a real server has a part in what they expect.

All of them are carried out by the simulator: tests/testbed/test_shipped_experiments.py.
"""

import shutil

import pytest

from testbed.base.places import PROJECT
from tests.lab.experiment import NEEDS, carry_out_here

pytestmark = NEEDS
EXPERIMENTS = PROJECT / "experiments"
VARIANTS = {
    "approaches": (),  # All. `direct` of pana_relay is in it too.
    "ha_balance": ("full",),
    "ha_choice": ("either-rather-local", "dhcpv6-home", "dhcpv6-local"),
    "pana_life": ("rfc5191", "ikev2", "pana-fast"),
    "pana_relay": ("routed-ikev2", "relayed"),
    "rekey": (),
    "rogue_router": ("impersonate-msk", "alter"),
    "route_optimisation": (),
}
SERVERS = {
    "approaches": ("kea-dhcp6", "nsd", "hostapd", "wpa_supplicant"),
    "ha_choice": ("kea-dhcp6",),
}


def comes_to_what_it_expects(outcome):
    assert not [(run.variant, run.reason) for run in outcome.results.failed]
    assert len(outcome.results.runs) == len(outcome.results.plan)


@pytest.mark.parametrize("name", VARIANTS)
def test_it_comes_to_what_it_expects(place, name):
    missing = [program for program in SERVERS.get(name, ()) if not shutil.which(program)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")

    outcome = carry_out_here(EXPERIMENTS / f"{name}.toml", place, variants=VARIANTS[name])

    comes_to_what_it_expects(outcome)


def test_keys_are_replaced_in_the_kernel_before_a_lifetime_ends(place, tmp_path):
    """Of 20 s one lifetime passes, where the experiment has three, each packet after 20 ms."""
    text = (EXPERIMENTS / "pana_life.toml").read_text()
    assert text.count("session_lifetime = 20") == text.count("packets = 3200") == 2
    path = tmp_path / "one-lifetime.toml"
    path.write_text(text.replace("packets = 3200", "packets = 1100"))

    outcome = carry_out_here(path, place, variants=("lifetimes", "lifetimes-ikev2"))

    comes_to_what_it_expects(outcome)
