"""A mobile node that is killed and started again, with its programs on real kernels.

mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_restart.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import approaches
from agents.approaches import static
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
