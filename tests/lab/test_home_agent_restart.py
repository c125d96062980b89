"""A home agent that is ended or killed, and started again while one of its mobile nodes came home.

mip6lab exec --lab uml -- .venv/bin/pytest -s tests/lab/test_home_agent_restart.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.namespaces import Host, wait_until
from tests.lab.needs import needs
from tests.lab.static_network import StaticNetwork

pytestmark = needs("esp6", "mip6", "ip6_tunnel", "rpfilter", "bridge")

IKEV2 = {"authentication": "psk", "group": "x25519", "liveness": 5.0}
PATIENCE = 60.0


@pytest.fixture
def network(tmp_path: Path) -> Iterator[StaticNetwork]:
    of_home, of_mobile = {"ikev2": IKEV2}, {"ikev2": IKEV2, "binding_lifetime": 20.0}
    network = StaticNetwork(tmp_path, of_home, of_mobile, nodes=3)
    yield network
    network.close()


def intercepted(host: Host) -> str:
    """Return what a home agent's kernel does for home addresses, one that is at rest nothing."""
    shown = ("xfrm state", "xfrm policy", "-6 neigh show proxy", "-6 route show table all")
    kernel = "".join(host.run(f"ip {what}") for what in shown)
    return "\n".join(line for line in kernel.splitlines() if "2001:db8:100::12" in line)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
def test_after_a_restart_everybody_is_reachable_also_who_came_home_meanwhile(
    network: StaticNetwork, end: str
) -> None:
    ha = network.home_network()
    running = {node: network.bootstrap(node) for node in network.mobile_nodes}
    for program in running.values():
        program.wait_for("Bootstrapped")
    for address in network.home_addresses.values():
        wait_until(lambda at=address: network.cn.pings(at), f"{address} is reachable")
    if end == "SIGTERM":
        assert ha.stop() == 0
        assert intercepted(network.ha) == ""
    else:
        ha.close()
        assert network.home_addresses[network.mn] in intercepted(network.ha)

    home = network.mobile_nodes[-1]
    assert running[home].stop() == 0
    address = network.home_addresses[home]
    assert address not in home.run("ip -6 addr") + home.run("ip -6 rule")
    network.bring_home(home)
    home.run(f"ip -6 addr add {address}/64 dev home0 nodad")

    began = time.monotonic()
    network.home_network()
    print(f"{end}: the home agent is ready again after {time.monotonic() - began:.1f} s")
    for node in (home, *network.mobile_nodes[:-1]):
        at = network.home_addresses[node]
        wait_until(lambda at=at: network.cn.pings(at), f"{node.name} is reachable", PATIENCE)
        print(f"{end}: {node.name} is reachable after {time.monotonic() - began:.1f} s")
    assert network.home_addresses[home] not in intercepted(network.ha)
