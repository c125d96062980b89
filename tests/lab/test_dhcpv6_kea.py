"""Home agents from Kea on real sockets: mobile node, access router with relay agent, DHCPv6 server.

Each host is a network namespace.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w

from agents.shell.duid import node_duid
from tests.lab.namespaces import DEADLINE, Host, Program, Scene, wait_until
from tests.lab.needs import needs
from tests.wireshark import FAULTS, rows

HOST_PROGRAM = "tests.lab.discovery_host"
CARE_OF, ROUTER = "2001:db8:a::ff:fe00:a", "2001:db8:a::1"
CHOSEN = "2001:db8:a::2"  # Not made from the interface's MAC address.
ROUTER_CORE, SERVER = "2001:db8:c::1", "2001:db8:c::2"
LOCAL_AGENT, HOME_AGENT = "2001:db8:99::1", "2001:db8:100::1"
LOCAL = {"address": LOCAL_AGENT}

pytestmark = needs("kea-dhcp6")


class Network(Scene):
    """Mobile node A, access router B, DHCPv6 server D."""

    def __init__(self, folder: Path) -> None:
        super().__init__("a", "b", "d")
        self.a, self.b, self.d = self.hosts
        self.folder, self.work = folder, folder / "kea"
        for host in (self.a, self.b):  # The server's role waits for its addresses.
            host.run("sysctl -qw net.ipv6.conf.default.accept_dad=0")
        self.a.run("ip link add A-eth0 address 02:00:00:00:00:0a type veth peer name access")
        self.a.run(f"ip link set access netns {self.b.pid}")
        self.a.run("ip link set A-eth0 up")
        self.b.run("ip link set access up")
        self.b.link("core", self.d, "D-eth0")
        for host, interface, address in (
            (self.a, "A-eth0", CARE_OF),
            (self.b, "access", ROUTER),
            (self.b, "core", ROUTER_CORE),
            (self.d, "D-eth0", SERVER),
        ):
            host.run(f"ip -6 addr add {address}/64 dev {interface}")

    def server(self, **options: object) -> Program:
        work = self.work
        work.mkdir(exist_ok=True)
        settings = {"host": "D", "interface": "D-eth0", "work": str(work), "address": SERVER}
        path = self.folder / "server.toml"
        path.write_text(tomli_w.dumps(settings | options))
        program = self.start(self.d, "agents.daemons.kea", str(path))
        program.wait_for("Ready")
        return program

    def relay(self, assigned: dict[str, list[object]], **server: str) -> Program:
        options: dict[str, object] = {
            "assigned": assigned,
            "interface": "access",
            "link_address": ROUTER,
            "server_interface": "core",
            "address": ROUTER_CORE,
            **server,
        }
        program = self.start(self.b, HOST_PROGRAM, "relay", json.dumps(options))
        program.wait_for("Ready")
        return program

    def ask(self, host: Host, interface: str, *homes: str, **options: str) -> dict[str, object]:
        """Run a client to its end; return how it ended."""
        settings = {"interface": interface, "homes": homes, **options}
        client = self.start(host, HOST_PROGRAM, "client", json.dumps(settings))
        outcome = client.wait_for("HomeAgentLearned", "Failed")
        client.close()
        assert "Discarded" not in [event["event"] for event in client.events]
        return outcome


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    yield network
    network.close()


@pytest.fixture(scope="module")
def network_of_a_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("served"))
    network.server(local={**LOCAL, "fqdn": "ha.visited.test"})
    yield network
    network.close()


@pytest.fixture
def served(network_of_a_module: Network) -> Iterator[Network]:
    """A network whose server tells a home agent of its own; programs that a test starts end."""
    before = len(network_of_a_module.programs)
    yield network_of_a_module
    for program in network_of_a_module.programs[before:]:
        program.close()
    del network_of_a_module.programs[before:]


def test_kea_tells_its_own_home_agent_on_its_link(served: Network) -> None:
    learned = served.ask(served.b, "core", "LOCAL")
    assert learned["event"] == "HomeAgentLearned", learned
    assert learned["addresses"] == [LOCAL_AGENT]
    assert learned["local"] is True
    assert learned["fqdn"] == "ha.visited.test"
    assert learned["prefix"] == "2001:db8:99::/64"


@pytest.mark.parametrize(
    ("known_as", "source"),
    [(CARE_OF, "::"), (CARE_OF, CARE_OF), ("fe80::ff:fe00:a", "::")],
)
def test_the_home_agent_of_the_aaa_server_passes_through_kea(
    served: Network, known_as: str, source: str
) -> None:
    relay = served.relay({known_as: [HOME_AGENT, 64]}, server=SERVER)
    learned = served.ask(served.a, "A-eth0", "IDENTIFIED", source=source)
    assert learned["event"] == "HomeAgentLearned", learned
    assert learned["addresses"] == [HOME_AGENT]
    assert learned["local"] is False
    assert relay.wait_for("Forwarded")["supplied"] is True
    assert relay.wait_for("Returned")["message"] == "Reply"


def test_a_mobile_node_asks_from_the_address_that_was_authenticated(network: Network) -> None:
    network.a.run(f"ip -6 addr del {CARE_OF}/64 dev A-eth0")
    network.a.run(f"ip -6 addr add {CHOSEN}/64 dev A-eth0")
    network.server()
    relay = network.relay({CHOSEN: [HOME_AGENT, 64]}, server=SERVER)
    node = network.start(network.a, HOST_PROGRAM, "mobile_node", '{"interface": "A-eth0"}')
    assert node.wait_for("Found", "NotFound").get("home_agent") == HOME_AGENT
    assert relay.wait_for("Forwarded")["client"] == CHOSEN
    # From its link-local address, which nobody has vouched for, it is a stranger.
    failed = network.ask(network.a, "A-eth0", "IDENTIFIED")
    assert "no home network information" in str(failed["reason"])


def test_hosts_of_one_machine_have_duids_of_their_own(network: Network) -> None:
    network.d.run("ip link add A-eth0 address 02:00:00:00:00:0d type veth peer name other")
    a, d = (host.inside(lambda: node_duid("A-eth0")) for host in (network.a, network.d))
    assert a != d
    assert network.a.inside(lambda: node_duid("A-eth0")) == a


FORGE = """
import socket, sys
from ipaddress import IPv6Address
from agents.dhcpv6.wire import MessageType, Option, RelayMessage
to, peer = sys.argv[1:]
options = (Option(18, b"access"), Option(9, b"forged"))
message = RelayMessage(MessageType.RELAY_REPLY, 0, IPv6Address(0), IPv6Address(peer), options)
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.sendto(message.encode(), (to, 547))
"""


def test_a_relay_agent_takes_relay_replies_from_the_servers_side_alone(network: Network) -> None:
    relay = network.relay({}, server=SERVER)
    forge = [sys.executable, "-c", FORGE]
    # The relay agent's address towards the servers can be reached from the access link too.
    network.a.run(f"ip -6 route add {ROUTER_CORE} via {ROUTER}")
    subprocess.run(network.a.command(*forge, ROUTER_CORE, CARE_OF), check=True, timeout=DEADLINE)
    event = relay.wait_for("Discarded", "Returned")
    assert event["reason"] == "Relay-reply from the access link"
    # A server has more addresses than the one that was asked.
    network.d.run("ip -6 addr add 2001:db8:c::d2/64 dev D-eth0 nodad")
    subprocess.run(network.d.command(*forge, ROUTER_CORE, CARE_OF), check=True, timeout=DEADLINE)
    assert relay.wait_for("Returned")["client"] == CARE_OF


def test_keas_own_home_agent_passes_through_the_relay_agent(served: Network) -> None:
    served.relay({CARE_OF: [HOME_AGENT, 64]}, server=SERVER)
    learned = served.ask(served.a, "A-eth0", "LOCAL")
    assert learned["addresses"] == [LOCAL_AGENT], learned
    assert learned["local"] is True
    # Both are there for one who asks for both; it takes what it prefers.
    learned = served.ask(served.a, "A-eth0", "IDENTIFIED", "LOCAL")
    assert learned["addresses"] == [HOME_AGENT], learned


def test_an_unnamed_home_network_passes_through_kea(network: Network) -> None:
    network.server()
    network.relay({CARE_OF: [HOME_AGENT, 48]}, server=SERVER)
    learned = network.ask(network.a, "A-eth0", "UNRESTRICTED")
    assert learned["addresses"] == [HOME_AGENT], learned


def test_without_home_agents_the_client_is_told_so(network: Network) -> None:
    network.server(relayed=False)
    network.relay({CARE_OF: [HOME_AGENT, 64]}, server=SERVER)
    failed = network.ask(network.a, "A-eth0", "IDENTIFIED", "LOCAL")
    assert failed["event"] == "Failed"
    assert "no home network information" in str(failed["reason"])


def test_without_a_server_the_client_gives_up(network: Network) -> None:
    network.relay({}, server=SERVER)
    failed = network.ask(network.a, "A-eth0", "LOCAL")
    assert failed["reason"] == "no valid Reply within 5 s"


def test_all_servers_of_the_site_are_asked_where_none_is_named(network: Network) -> None:
    network.relay({})
    capture = network.folder / "core.pcap"
    with network.d.capturing("D-eth0", "udp", capture):
        network.ask(network.a, "A-eth0", "LOCAL")
    asked = set(rows(capture, "ipv6.dst", "ipv6.hlim", where="dhcpv6"))
    assert asked == {"ff05::1:3\t8"}  # RFC 8415 section 19.


def test_tshark_finds_no_fault(served: Network) -> None:
    served.relay({CARE_OF: [HOME_AGENT, 64]}, server=SERVER)
    capture = served.folder / "core.pcap"
    with served.b.capturing("any", "udp", capture):
        served.ask(served.a, "A-eth0", "IDENTIFIED", "LOCAL")
        served.b.run(f"ping -c1 -W5 {SERVER}")
    assert rows(capture, "frame.number", where=FAULTS) == []
    assert rows(capture, "dhcpv6.msgtype", where="dhcpv6") == ["11", "12,11", "13,7", "7"]


def test_the_server_ends_with_its_role(network: Network) -> None:
    program = network.server()
    daemon = int(str(program.events[-1]["daemon"]))
    assert program.stop() == 0
    assert not Path(f"/proc/{daemon}").exists()


def test_the_server_does_not_outlive_a_role_that_is_killed(network: Network) -> None:
    program = network.server()
    daemon = Path(f"/proc/{program.events[-1]['daemon']}/cmdline")
    program.close()
    wait_until(lambda: not (daemon.exists() and b"kea" in daemon.read_bytes()), "Kea ends")


def test_the_number_of_a_kea_that_was_killed_keeps_no_other_out(
    network: Network,
) -> None:
    network.work.mkdir()
    left = network.work / "kea-dhcp6.kea-dhcp6.pid"
    left.write_text(f"{os.getpid()}\n")  # Another process has its number now.
    network.server()
    assert int(left.read_text()) != os.getpid()


def test_a_daemon_that_dies_ends_its_role_with_its_last_words(network: Network) -> None:
    program = network.server()
    os.kill(int(str(program.events[-1]["daemon"])), signal.SIGKILL)
    assert program.process.wait(DEADLINE) == 2
