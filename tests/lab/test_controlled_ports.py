"""The controlled ports of IEEE 802.1X on a real kernel: two stations on a link, a host behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv6Network

import pytest

from agents.kernel.controlled_ports import EAPOL, LinuxControlledPorts
from agents.kernel.port import AccessLink
from tests.lab.namespaces import Scene, wait_until
from tests.lab.needs import needs

ALICE, BOB, ROUTER = "2001:db8:a::a", "2001:db8:a::b", "2001:db8:a::1"
STATION = {"alice": bytes.fromhex("02000000000a"), "bob": bytes.fromhex("02000000000b")}
SERVER, ROUTER_CORE = "2001:db8:c::2", "2001:db8:c::1"
PREFIX = IPv6Network("2001:db8:a::/64")

pytestmark = needs("veth", "bridge", "cls_flower")


class Network(Scene):
    """Alice and Bob at a switch with the router, and a server behind that."""

    def __init__(self) -> None:
        super().__init__("alice", "bob", "switch", "router", "server")
        self.alice, self.bob, self.switch, self.router, self.server = self.hosts
        self.trust_addresses()
        self.switch.run("ip link add bridge0 type bridge mcast_snooping 0 group_fwd_mask 8")
        self.switch.run("ip link set bridge0 up")
        for host, port in ((self.alice, "to-a"), (self.bob, "to-b"), (self.router, "to-r")):
            host.link("access", self.switch, port)
            self.switch.run(f"ip link set {port} master bridge0")
        for name, host in (("alice", self.alice), ("bob", self.bob)):
            host.run("ip link set access down")
            host.run(f"ip link set access address {STATION[name].hex(':')}")
            host.run("ip link set access up")
        self.router.link("core", self.server, "core")
        for host, interface, address in (
            (self.alice, "access", ALICE),
            (self.bob, "access", BOB),
            (self.router, "access", ROUTER),
            (self.router, "core", ROUTER_CORE),
            (self.server, "core", SERVER),
        ):
            host.run(f"ip -6 addr add {address}/64 dev {interface} nodad")
        for host in (self.alice, self.bob):
            host.run(f"ip -6 route add default via {ROUTER}")
        self.server.run(f"ip -6 route add default via {ROUTER_CORE}")
        self.router.run("sysctl -qw net.ipv6.conf.all.forwarding=1")
        for host in (self.alice, self.bob):
            wait_until(lambda host=host: host.pings(SERVER), "a ping passes")
        self.ports = self.made()

    def made(self) -> LinuxControlledPorts:
        return self.router.inside(lambda: LinuxControlledPorts(AccessLink("access", PREFIX)))


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.ports.close()
    network.close()


def test_only_the_authorised_station_passes_and_no_more_when_it_is_revoked(network):
    network.ports.close_access()
    assert not network.alice.pings(SERVER)
    network.ports.authorise(STATION["alice"])
    assert network.alice.pings(SERVER)
    assert network.server.pings(ALICE)
    assert not network.bob.pings(SERVER)
    assert not network.bob.pings(ROUTER)
    network.ports.authorise(STATION["bob"])
    network.ports.revoke(STATION["alice"])
    assert network.bob.pings(SERVER)
    assert not network.alice.pings(SERVER)
    assert not network.server.pings(ALICE)


def test_the_address_of_one_who_is_authorised_is_of_no_use_to_another(network):
    network.ports.close_access()
    network.ports.authorise(STATION["alice"])
    network.alice.run("ip link set access down")
    network.bob.run(f"ip -6 addr add {ALICE}/64 dev access nodad")
    assert not network.bob.pings(SERVER, "-I", ALICE)
    assert not network.bob.pings(ROUTER, "-I", ALICE)


def test_a_source_beside_the_prefix_does_not_pass(network):
    network.ports.close_access()
    network.ports.authorise(STATION["alice"])
    network.router.run("ip -6 route add 2001:db8:77::/64 via 2001:db8:a::a dev access")
    network.alice.run("ip -6 addr add 2001:db8:77::1/64 dev access nodad")
    assert not network.alice.pings(SERVER, "-I", "2001:db8:77::1")
    assert network.alice.pings(SERVER, "-I", ALICE)


def test_eapol_passes_either_way_whoever_sends_it(network):
    network.ports.close_access()

    def opened(interface: str) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EAPOL))
        sock.bind((interface, EAPOL))
        sock.settimeout(5.0)
        return sock

    router = network.router.inside(lambda: opened("access"))
    bob = network.bob.inside(lambda: opened("access"))
    with router, bob:
        start = bytes.fromhex("0180c2000003") + STATION["bob"] + b"\x88\x8e\x02\x01\0\0"
        bob.send(start)
        heard = router.recv(100)
        assert heard == start
        answer = STATION["bob"] + bytes.fromhex("02000000ffff") + b"\x88\x8e\x02\0\0\0"
        router.send(answer)
        assert bob.recv(100) == answer


def test_another_filter_takes_over_and_knows_nobody(network):
    network.ports.close_access()
    network.ports.authorise(STATION["alice"])
    network.ports.close()
    network.ports = network.made()
    network.ports.close_access()
    assert not network.alice.pings(SERVER)
    network.ports.authorise(STATION["alice"])
    network.ports.authorise(STATION["alice"])
    assert network.alice.pings(SERVER)


def test_what_is_released_is_open_and_leaves_nothing(network):
    network.ports.close_access()
    network.ports.authorise(STATION["alice"])
    network.ports.release()
    assert network.bob.pings(SERVER)
    for side in ("ingress", "egress"):
        assert "flower" not in network.router.run(f"tc filter show dev access {side}")
