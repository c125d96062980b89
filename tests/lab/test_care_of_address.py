"""Which of its addresses a mobile node speaks from, and what it says when it has none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from testbed.run.nodes import stop
from tests.lab.namespaces import Program, Scene
from tests.lab.needs import needs

pytestmark = needs("namespaces", "veth")

PAA, ELSEWHERE = "2001:db8:a::1", "2001:db8:300::1"
SUITABLE, OTHER = "2001:db8:a::2", "2001:db8:f::2"
AUTOCONFIGURED = "AdvOnLink on; AdvAutonomous on;"
ALL_OF_A = "prefix 2001:db8:a::/64 {" + AUTOCONFIGURED + "};"
ALL_OF_F = "prefix 2001:db8:f::/64 {" + AUTOCONFIGURED + "};"
NO_AUTOCONFIGURATION = "prefix 2001:db8:a::/64 { AdvOnLink on; AdvAutonomous off; };"


class Link(Scene):
    """A mobile node A and a router B on a link."""

    def __init__(self, folder: Path) -> None:
        super().__init__("A", "B")
        self._folder = folder
        self.a, self.b = self.hosts
        self.a.run("sysctl -qw net.ipv6.conf.default.router_solicitation_delay=0")
        self.b.run("sysctl -qw net.ipv6.conf.all.forwarding=1")
        self.a.link("a0", self.b, "b0")
        self.b.run("ip address add fe80::b/64 dev b0 nodad")

    def add(self, address: str, *options: str) -> None:
        self.a.run(f"ip -6 address add {address}/64 dev a0 {' '.join(options)}")

    def node(self, towards: str = PAA, seconds: float = 10.0) -> Program:
        return self.start(self.a, "tests.lab.address_host", "a0", towards, str(seconds))

    def outcome(self, *given: object) -> str:
        """Return the address that the mobile node takes, or why it has none."""
        event = self.node(*given).wait_for("Address", "NoAddress")
        return event.get("address") or event["reason"]

    @contextmanager
    def advertising(self, lines: str) -> Iterator[None]:
        """Let the router advertise with these lines of radvd.conf."""
        settings = self._folder / "radvd.conf"
        interval = "MinRtrAdvInterval 3; MaxRtrAdvInterval 4;"
        settings.write_text(f"interface b0 {{ AdvSendAdvert on; {interval} {lines} }};\n")
        options = ("--nodaemon", "--config", str(settings), "--logmethod", "stderr")
        pid = ("--pidfile", str(self._folder / "radvd.pid"))
        with (self._folder / "log").open("wb") as log:
            radvd = subprocess.Popen(self.b.command("radvd", *options, *pid), stderr=log)
        try:
            yield
        finally:
            stop(radvd)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    with closing(Link(tmp_path)) as link:
        yield link


@pytest.mark.parametrize("first", [SUITABLE, OTHER])
def test_of_two_it_takes_the_one_in_its_peers_network(link, first):
    """RFC 6724 rule 8, whichever the kernel lists first."""
    for address in (first, {SUITABLE: OTHER, OTHER: SUITABLE}[first]):
        link.add(address, "nodad")
    assert link.outcome(PAA) == SUITABLE
    assert link.outcome("2001:db8:f::1") == OTHER


@pytest.mark.parametrize("order", [ALL_OF_A + ALL_OF_F, ALL_OF_F + ALL_OF_A])
def test_of_two_advertised_prefixes_too(link, order):
    with link.advertising(order):
        assert link.outcome(PAA).startswith("2001:db8:a:")
        assert link.outcome("2001:db8:f::1").startswith("2001:db8:f:")


def test_it_waits_for_a_better_one_that_is_tentative(link):
    link.add(OTHER, "nodad")
    link.add(SUITABLE)
    assert link.outcome(PAA) == SUITABLE


def test_a_deprecated_one_is_not_taken(link):
    link.add(SUITABLE, "nodad", "preferred_lft", "0")
    assert "deprecated" in link.outcome(PAA, 0.2)
    link.add(OTHER, "nodad")
    assert link.outcome(PAA) == OTHER


def test_a_home_address_is_no_care_of_address(link):
    link.a.run("ip -6 address add 2001:db8:300::1234/128 dev lo home nodad")
    link.add(SUITABLE, "nodad")
    link.a.run("ip -6 route add default via fe80::b dev a0")
    assert link.outcome(ELSEWHERE) == SUITABLE


def test_without_a_peer_the_default_route_decides_if_there_is_one(link):
    link.add(SUITABLE, "nodad")
    assert link.outcome("") == SUITABLE
    link.add(OTHER, "nodad")
    link.a.run(f"ip -6 route add default via fe80::b dev a0 src {OTHER}")
    assert link.outcome("") == OTHER


def test_without_a_way_there_it_has_none(link):
    link.add(SUITABLE, "nodad")
    assert f"no way from there to {ELSEWHERE}" in link.outcome(ELSEWHERE, 0.2)


def test_a_network_that_needs_stateful_dhcpv6_is_told_at_once(link):
    with link.advertising("AdvManagedFlag on; " + NO_AUTOCONFIGURATION):
        node = link.node()
        reason = node.wait_for("NoAddressYet", "NoAddress", "Address")["reason"]
        assert "stateful DHCPv6" in reason
        assert "a0" in reason
        # Somebody else may get the address.
        link.add(SUITABLE, "nodad")
        assert node.wait_for("Address", "NoAddress")["address"] == SUITABLE
        assert [e["event"] for e in node.events] == ["NoAddressYet", "Address"]


def test_nothing_is_said_of_dhcpv6_where_there_is_autoconfiguration_too(link):
    with link.advertising("AdvManagedFlag on; " + ALL_OF_A):
        node = link.node()
        assert node.wait_for("Address", "NoAddress")["address"]
        assert len(node.events) == 1


def test_the_reasons_for_having_none(link):
    assert "no router advertisement has come" in link.outcome(PAA, 0.2)
    with link.advertising(NO_AUTOCONFIGURATION):
        assert "advertises no prefix for autoconfiguration" in link.outcome(PAA, 6.0)
    link.a.run("sysctl -qw net.ipv6.conf.a0.disable_ipv6=1")
    node = link.node(PAA, 0.5)
    assert "net.ipv6.conf.a0.disable_ipv6" in node.wait_for("NoAddressYet")["reason"]
    assert "net.ipv6.conf.a0.disable_ipv6" in node.wait_for("NoAddress")["reason"]
    link.a.run("ip link delete a0")
    assert "no such interface" in link.outcome(PAA, 0.2)
