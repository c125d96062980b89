"""What the access router's kernel counts, beside a capture of the same link."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from scapy.layers.inet6 import IPv6
from scapy.utils import rdpcap

from agents.core.usage import Usage
from agents.kernel.meter import LinuxMeter
from agents.kernel.port import KernelError
from tests.lab.namespaces import Scene, wait_until
from tests.lab.needs import needs

NODE, NEIGHBOUR, ROUTER = "2001:db8:a::2", "2001:db8:a::3", "2001:db8:a::1"
ROUTER_CORE, SERVER = "2001:db8:c::1", "2001:db8:c::2"

pytestmark = needs("cls_flower")


class Network(Scene):
    def __init__(self) -> None:
        super().__init__("node", "router", "server")
        self.node, self.router, self.server = self.hosts
        self.trust_addresses()
        self.router.link("access", self.node, "eth0")
        self.router.link("core", self.server, "eth0")
        for host, interface, address in (
            (self.node, "eth0", NODE),
            (self.node, "eth0", NEIGHBOUR),
            (self.router, "access", ROUTER),
            (self.router, "core", ROUTER_CORE),
            (self.server, "eth0", SERVER),
        ):
            host.run(f"ip -6 addr add {address}/64 dev {interface} nodad")
        self.node.run(f"ip -6 route add default via {ROUTER}")
        self.server.run(f"ip -6 route add default via {ROUTER_CORE}")
        self.router.run("sysctl -qw net.ipv6.conf.all.forwarding=1")
        wait_until(lambda: self.node.pings(SERVER), "a ping passes")
        self._know_each_other()
        self.meter = self.router.inside(lambda: LinuxMeter("access"))

    def _know_each_other(self) -> None:
        """Have nobody ask for a neighbour while packets are counted."""
        for asks, its, told, other in (
            (self.node, "eth0", self.router, "access"),
            (self.router, "access", self.node, "eth0"),
        ):
            mac = json.loads(told.run(f"ip -j link show dev {other}"))[0]["address"]
            for address in (ROUTER,) if asks is self.node else (NODE, NEIGHBOUR):
                asks.run(f"ip neigh replace {address} lladdr {mac} nud permanent dev {its}")

    def sends(self, source: str, *lengths: int) -> None:
        """Send datagrams to the server from an address of the node's."""

        def send() -> None:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.bind((source, 0))
                for length in lengths:
                    sock.sendto(bytes(length), (SERVER, 9))

        self.node.inside(send)

    def close(self) -> None:
        self.meter.close()
        super().close()


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


def captured(path: Path, address: str) -> Usage:
    """Return what a capture has from and to an address."""
    packets = [p[IPv6] for p in rdpcap(str(path)) if IPv6 in p]
    came = [40 + p.plen for p in packets if p.src == address]
    went = [40 + p.plen for p in packets if p.dst == address]
    return Usage(sum(came), len(came), sum(went), len(went))


def test_what_is_counted_is_what_the_link_carried(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "access.pcap"
    node = IPv6Address(NODE)
    network.meter.count(node)
    with network.router.capturing("access", "ip6", path):
        network.sends(NODE, 0, 1, 1000, 1400)
        network.sends(NEIGHBOUR, 500)
        assert network.node.pings(SERVER, "-I", NODE, "-s", "1200")
        assert network.node.pings(ROUTER, "-I", NODE)
        assert network.server.pings(NODE)  # By then all has arrived.
    counted = network.meter.usage(node)
    assert counted == captured(path, NODE)
    assert counted.input_packets >= 4 + 3


def test_who_is_not_counted_is_not_known(network: Network) -> None:
    node = IPv6Address(NODE)
    for _ in range(2):
        network.meter.count(node)
        network.sends(NODE, 10)
        wait_until(lambda: network.meter.usage(node).input_packets, "a packet is counted")
        assert network.meter.usage(node).input_octets == 40 + 8 + 10
        network.meter.forget(node)
        network.meter.forget(node)
        with pytest.raises(KernelError, match="not counted"):
            network.meter.usage(node)


def test_a_successor_begins_from_nothing(network: Network) -> None:
    node = IPv6Address(NODE)
    network.meter.count(node)
    network.sends(NODE, 10)
    wait_until(lambda: network.meter.usage(node).input_packets, "a packet is counted")
    network.meter.close()  # As if it were killed.
    network.meter = network.router.inside(lambda: LinuxMeter("access"))
    with pytest.raises(KernelError):
        network.meter.usage(node)
    network.meter.count(node)
    assert network.meter.usage(node) == Usage()
    assert network.router.run("tc filter show dev access ingress").count("handle") == 2


def test_many_are_counted_apart(network: Network) -> None:
    others = [IPv6Address(f"2001:db8:a::{number:x}") for number in range(0x100, 0x300)]
    for address in others:
        network.meter.count(address)
    network.meter.count(IPv6Address(NODE))
    network.sends(NODE, 10, 20)
    wait_until(lambda: network.meter.usage(IPv6Address(NODE)).input_packets == 2, "both counted")
    assert all(network.meter.usage(address) == Usage() for address in others)
    network.meter.release()
    assert network.router.run("tc filter show dev access egress").count("handle") == 0
