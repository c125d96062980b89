"""The access filter on a real kernel: mobile node, access router and a host behind it.

Runs on most kernels, and in the uml lab.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from agents.kernel.filter import LinuxEnforcementPoint
from agents.kernel.port import AccessLink
from tests.lab.namespaces import DEADLINE, Host, Scene, wait_until
from tests.lab.needs import needs

NODE, ROUTER = "2001:db8:a::2", "2001:db8:a::1"
ROUTER_CORE, SERVER = "2001:db8:c::1", "2001:db8:c::2"
PREFIX = IPv6Network("2001:db8:a::/64")
FAMILY = socket.AF_INET6
PORTS = (716, 547, 999)
NEIGHBOUR = "2001:db8:a::3"
STRANGER = "2001:db8:77::1"
MARK = b"unauthorised " * 90
"""What no packet may carry on: 1,170 octets."""

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
        self.trust_addresses()
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
        self.rules, self.routes = self.router.run("ip -6 rule"), self.all_routes()
        self.sockets = self.router.inside(lambda: {port: listen(port) for port in PORTS})
        access = AccessLink("access", PREFIX)
        self.filter = self.router.inside(lambda: LinuxEnforcementPoint(access))

    def all_routes(self) -> set[str]:
        """Return the router's routes, but for those that the kernel makes for itself."""
        routes = self.router.run("ip -6 route show table all").splitlines()
        return {route for route in routes if "proto kernel" not in route}

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
    """Return what gets through: from the node, to it, to the router. They are tried at once."""
    with ThreadPoolExecutor() as pool:
        tried = (
            pool.submit(network.node.pings, SERVER),
            pool.submit(network.server.pings, NODE),
            pool.submit(network.reaches_router, 999),
        )
        outwards, inwards, router = (attempt.result() for attempt in tried)
    return outwards, inwards, router


def test_closed_but_for_network_access(network: Network) -> None:
    network.filter.close_access()
    network.node.run("ip -6 neigh flush dev eth0")  # Discovery starts anew, and must pass.
    network.router.run("ip -6 neigh flush dev access")
    assert passes(network) == (False, False, False)
    assert network.reaches_router(716)
    assert network.reaches_router(547)
    assert not network.node.pings(ROUTER)
    assert network.router.pings(NODE)
    assert network.server.pings(ROUTER_CORE)


def test_pana_from_addresses_of_other_links_is_refused(network: Network) -> None:
    network.node.run("ip -6 addr add 2001:db8:77::2/128 dev eth0 nodad")
    assert network.reaches_router(716, "2001:db8:77::2")
    network.filter.close_access()
    assert not network.reaches_router(716, "2001:db8:77::2")
    assert network.reaches_router(716)


def test_a_connection_with_the_router_ends_with_the_authorisation(network: Network) -> None:
    network.filter.close_access()
    network.filter.authorise(IPv6Address(NODE))
    server = network.router.inside(lambda: socket.create_server((ROUTER, 0), family=FAMILY))
    place = server.getsockname()[:2]
    node = network.node.inside(lambda: socket.create_connection(place, DEADLINE))
    router, _ = server.accept()
    with server, node, router:
        router.settimeout(DEADLINE)
        for _ in range(2):  # The kernel remembers where packets of a connection went.
            node.sendall(b"x")
            assert router.recv(10) == b"x"
        network.filter.revoke(IPv6Address(NODE))
        node.sendall(b"y")
        router.settimeout(0.5)
        with pytest.raises(TimeoutError):
            router.recv(10)
        network.filter.authorise(IPv6Address(NODE))
        router.settimeout(DEADLINE)
        assert router.recv(10) == b"y"


def test_authorised_and_revoked(network: Network) -> None:
    network.filter.close_access()
    for _ in range(2):  # The second time changes nothing.
        network.filter.authorise(IPv6Address(NODE))
    assert passes(network) == (True, True, True)
    network.filter.authorise(IPv6Address("2001:db8:a::77"))
    for _ in range(2):
        network.filter.revoke(IPv6Address(NODE))
    assert passes(network) == (False, False, False)


def test_the_rules_are_as_many_for_all_who_are_authorised(network: Network) -> None:
    network.filter.close_access()
    rules = network.router.run("ip -6 rule")
    for number in range(2, 100):
        network.filter.authorise(PREFIX[number])
    assert network.router.run("ip -6 rule") == rules
    assert passes(network) == (True, True, True)
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
    assert network.all_routes() == network.routes
    assert passes(network) == (True, True, True)


class Tap:
    """Raw access to the link between a host and an interface of the router."""

    def __init__(self, host: Host, router: Host, interface: str) -> None:
        (link,) = json.loads(router.run(f"ip -j link show dev {interface}"))
        self._router = link["address"]
        self._socket = host.inside(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
        )
        self._socket.bind(("eth0", 0x86DD))
        self._socket.settimeout(0.3)

    def send(self, packet: Packet) -> None:
        """Send a packet to the router."""
        self._socket.send(bytes(Ether(dst=self._router, src="02:00:00:00:00:01") / packet))

    def hears(self, mark: bytes = MARK) -> bool:
        """Return whether a packet with the mark comes in; a packet of its own does not count."""
        while True:
            try:
                data, (_, _, kind, _, _) = self._socket.recvfrom(2000)
            except TimeoutError:
                return False
            if kind != socket.PACKET_OUTGOING and mark[:200] in data:
                return True

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def access_link(network: Network) -> Tap:
    return Tap(network.node, network.router, "access")


def core_link(network: Network) -> Tap:
    return Tap(network.server, network.router, "core")


def ping(source: str, destination: str) -> Packet:
    return IPv6(src=source, dst=destination) / ICMPv6EchoRequest(data=MARK)


def datagram(source: str, destination: str, port: int) -> Packet:
    return IPv6(src=source, dst=destination) / UDP(sport=port, dport=port) / MARK


@pytest.fixture
def closed(network: Network) -> Network:
    """The filter is closed, and no program listens on the router."""
    for port in PORTS:
        network.sockets[port].close()
    network.filter.close_access()
    return network


INWARDS = [
    packet
    for source in (SERVER, STRANGER, NEIGHBOUR, "fe80::bad", "::")
    for packet in (
        ping(source, ROUTER),
        ping(source, ROUTER_CORE),
        ping(source, "ff02::1"),
        IPv6(src=source, dst=ROUTER) / ICMPv6EchoReply(data=MARK),
        ping(source, SERVER),
        datagram(source, ROUTER, 547),
        datagram(source, "ff02::2", 547),
        datagram(source, ROUTER, 716),
        datagram(source, ROUTER_CORE, 716),
        datagram(source, SERVER, 716),
        datagram(source, SERVER, 547),
        IPv6(src=source, dst=ROUTER, nh=253) / MARK,
        IPv6(src=source, dst=SERVER, hlim=1) / UDP() / MARK,
    )
]


def test_nothing_of_an_unauthorised_host_leaves_in_an_answer(closed: Network) -> None:
    with access_link(closed) as node, core_link(closed) as server:
        for packet in INWARDS:
            node.send(packet)
        assert not server.hears()
        assert not node.hears()


def test_nothing_comes_in_by_an_answer(closed: Network) -> None:
    with access_link(closed) as node, core_link(closed) as server:
        for source in (NODE, NEIGHBOUR):
            for packet in (
                ping(source, ROUTER),
                ping(source, ROUTER_CORE),
                datagram(source, ROUTER_CORE, 9),
                datagram(source, ROUTER_CORE, 716),
            ):
                server.send(packet)
        for port in (9, 546, 716):
            server.send(datagram(SERVER, NODE, port))
        assert not node.hears()
        assert not server.hears()


def test_sources_of_the_access_prefix_come_from_there_alone(closed: Network) -> None:
    closed.filter.authorise(IPv6Address(NODE))
    closed.filter.authorise(IPv6Address(NEIGHBOUR))
    with access_link(closed) as node, core_link(closed) as server:
        server.send(ping(NEIGHBOUR, NODE))
        server.send(ping(NEIGHBOUR, ROUTER))
        assert not node.hears()


def test_an_unauthorised_host_does_not_reach_an_authorised_one(closed: Network) -> None:
    closed.node.run(f"ip -6 addr add {NEIGHBOUR}/64 dev eth0 nodad")
    closed.filter.authorise(IPv6Address(NEIGHBOUR))
    with access_link(closed) as node:
        for source in (NODE, SERVER, "fe80::bad"):
            node.send(ping(source, NEIGHBOUR))
            node.send(datagram(source, NEIGHBOUR, 547))
        assert not node.hears()
        node.send(ping(NEIGHBOUR, NEIGHBOUR))
        assert node.hears()  # What may pass would be heard.


def test_the_way_back_of_a_pinhole_does_not_begin_on_the_access_link(closed: Network) -> None:
    closed.node.run(f"ip -6 addr add {NEIGHBOUR}/64 dev eth0 nodad")
    closed.filter.admit(IPv6Address(NEIGHBOUR), IPv6Address(SERVER), 500)
    with access_link(closed) as node, core_link(closed) as server:
        node.send(datagram(SERVER, NEIGHBOUR, 500))
        assert not node.hears()
        server.send(datagram(SERVER, NEIGHBOUR, 500))
        assert node.hears()


def test_an_authorised_host_gets_answers_and_errors(closed: Network) -> None:
    closed.filter.authorise(IPv6Address(NODE))
    assert closed.node.pings(ROUTER)
    assert closed.node.pings(ROUTER_CORE)
    with access_link(closed) as node:
        node.send(datagram(NODE, ROUTER, 9))
        assert node.hears()


def test_the_router_itself_is_reached_and_reaches_all(closed: Network) -> None:
    assert closed.router.pings(NODE)
    assert closed.router.pings(SERVER, "-I", ROUTER)
    assert closed.server.pings(ROUTER_CORE)
    assert closed.server.pings(ROUTER)
    assert closed.router.pings("::1")
    assert closed.router.pings(ROUTER)


def test_who_was_not_let_in_is_shut_out_and_nobody_let_in_by_that(network: Network) -> None:
    """An authentication that fails ends like a session: the address may pass no more."""
    network.filter.close_access()
    routes = network.all_routes()
    network.filter.revoke(IPv6Address(NODE))
    assert network.all_routes() == routes
    assert passes(network) == (False, False, False)
    network.filter.authorise(IPv6Address(NEIGHBOUR))
    for address in (NODE, NEIGHBOUR, NEIGHBOUR):
        network.filter.revoke(IPv6Address(address))
    assert network.all_routes() == routes
    assert passes(network) == (False, False, False)


def test_what_a_killed_predecessor_left_goes(network: Network) -> None:
    network.router.run("ip -6 rule add pref 105 from 2001:db8:5::/64 table 55")
    network.router.run("ip -6 rule add pref 230 from 2001:db8:5::/64 table 55 protocol static")
    foreign = network.router.run("ip -6 rule")
    access = AccessLink("core", IPv6Network("2001:db8:c::/64"))
    predecessors = [
        network.router.inside(lambda link=link: LinuxEnforcementPoint(link))  # type: ignore[misc]
        for link in (AccessLink("access", PREFIX), access)
    ]
    for predecessor in predecessors:
        predecessor.close_access()
        predecessor.authorise(IPv6Address(NODE))
        predecessor.authorise(IPv6Address(NEIGHBOUR))
        predecessor.admit(IPv6Address(NODE), IPv6Address(SERVER), 500)
        predecessor.close()
    network.filter.close_access()
    rules, routes = network.router.run("ip -6 rule"), network.all_routes()
    assert passes(network) == (False, False, False)
    assert through(network, 500) == (False, False)
    assert set(foreign.splitlines()[1:]) <= set(rules.splitlines())  # But the usual first one.
    network.filter.close_access()
    assert network.router.run("ip -6 rule") == rules
    assert network.all_routes() == routes
    network.filter.authorise(IPv6Address(NODE))
    assert passes(network) == (True, True, True)
    network.filter.release()
    assert network.router.run("ip -6 rule") == foreign
    assert network.all_routes() == network.routes
