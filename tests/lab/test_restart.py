"""Programs that are killed and started again on real kernels, which are clean then.

mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_restart.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import approaches
from agents.approaches import static
from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.ike import esp_states
from tests.lab.mobility_network import HOME_ADDRESS, HOME_AGENT, Network
from tests.lab.namespaces import Program, wait_until
from tests.lab.needs import needs
from topologies.paper import TOPOLOGY

pytestmark = needs("esp6", "mip6", "ip6_tunnel", "rpfilter")

IKEV1 = {"ikev1": {"mode": "aggressive"}, "ikev2": None}
MODES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "resident": ({}, {}),
    "script": (IKEV1, {**IKEV1, "launch": "script"}),
}
"""What is another than in the approach, in home network and mobile node."""


class Scenario(Network):
    """The approach `static`: home agent, home address and key are preconfigured."""

    def __init__(self, folder: Path, mode: str) -> None:
        super().__init__()
        self.folder = folder
        for name in ("configuration", "keys"):
            (folder / name).mkdir()
        settings = static.Settings()
        static.prepare(folder, settings, TOPOLOGY)
        home, mobile = static.compose(settings, TOPOLOGY, folder, folder)
        of_home, of_mobile = MODES[mode]
        address, prefix = HOME_AGENT, "2001:db8:100::/64"
        home_agent = {"address": address, "interface": "home", "prefix": prefix}
        changes = {"diameter_address": address, "home_agent": home_agent}
        self._home = self._write(home, changes | of_home)
        self._mobile = self._write(mobile, {"interface": "eth0"} | of_mobile)

    def _write(self, program: approaches.Program, changes: dict[str, object]) -> tuple[str, str]:
        path = self.folder / f"{program.name}.json"
        path.write_text(json.dumps(program.configuration | changes))
        return program.module, str(path)

    def home_network(self) -> Program:
        program = self.start(self.ha, *self._home)
        program.wait_for("Ready")
        return program

    def bootstrap(self) -> Program:
        return self.start(self.mn, *self._mobile)


@pytest.fixture(params=MODES)
def scenario(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    scenario = Scenario(tmp_path, request.param)
    yield scenario
    scenario.close()


def test_a_mobile_node_that_was_killed_registers_anew(scenario: Scenario) -> None:
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

CRASHES = """
name = "crashes"
approach = "pana-ikev2"
topology = "paper"
runs = 1
timeout = 60.0
attempts = 0
[links]
access.delay = 0.1
[settings]
duplicate_address_detection = false
pana_liveness = 3.0
crowd.patience = 3.0
binding_lifetime = 20.0
ike.liveness = 5.0
"""
VARIANT = """
[variants.{variant}]
steps = [
    {{ at = "pana", host = "{host}", run = "sh {script} > {place}/{host}-{kill}-fresh" }},
    {{ host = "{host}", run = "sh {script} > {place}/{host}-{kill}-registered" }},
    {{ host = "{host}", kill = "{kill}" }},
    {{ host = "{host}", run = "sh {script} > {place}/{host}-{kill}-dead" }},
    {{ host = "{host}", start = true, until = "{started}", timeout = 30.0 }},
    {{ host = "{host}", run = "sh {script} > {place}/{host}-{kill}-again" }},
    {{ host = "{host}", packets = 25, timeout = 60.0 }},
    {{ host = "{host}", run = "sh {script} > {place}/{host}-{kill}-back" }},
]
"""
STARTED = {"A": "A Started", "B": "B Ready", "C": "C Ready"}


@pytest.fixture(scope="module")
def kernels(place: Path) -> dict[str, dict[str, list[str]]]:
    """What each host's kernel had at each of these times, sorted, by variant and time."""
    script, path = place / "kernel.sh", place / "crashes.toml"
    script.write_text(KERNEL)
    names = [(host, kill) for host in STARTED for kill in ("program", "host")]
    variants = [
        VARIANT.format(
            variant=f"{host}-{kill}".lower(),
            host=host,
            kill=kill,
            script=script,
            place=place,
            started=STARTED[host],
        )
        for host, kill in names
    ]
    path.write_text(CRASHES + "".join(variants))
    outcome = carry_out_here(path, place / "results")
    assert not [(run.variant, run.reason) for run in outcome.results.failed]
    times = "fresh", "registered", "dead", "again", "back"
    return {
        f"{host}-{kill}": {
            time: sorted((place / f"{host}-{kill}-{time}").read_text().splitlines())
            for time in times
        }
        for host, kill in names
    }


@NEEDS
@pytest.mark.parametrize("host", STARTED)
def test_a_program_that_is_started_again_finds_the_kernel_of_a_fresh_start(
    kernels: dict[str, dict[str, list[str]]], host: str
) -> None:
    crash = kernels[f"{host}-program"]
    assert crash["dead"] == crash["registered"] != crash["fresh"]
    assert crash["again"] == crash["fresh"]
    assert crash["back"] == crash["registered"]


@NEEDS
@pytest.mark.parametrize("host", STARTED)
def test_a_host_that_has_lost_its_power_has_lost_all_that_its_kernel_knew(
    kernels: dict[str, dict[str, list[str]]], host: str
) -> None:
    outage = kernels[f"{host}-host"]
    usual = ["0:\tfrom all lookup local", "32766:\tfrom all lookup main"]
    assert [line for line in outage["dead"] if "ip6tnl0" not in line] == usual
    assert outage["again"] == outage["fresh"]
    assert outage["back"] == outage["registered"]
