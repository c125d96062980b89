"""The stand-ins for Kea and NSD answer as those did: octet by octet what was captured.

answers.json has queries and what Kea 2.2 and NSD 4.6 answered in user-mode Linux, with the settings
below.
"""

import json
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from agents.core.documents import fit
from agents.daemons.kea import DhcpServerConfiguration
from agents.daemons.nsd import DnsServerConfiguration
from agents.simulation.host import SimulatedHost
from agents.simulation.link import Link
from agents.simulation.servers import DhcpServer, DnsServer
from agents.simulation.stack import Interface, Stack
from agents.simulation.tcp import Tcp
from agents.simulation.world import World

ANSWERS = json.loads((Path(__file__).parent / "answers.json").read_text())
ADDRESS = "2001:db8:b::2"
ZONES = [
    {
        "domain": "home.test",
        "home_agents": [{"name": "ha.home.test", "addresses": ["2001:db8:100::1"]}],
    },
    {
        "domain": "two.test",
        "home_agents": [
            {"name": "ha2.two.test", "addresses": ["2001:db8:100::2"], "priority": 20},
            {
                "name": "ha1.two.test",
                "addresses": ["2001:db8:100::1"],
                "priority": 10,
                "weight": 5,
            },
        ],
    },
    {"domain": "lean.test", "home_agents": [{"name": "ha3.other.test"}]},
    {"domain": "other.test", "hosts": {"ha3.other.test": ["2001:db8:200::3"]}},
]
SETTINGS = {
    "plain": {},
    "local": {"local": {"address": "2001:db8:200::2"}},
    "unrelayed": {"relayed": False},
}


@pytest.fixture
def host():
    world = World()
    stack = Stack(world, "D")
    prefixes = (IPv6Network("2001:db8:b::/64"),)
    Interface(stack, "D-eth0", Link(world, "service"), (IPv6Address(ADDRESS),), prefixes, bytes(6))
    return SimulatedHost(stack, Tcp(stack))


@pytest.mark.parametrize("name", ANSWERS["nsd"])
def test_names_are_answered_as_by_nsd(host, name):
    settings = {"host": "D", "address": ADDRESS, "work": "/", "zones": ZONES}
    server = DnsServer(fit(settings, DnsServerConfiguration), host)
    captured = ANSWERS["nsd"][name]
    assert server.answer(bytes.fromhex(captured["query"])).hex() == captured["answer"]


@pytest.mark.parametrize(
    ("settings", "name"), [(s, name) for s in SETTINGS for name in ANSWERS["kea"][s]]
)
def test_relay_agents_are_answered_as_by_kea(host, settings, name):
    common = {"host": "D", "interface": "D-eth0", "work": "/", "address": ADDRESS}
    configuration = fit(common | SETTINGS[settings], DhcpServerConfiguration)
    captured = ANSWERS["kea"][settings][name]
    answer = DhcpServer(configuration, host).answer(bytes.fromhex(captured["query"]))
    assert answer.hex() == captured["answer"]


def test_what_is_no_query_gets_no_answer(host):
    settings = {"host": "D", "address": ADDRESS, "work": "/", "zones": ZONES}
    assert DnsServer(fit(settings, DnsServerConfiguration), host).answer(b"nothing") is None


def test_no_alteration_of_a_message_breaks_the_dhcpv6_server():
    world = World()
    server, asking = Stack(world, "D"), Stack(world, "B")
    link, prefix = Link(world, "service"), (IPv6Network("2001:db8:b::/64"),)
    here, there = IPv6Address(ADDRESS), IPv6Address("2001:db8:b::1")
    Interface(server, "D-eth0", link, (here,), prefix, bytes(6))
    Interface(asking, "B-eth0", link, (there,), prefix, bytes(5) + b"\1")
    common = {"host": "D", "interface": "D-eth0", "work": "/", "address": ADDRESS}
    DhcpServer(fit(common, DhcpServerConfiguration), SimulatedHost(server, Tcp(server)))
    query = bytes.fromhex(next(iter(ANSWERS["kea"]["plain"].values()))["query"])
    answers = []
    socket = SimulatedHost(asking, Tcp(asking)).open_datagrams(
        (str(there), 547), lambda data, _: answers.append(data)
    )
    for bit in range(8 * len(query)):
        socket.send((int.from_bytes(query) ^ 1 << bit).to_bytes(len(query)), (ADDRESS, 547))
        world.clock.run(world.clock.now + 1.0)
    assert 0 < len(answers) < 8 * len(query)
