"""The home agent's IKE as the script launches it: one daemon, several subscribers, real kernels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w

from tests.lab.ike import esp_states
from tests.lab.namespaces import Host, Program, Scene, wait_until
from tests.lab.needs import needs

AGENT = "2001:db8:5::1"
NODES = ("2001:db8:5::a", "2001:db8:5::b")
HOMES = ("2001:db8:100::a", "2001:db8:100::b")
NAMES = ("first@home.test", 'second"@home.test')

pytestmark = needs("esp6", "xfrm_user", "ip")


class Network(Scene):
    """A home agent and two mobile nodes, each on a cable of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__("c", "a", "b")
        self.c, *self.nodes = self.hosts
        self.trust_addresses()
        self.folder = folder
        for number, (node, address) in enumerate(zip(self.nodes, NODES, strict=True)):
            self.c.link(f"c{number}", node, "eth0")
            self.c.run(f"ip addr add {AGENT}/128 dev c{number} nodad")
            self.c.run(f"ip route add {address}/128 dev c{number}")
            node.run(f"ip addr add {address}/64 dev eth0 nodad")
        settings = json.dumps({"work": str(folder), "address": AGENT})
        self.agent = self.start(self.c, "tests.lab.launch_host", settings)
        self.agent.wait_for("Ready")

    def share(self, number: int, key: str) -> None:
        """Tell the home agent of a subscriber."""
        self.agent.command(f"share {NAMES[number]} {HOMES[number]} {NODES[number]} {key}")

    def connect(self, number: int, key: str) -> str:
        """Run a mobile node's IKE; return the event that it ends with."""
        psk = self.folder / f"psk{number}"
        psk.write_text(key)
        peer = {"address": AGENT, "home_address": HOMES[number], "psk_file": str(psk)}
        settings = {"host": "A", "local": NODES[number], "initiate": True, "peers": [peer]}
        path = self.folder / f"node{number}.toml"
        path.write_text(tomli_w.dumps(settings))
        program = self.start(self.nodes[number], "agents.nodes.ike_daemon.main", str(path))
        event = program.wait_for("ChildEstablished", "Discarded", "Failed")["event"]
        program.close()
        return str(event)

    def protected(self) -> set[str]:
        """Return the home addresses for which the home agent's kernel has SAs."""
        return {sa["dst"] for sa in esp_states(self.c)} & set(HOMES)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    yield network
    network.close()


def daemons(host: Host) -> list[str]:
    """Return the processes that have IKE's port, as the kernel knows its sockets."""
    return [line for line in host.run("ss -Hulpn").splitlines() if f"[{AGENT}]:500 " in line]


def test_subscribers_come_and_go_and_do_no_harm_to_each_other(network: Network) -> None:
    agent: Program = network.agent
    network.share(0, "one")
    agent.wait_for("IkeDaemonReady")
    (daemon,) = daemons(network.c)
    assert network.connect(0, "one") == "ChildEstablished"
    before = wait_until(lambda: esp_states(network.c), "the first pair")

    network.share(1, "two")
    assert network.connect(1, "two") == "ChildEstablished"
    wait_until(lambda: network.protected() == set(HOMES), "both pairs")
    assert all(sa in esp_states(network.c) for sa in before)
    assert daemons(network.c) == [daemon]

    agent.command(f"forget {NAMES[0]}")
    wait_until(lambda: network.protected() == {HOMES[1]}, "the first pair is gone")
    assert network.connect(0, "one") != "ChildEstablished"
    assert network.connect(1, "two") == "ChildEstablished"
    assert daemons(network.c) == [daemon]


def test_a_new_key_replaces_the_old_one_and_nothing_else(network: Network) -> None:
    network.share(0, "one")
    network.share(1, "two")  # While the daemon starts.
    network.agent.wait_for("IkeDaemonReady")
    assert network.connect(0, "one") == network.connect(1, "two") == "ChildEstablished"
    network.share(0, "next")
    wait_until(lambda: network.connect(0, "next") == "ChildEstablished", "the new key")
    assert network.connect(0, "one") != "ChildEstablished"
    assert network.protected() == set(HOMES)


def test_the_daemon_ends_with_an_owner_that_is_killed(network: Network) -> None:
    network.share(0, "one")
    network.agent.wait_for("IkeDaemonReady")
    network.agent.process.kill()
    wait_until(lambda: not daemons(network.c), "the daemon ends")
