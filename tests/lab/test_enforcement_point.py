"""The access filter on a real kernel: mobile node, access router and a host behind it.

Runs on most kernels, and in the uml lab.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network

import pytest

from agents.kernel.filter import LinuxEnforcementPoint
from agents.kernel.port import AccessLink
from tests.lab.namespaces import Host, Scene, wait_until
from tests.lab.needs import needs

NODE, ROUTER = "2001:db8:a::2", "2001:db8:a::1"
ROUTER_CORE, SERVER = "2001:db8:c::1", "2001:db8:c::2"
PREFIX = IPv6Network("2001:db8:a::/64")
PORTS = (716, 547, 999)

pytestmark = needs("policy_routing")


def listen(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::", port))
    sock.setblocking(False)
    return sock


class Network(Scene):
    def __init__(self) -> None:
        super().__init__("node", "router", "server")
        self.node, self.router, self.server = self.hosts
        self.router.link("access", self.node, "eth0")
        self.router.link("core", self.server, "eth0")
        for host, interface, address in (
            (self.node, "eth0", NODE),
            (self.router, "access", ROUTER),
            (self.router, "core", ROUTER_CORE),
            (self.server, "eth0", SERVER),
        ):
            host.run(f"ip -6 addr add {address}/64 dev {interface} nodad")
        self.node.run(f"ip -6 route add default via {ROUTER}")
        self.server.run(f"ip -6 route add default via {ROUTER_CORE}")
        self.router.run("sysctl -qw net.ipv6.conf.all.forwarding=1")
        wait_until(lambda: self.node.pings(SERVER), "a ping passes")
        self.rules = self.router.run("ip -6 rule")
        self.sockets = self.router.inside(lambda: {port: listen(port) for port in PORTS})
        access = AccessLink("access", PREFIX)
        self.filter = self.router.inside(lambda: LinuxEnforcementPoint(access))

    def reaches_router(self, port: int, source: str = NODE) -> bool:
        """Return whether a datagram from the node comes to the router's socket."""

        def send() -> None:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.bind((source, 0))
                sock.sendto(b"x", (ROUTER, port))

        self.node.inside(send)
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            try:
                return bool(self.sockets[port].recv(10))
            except BlockingIOError:
                time.sleep(0.01)
        return False

    def close(self) -> None:
        self.filter.close()
        for sock in self.sockets.values():
            sock.close()
        super().close()


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


def passes(network: Network) -> tuple[bool, bool, bool]:
    return (
        network.node.pings(SERVER),
        network.server.pings(NODE),
        network.reaches_router(999),
    )


def test_closed_but_for_network_access(network: Network) -> None:
    network.filter.close_access()
    network.node.run("ip -6 neigh flush dev eth0")  # Discovery starts anew, and must pass.
    network.router.run("ip -6 neigh flush dev access")
    assert passes(network) == (False, False, False)
    assert network.reaches_router(716)
    assert network.reaches_router(547)
    assert network.node.pings(ROUTER)
    assert network.router.pings(NODE)
    assert network.server.pings(ROUTER_CORE)


def test_pana_from_addresses_of_other_links_is_refused(network: Network) -> None:
    network.node.run("ip -6 addr add 2001:db8:77::2/128 dev eth0 nodad")
    assert network.reaches_router(716, "2001:db8:77::2")
    network.filter.close_access()
    assert not network.reaches_router(716, "2001:db8:77::2")
    assert network.reaches_router(716)


def test_authorised_and_revoked(network: Network) -> None:
    network.filter.close_access()
    for _ in range(2):  # The second time changes nothing.
        network.filter.authorise(IPv6Address(NODE))
    assert passes(network) == (True, True, True)
    network.filter.authorise(IPv6Address("2001:db8:a::77"))
    for _ in range(2):
        network.filter.revoke(IPv6Address(NODE))
    assert passes(network) == (False, False, False)


def test_the_authorisation_of_another_address_is_of_no_use(network: Network) -> None:
    network.filter.close_access()
    network.filter.authorise(IPv6Address("2001:db8:a::77"))
    assert passes(network) == (False, False, False)


def carries(sender: Host, source: str, receiver: Host, destination: str, port: int) -> bool:
    """Return whether a datagram from and to `port` gets through."""

    def bound(host: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind((host, port))
        sock.settimeout(0.5)
        return sock

    inbox = receiver.inside(lambda: bound(destination))
    outbox = sender.inside(lambda: bound(source))
    with inbox, outbox:
        try:
            outbox.sendto(b"x", (destination, port))
            return bool(inbox.recv(10))
        except (TimeoutError, PermissionError):
            return False


def through(network: Network, port: int) -> tuple[bool, bool]:
    """Return whether a port is open from the node to the server, and back."""
    node, server = network.node, network.server
    return (
        carries(node, NODE, server, SERVER, port),
        carries(server, SERVER, node, NODE, port),
    )


def test_a_pinhole_is_for_one_port_of_one_host(network: Network) -> None:
    network.filter.close_access()
    hole = (IPv6Address(NODE), IPv6Address(SERVER), 500)
    assert through(network, 500) == (False, False)
    for _ in range(2):
        network.filter.admit(*hole)
    assert through(network, 500) == (True, True)
    assert through(network, 501) == (False, False)
    assert passes(network) == (False, False, False)
    assert not carries(network.node, NODE, network.router, ROUTER_CORE, 500)
    for _ in range(2):
        network.filter.dismiss(*hole)
    assert through(network, 500) == (False, False)
    assert passes(network) == (False, False, False)


def test_a_pinhole_of_another_is_of_no_use(network: Network) -> None:
    network.filter.close_access()
    network.filter.admit(IPv6Address("2001:db8:a::77"), IPv6Address(SERVER), 500)
    network.filter.admit(IPv6Address(NODE), IPv6Address("2001:db8:c::77"), 500)
    assert through(network, 500) == (False, False)


def test_an_authorised_address_keeps_its_access_when_the_pinhole_closes(network: Network) -> None:
    network.filter.close_access()
    hole = (IPv6Address(NODE), IPv6Address(SERVER), 500)
    network.filter.admit(*hole)
    network.filter.authorise(IPv6Address(NODE))
    network.filter.dismiss(*hole)
    assert through(network, 500) == (True, True)
    assert passes(network) == (True, True, True)


def test_nothing_is_left(network: Network) -> None:
    for _ in range(2):
        network.filter.close_access()
    network.filter.authorise(IPv6Address(NODE))
    network.filter.admit(IPv6Address(NODE), IPv6Address(SERVER), 500)
    network.filter.release()
    assert network.router.run("ip -6 rule") == network.rules
    assert passes(network) == (True, True, True)
