"""A mobile node's interface whose link becomes another one, on a real kernel."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from agents.mip6.prefixes import PrefixInformation
from agents.mip6.routers import RouterAdvertisement
from testbed.run.nodes import stop
from tests.lab.namespaces import Program, Scene, wait_until
from tests.lab.needs import needs

pytestmark = needs("namespaces", "veth", "radvd")

PREFIXES = {"B": IPv6Network("2001:db8:a::/64"), "C": IPv6Network("2001:db8:a2::/64")}
FIXED = "2001:db8:f::1"
SOLICITED_EVERY = 4.0
"""Seconds in which nobody makes a host ask twice: RTR_SOLICITATION_INTERVAL (RFC 4861)."""


class Links(Scene):
    """A mobile node A with an interface that is on the link of router B, or on that of C."""

    def __init__(self, folder: Path) -> None:
        super().__init__("A", "B", "C")
        self._folder = folder
        self._radvd: list[subprocess.Popen[bytes]] = []
        self.a, self.b, self.c = self.hosts
        self.trust_addresses()
        self.a.run("sysctl -qw net.ipv6.conf.default.router_solicitation_delay=0")
        self.a.link("a0", self.b, "wire")
        for router in (self.b, self.c):
            self._make_router(router)
        self.b.run("ip link set wire master bridge")

    def _make_router(self, router) -> None:
        prefix = PREFIXES[router.name]
        router.run("sysctl -qw net.ipv6.conf.all.forwarding=1")
        router.run("ip link add bridge type bridge")
        router.run("ip link set bridge up")
        router.run(f"ip address add {prefix[1]}/64 dev bridge nodad")
        settings = self._folder / f"{router.name}.conf"
        settings.write_text(
            "interface bridge { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;\n"
            f" prefix {prefix[1]}/64 {{ AdvOnLink on; AdvAutonomous on; AdvRouterAddr on; }}; }};\n"
        )
        options = ["--nodaemon", "--config", str(settings), "--logmethod", "stderr"]
        options += ["--pidfile", str(self._folder / f"{router.name}.pid")]
        self._radvd.append(router.popen(["radvd", *options], stderr=subprocess.DEVNULL))

    def move(self) -> None:
        """Take the mobile node from B's link to C's."""
        self.b.run(f"ip link set wire netns {self.c.pid}")
        self.c.run("ip link set wire master bridge")
        self.c.run("ip link set wire up")

    def addresses(self) -> str:
        return self.a.run("ip -6 address show dev a0 scope global")

    def node(self) -> Program:
        wait_until(lambda: "2001:db8:a:" in self.addresses(), "an address on B's link")
        [line] = [line for line in self.addresses().splitlines() if "2001:db8:a:" in line]
        care_of = line.split()[1].partition("/")[0]
        program = self.start(self.a, "tests.lab.attachment_host", "a0", care_of)
        program.wait_for("Ready")
        return program

    def close(self) -> None:
        for radvd in self._radvd:
            stop(radvd)
        super().close()


@pytest.fixture
def links(tmp_path: Path) -> Iterator[Links]:
    with closing(Links(tmp_path)) as links:
        yield links


def test_another_link_is_noticed_and_what_was_of_the_one_before_is_forgotten(links: Links):
    links.a.run(f"ip address add {FIXED}/64 dev a0 nodad")
    node = links.node()
    assert node.wait_for("Link")["router"] == "2001:db8:a::1"
    links.move()
    node.wait_for("LinkUp")
    there = node.wait_for("Link")
    assert there["router"] == "2001:db8:a2::1"
    assert IPv6Address(there["address"]) in PREFIXES["C"]
    assert "2001:db8:a:" not in links.addresses()
    assert FIXED in links.addresses()
    routes = links.a.run("ip -6 route show dev a0")
    assert routes.count("default via") == 1
    assert links.a.pings("2001:db8:a2::1")


def test_a_link_that_comes_back_is_the_same(links: Links):
    node = links.node()
    node.wait_for("Link")
    before = links.addresses().count("inet6")
    links.b.run("ip link set wire down")
    links.b.run("ip link set wire up")
    node.wait_for("LinkUp")
    assert node.wait_for("LinkKept", "Moved")["event"] == "LinkKept"
    assert links.addresses().count("inet6") == before


def test_what_has_crossed_a_router_is_no_advertisement(links: Links):
    """Hop limit 255 says that it was sent on this link (RFC 4861 section 6.1.2)."""
    node = links.node()
    node.wait_for("Link")
    told = PrefixInformation(IPv6Address("2001:db8:bad::1"), 64, 3600, 3600, is_router=True)
    data = RouterAdvertisement(30, (told,)).encode()

    def send(hops: int) -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
            index = struct.pack("@I", socket.if_nametoindex("bridge"))
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sender.sendto(data, ("ff02::1", 0))

    time.sleep(SOLICITED_EVERY)
    for hops in (254, 64, 1):
        links.b.inside(lambda hops=hops: send(hops))
    time.sleep(SOLICITED_EVERY)
    links.b.inside(lambda: send(255))
    node.wait_for("RouterSolicited")
    assert node.wait_for("LinkKept", "Moved")["event"] == "LinkKept"  # The known router answers.
    links.move()
    node.wait_for("Moved")
    asked = [event for event in node.events if event["event"] == "RouterSolicited"]
    assert len(asked) == 3  # At the start, of the one with 255, and on the other link.
