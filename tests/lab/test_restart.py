"""Programs that are killed and started again on real kernels, which are clean then.

mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_restart.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.ike import esp_states
from tests.lab.mobility_network import HOME_ADDRESS, HOME_AGENT
from tests.lab.namespaces import wait_until
from tests.lab.needs import needs
from tests.lab.static_network import StaticNetwork

pytestmark = needs("esp6", "mip6", "ip6_tunnel", "rpfilter")

IKEV1 = {"ikev1": {"mode": "aggressive"}, "ikev2": None}
MODES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "resident": ({}, {}),
    "script": (IKEV1, {**IKEV1, "launch": "script"}),
}
"""What is another than in the approach, in home network and mobile node."""


@pytest.fixture(params=MODES)
def scenario(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StaticNetwork]:
    scenario = StaticNetwork(tmp_path, *MODES[request.param])
    yield scenario
    scenario.close()


def test_a_mobile_node_that_was_killed_registers_anew(scenario: StaticNetwork) -> None:
    scenario.home_network()
    first = scenario.bootstrap()
    first.wait_for("Bootstrapped")
    assert scenario.cn.pings(HOME_ADDRESS)
    first.close()
    assert esp_states(scenario.mn)

    scenario.router.run(f"ip -6 route add blackhole {HOME_AGENT}")
    second = scenario.bootstrap()
    wait_until(lambda: not esp_states(scenario.mn), "the old SAs are gone")
    assert f"from {HOME_ADDRESS}" not in scenario.mn.run("ip -6 rule")

    scenario.router.run(f"ip -6 route del blackhole {HOME_AGENT}")
    second.wait_for("Bootstrapped")
    told = [event["event"] for event in second.events]
    assert told.index("ChildEstablished") < told.index("BindingUpdateSent")
    wait_until(lambda: scenario.cn.pings(HOME_ADDRESS), "the mobile node is reachable")


KERNEL = """
set -e
ip xfrm state | sed -n 's/^src/state/p'
ip xfrm policy | sed -n 's/^src/policy/p'
ip -o link show type ip6tnl | cut -d: -f2
ip -6 neigh show proxy
ip -6 rule
ip -6 address show dev lo | sed -n '/inet6/p'
ip -6 route show table all | sed -e 's/ expires [0-9]*sec//' -e '/fe80\\|multicast\\|ff00/d'
"""
"""Prints what programs have a kernel do, without SPIs and keys; a line each."""

SOCKET_POLICY = "policy ::/0 dst ::/0 "
"""The policy of a socket, prefix discovery's, which ends with its program."""

CRASHES = """
name = "crashes"
approach = "pana-ikev2"
topology = "paper"
runs = 1
[links]
access.delay = 0.1
[settings]
duplicate_address_detection = false
pana_liveness = 3.0
crowd.patience = 3.0
binding_lifetime = 20.0
ike.liveness = 5.0
[variants.killed]
steps = [
"""
LOOK = '{{ host = "{host}", run = "sh {place}/kernel.sh > {place}/{host}-{kill}-{time}" }},\n'
CRASH = """
    {{ host = "{host}", kill = "{kill}" }},
    {dead}
    {{ host = "{host}", start = true, until = "{started}", timeout = 30.0 }},
    {again}
    {{ host = "{host}", packets = 25, timeout = 60.0 }},
    {back}
"""
STARTED = {"A": "A Started", "B": "B Ready", "C": "C Ready"}
Kernel = dict[tuple[str, str], list[str]]


@pytest.fixture(scope="module", params=STARTED)
def kernel(place: Path, request: pytest.FixtureRequest) -> Kernel:
    """What a host's kernel had, sorted, by what was killed ("" before that) and when."""
    host = request.param
    (place / "kernel.sh").write_text(KERNEL)

    def look(kill: str, time: str) -> str:
        return LOOK.format(host=host, place=place, kill=kill, time=time)

    steps = look("", "before")
    for kill in ("program", "host"):
        looks = {time: look(kill, time) for time in ("dead", "again", "back")}
        steps += CRASH.format(host=host, kill=kill, started=STARTED[host], **looks)
    path = place / f"{host}.toml"
    path.write_text(f"{CRASHES}{steps}]\n")
    outcome = carry_out_here(path, place / "results")
    assert not [(run.variant, run.reason) for run in outcome.results.failed]
    return {
        (kill, time): sorted(found.read_text().splitlines())
        for found in place.glob(f"{host}-*-*")
        for _, kill, time in [found.name.split("-")]
    }


@NEEDS
def test_a_program_that_is_started_again_has_the_kernel_of_a_fresh_start(kernel: Kernel) -> None:
    left = [line for line in kernel["", "before"] if line != SOCKET_POLICY]
    assert kernel["program", "dead"] == left
    assert kernel["program", "again"] == kernel["host", "again"] != kernel["", "before"]
    assert kernel["program", "back"] == kernel["", "before"]


@NEEDS
def test_a_host_that_has_lost_its_power_has_lost_all_that_its_kernel_knew(kernel: Kernel) -> None:
    usual = ["0:\tfrom all lookup local", "32766:\tfrom all lookup main"]
    assert [line for line in kernel["host", "dead"] if "ip6tnl0" not in line] == usual
    assert kernel["host", "back"] == kernel["", "before"]
