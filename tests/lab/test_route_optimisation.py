"""Route optimisation on real kernels: mobile node, home agent, and a correspondent node elsewhere.

Each host is a network namespace; ESP keys are static. The correspondent node and a stranger are
near the router of the visited network: what goes by way of the home agent takes two links more.

    mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_route_optimisation.py
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet6 import HAO, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, PadN

from agents.mip6.binding_keys import binding_key, nonce_indices, sealed
from agents.mip6.codec import (
    PROTOCOL,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    checksum,
    decode,
    encode,
)
from tests.lab.mobility_network import CARE_OF, HOME_ADDRESS, OTHER_CARE_OF, Network
from tests.lab.namespaces import DEADLINE, Host, Program, wait_until
from tests.lab.needs import needs
from tests.wireshark import FAULTS, rows, tshark

pytestmark = needs("esp6", "mip6", "ip6_tunnel")

NEAR, STRANGER = "2001:db8:d::c", "2001:db8:e::e"
COOKIE = bytes(8)
HOME, CN = IPv6Address(HOME_ADDRESS), IPv6Address(NEAR)


class RouteNetwork(Network):
    """The network, with a correspondent node and a stranger near the mobile node."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.stranger = Host("near"), Host("stranger")
        self.hosts += [self.near, self.stranger]
        self.trust_addresses()
        for host, link, address in (
            (self.near, "near", NEAR),
            (self.stranger, "strange", STRANGER),
        ):
            gateway = f"{address[:-1]}1"
            host.link("eth0", self.router, link)
            host.run(f"ip -6 addr add {address}/64 dev eth0 nodad")
            self.router.run(f"ip -6 addr add {gateway}/64 dev {link} nodad")
            host.run(f"ip -6 route add default via {gateway}")
        wait_until(lambda: self.mn.pings(NEAR, "-I", CARE_OF), "a ping passes")

    def correspondent(self, folder: Path, **options: Any) -> Program:
        path = folder / "correspondent.json"
        path.write_text(json.dumps({"host": "near", "address": NEAR, **options}))
        program = self.start(self.near, "agents.nodes.correspondent.main", str(path))
        program.wait_for("Ready")
        return program

    def routed_node(self) -> Program:
        options = {"home_address": HOME_ADDRESS, "care_of": CARE_OF, "lifetime": 420}
        mn = self._start(self.mn, "mn", routed=True, **options)
        mn.command("start")
        mn.wait_for("BindingAccepted")
        return mn

    def is_direct(self) -> bool:
        """Return whether packets pass while none for the home network does."""
        home = "2001:db8:100::/64"
        self.router.run(f"ip -6 route add prohibit {home}")
        try:
            return self.near.pings(HOME_ADDRESS)
        finally:
            self.router.run(f"ip -6 route del {home}")


@pytest.fixture
def network() -> Iterator[RouteNetwork]:
    network = RouteNetwork()
    yield network
    network.close()


def optimised(network: RouteNetwork, folder: Path, **options: Any) -> tuple[Program, Program]:
    network.home_agent()
    cn, mn = network.correspondent(folder, **options), network.routed_node()
    assert network.near.pings(HOME_ADDRESS)  # By way of the home agent.
    mn.wait_for("RouteOptimised")
    return cn, mn


def test_packets_take_the_direct_way_both_ways_once_both_addresses_are_tested(
    network: RouteNetwork, tmp_path: Path
) -> None:
    capture, at_home = tmp_path / "mn.pcap", tmp_path / "ha.pcap"
    with (
        network.mn.capturing("eth0", "ip6", capture),
        network.ha.capturing("core", "ip6", at_home),
    ):
        cn, _ = optimised(network, tmp_path)
        assert cn.wait_for("CorrespondentBindingCreated")["care_of"] == CARE_OF
        assert network.near.pings(HOME_ADDRESS, "-s", "700")
        assert network.mn.pings(NEAR, "-I", HOME_ADDRESS, "-s", "700")
        assert network.near.pings(CARE_OF)
    kinds = rows(capture, "mip6.mhtype", where="mipv6 && ipv6.addr == " + NEAR)
    assert sorted(kinds) == list("123456")
    fields = ("ipv6.src", "ipv6.dst", "ipv6.opt.type", "ipv6.routing.type")
    update, ack = rows(capture, *fields, where=f"mip6.mhtype in {{5,6}} && ipv6.addr == {NEAR}")
    assert update.split("\t")[0].split(",")[0] == CARE_OF
    assert ack.split("\t")[3] == "2"
    assert not tshark(capture, "-Y", FAULTS)
    # Payload of 700 octets: none of it went through the home agent.
    assert not rows(at_home, "frame.number", where="icmpv6.type in {128,129} && frame.len > 700")
    assert network.is_direct()


def test_the_route_follows_the_care_of_address(network: RouteNetwork, tmp_path: Path) -> None:
    cn, mn = optimised(network, tmp_path)
    mn.command(f"move {OTHER_CARE_OF}")
    mn.wait_for("RouteLost")
    mn.wait_for("RouteOptimised")
    assert cn.wait_for("CorrespondentBindingUpdated")["care_of"] == OTHER_CARE_OF
    network.router.run(f"ip -6 route add prohibit {CARE_OF}")  # The old one leads nowhere.
    assert network.is_direct()


def test_an_option_without_a_binding_brings_a_binding_error_and_the_way_home(
    network: RouteNetwork, tmp_path: Path
) -> None:
    cn, mn = optimised(network, tmp_path)
    cn.process.kill()
    cn.process.wait()
    with network.mn.capturing("eth0", "ip6", tmp_path / "mn.pcap"):
        cn = network.correspondent(tmp_path)  # It has forgotten all.
        network.mn.pings(NEAR, "-I", HOME_ADDRESS)  # This one is lost.
        assert cn.wait_for("UnknownBinding")["home_address"] == HOME_ADDRESS
        mn.wait_for("RouteLost")
        mn.wait_for("RouteOptimised")
        assert network.mn.pings(NEAR, "-I", HOME_ADDRESS)
        network.near.pings(CARE_OF)
    errors = rows(tmp_path / "mn.pcap", "ipv6.dst", "mip6.be.status", where="mip6.mhtype == 7")
    assert errors == [f"{CARE_OF}\t1"]
    assert not tshark(tmp_path / "mn.pcap", "-Y", FAULTS)


def test_a_refresh_is_asked_for_while_the_mobile_node_sleeps(
    network: RouteNetwork, tmp_path: Path
) -> None:
    cn, mn = optimised(network, tmp_path, lifetime=16)
    os.kill(mn.process.pid, signal.SIGSTOP)
    with network.mn.capturing("eth0", "ip6", tmp_path / "mn.pcap"):
        assert network.near.pings(HOME_ADDRESS)  # The kernel answers; the binding is in use.
        cn.wait_for("RefreshRequested")
        os.kill(mn.process.pid, signal.SIGCONT)
        cn.wait_for("CorrespondentBindingUpdated")
        network.near.pings(CARE_OF)
    requests = rows(tmp_path / "mn.pcap", "ipv6.routing.type", where="mip6.mhtype == 0")
    assert requests[:1] == ["2"]
    assert not tshark(tmp_path / "mn.pcap", "-Y", FAULTS)


def test_what_ends_leaves_nothing_behind(network: RouteNetwork, tmp_path: Path) -> None:
    cn, mn = optimised(network, tmp_path)
    mn.command("stop")
    assert cn.wait_for("CorrespondentBindingRemoved")["cause"] == "removed"
    mn.wait_for("CorrespondentForgotten")
    assert mn.process.stdin
    mn.process.stdin.close()
    mn.wait_for("Released")
    assert mn.process.wait(DEADLINE) == cn.stop() == 0
    for host in (network.mn, network.near):
        assert host.run("ip xfrm state") == host.run("ip xfrm policy") == ""


# Those who have not heard what they would have to.


class Stranger:
    """Sends Mobility Headers of its own making from a host, and hears those that come to it."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @contextmanager
    def _sockets(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        with (
            socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as out,
            socket.socket(socket.AF_INET6, socket.SOCK_RAW, PROTOCOL) as heard,
        ):
            heard.settimeout(1.0)
            yield out, heard

    def asks(self, message: HomeTestInit | CareOfTestInit) -> HomeTest | CareOfTest:
        """Have an address test of its own address carried out."""

        def work() -> bytes:
            with self._sockets() as (_, heard):
                heard.sendto(encode(message), (NEAR, 0))
                return heard.recv(2048)

        answer = decode(self._host.inside(work))
        assert isinstance(answer, HomeTest | CareOfTest)
        return answer

    def says(self, data: bytes, home: IPv6Address = HOME, care_of: str = STRANGER) -> list[bytes]:
        """Send a Mobility Header with a Home Address option; return what comes back."""
        number = checksum(home, CN, data).to_bytes(2)
        header = data[:4] + number + data[6:]
        option = IPv6ExtHdrDestOpt(nh=PROTOCOL, options=[PadN(optdata=b"\0\0"), HAO(hoa=str(home))])
        packet = bytes(IPv6(src=care_of, dst=NEAR, hlim=64) / option / header)

        def work() -> list[bytes]:
            with self._sockets() as (out, heard):
                out.sendto(packet, (NEAR, 0))
                try:
                    return [heard.recv(2048)]
                except TimeoutError:
                    return []

        return self._host.inside(work)


def update(home: bytes, care_of: bytes, indices: tuple[int, int], to: str = STRANGER) -> bytes:
    message = BindingUpdate(
        9,
        400,
        home_registration=False,
        care_of=IPv6Address(to),
        options=(nonce_indices(*indices),),
    )
    return sealed(message, binding_key(home, care_of), IPv6Address(to), CN)


def test_who_has_not_heard_both_tests_binds_nobody(network: RouteNetwork, tmp_path: Path) -> None:
    cn, _ = optimised(network, tmp_path)
    capture = tmp_path / "stranger.pcap"
    stranger = Stranger(network.stranger)
    before = network.near.run("ip xfrm state")
    with network.stranger.capturing("eth0", "ip6", capture):
        own_home = stranger.asks(HomeTestInit(COOKIE))
        own_care_of = stranger.asks(CareOfTestInit(COOKIE))
        indices = own_home.nonce_index, own_care_of.nonce_index
        plain = BindingUpdate(9, 400, home_registration=False, care_of=IPv6Address(STRANGER))
        for forged in (
            encode(plain),  # Without tokens.
            update(bytes(8), own_care_of.token, indices),  # With a home token that it made up,
            update(own_home.token, own_care_of.token, indices),  # with that of its own address,
            update(own_home.token, own_home.token, indices),
            update(bytes(8), bytes(8), indices, CARE_OF),  # for the victim's care-of address,
            update(own_home.token, own_care_of.token, ((indices[0] - 9) % 65536, indices[1])),
        ):  # and with a nonce that is not known any more.
            assert not stranger.says(forged)
        network.stranger.pings(NEAR)
    assert network.near.run("ip xfrm state").count("proto hao") == before.count("proto hao")
    assert STRANGER not in network.near.run("ip xfrm state")
    heard = rows(capture, "mip6.mhtype", where=f"mipv6 && ipv6.dst == {STRANGER}")
    assert heard == ["3", "4"]  # The answers to its own tests.
    assert network.is_direct()  # The mobile node's binding is as it was.
    reasons = []
    while len(reasons) < 5:
        reasons.append(cn.wait_for("Discarded")["reason"])
    assert {"a Binding Update with a wrong authenticator"} < set(reasons)


def test_its_own_address_is_all_that_a_stranger_can_bind(
    network: RouteNetwork, tmp_path: Path
) -> None:
    cn = network.correspondent(tmp_path)
    stranger = Stranger(network.stranger)
    home, care_of = stranger.asks(HomeTestInit(COOKIE)), stranger.asks(CareOfTestInit(COOKIE))
    stale = (home.nonce_index - 9) % 65536
    stranger.says(update(home.token, care_of.token, (stale, stale)), IPv6Address("2001:db8:f::1"))
    assert cn.wait_for("CorrespondentBindingRejected")["status"] == "EXPIRED_NONCES"
    assert "proto hao" not in network.near.run("ip xfrm state").replace(
        "src :: dst ::\n\tproto hao", ""
    )


def test_a_stolen_home_address_option_reaches_nobody(network: RouteNetwork, tmp_path: Path) -> None:
    cn, _ = optimised(network, tmp_path)
    capture = tmp_path / "near.pcap"
    option = IPv6ExtHdrDestOpt(nh=58, options=[PadN(optdata=b"\0\0"), HAO(hoa=HOME_ADDRESS)])
    request = IPv6(src=HOME_ADDRESS, dst=NEAR) / ICMPv6EchoRequest(data=b"stolen", seq=77)
    packet = bytes(IPv6(src=STRANGER, dst=NEAR, hlim=64) / option / bytes(request)[40:])

    def work() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
            out.sendto(packet, (NEAR, 0))

    with network.near.capturing("eth0", "ip6", capture):
        network.stranger.inside(work)
        assert cn.wait_for("UnknownBinding")["care_of"] == STRANGER
        network.near.pings(STRANGER)
    assert not rows(
        capture, "frame.number", where="icmpv6.type == 129 && icmpv6.echo.sequence_number == 77"
    )
    assert rows(capture, "ipv6.dst", where="mip6.mhtype == 7 && !icmpv6") == [STRANGER]
