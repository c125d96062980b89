"""Home registration on a real kernel: mobile node, router, home agent and correspondent node.

Each host is a network namespace; ESP keys are static.

    mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_mobility.py
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents.kernel.associations import SaWatch
from agents.kernel.home_agent import LinuxHomeAgent
from agents.kernel.mobile_node import LinuxMobileNode
from agents.mip6.codec import PROTOCOL as MOBILITY_HEADER
from agents.mip6.codec import BindingAck, BindingUpdate, decode, encode
from tests.lab.mobility_host import ENCRYPTION_KEY, INTEGRITY_KEY, pair
from tests.lab.mobility_network import (
    ANOTHER,
    CARE_OF,
    CORRESPONDENT,
    HOME_ADDRESS,
    HOME_AGENT,
    OTHER_CARE_OF,
    Network,
)
from tests.lab.namespaces import DEADLINE, Host, Program, wait_until
from tests.lab.needs import needs
from tests.wireshark import rows, tshark

pytestmark = needs("esp6", "mip6", "ip6_tunnel")


DECRYPTED = (
    *("-o", "esp.enable_encryption_decode:TRUE", "-o"),
    'uat:esp_sa:"IPv6","*","*","*",'
    f'"AES-CBC [RFC3602]","0x{ENCRYPTION_KEY.hex()}",'
    f'"HMAC-SHA-256-128 [RFC4868]","0x{INTEGRITY_KEY.hex()}"',
)
"""Options by which tshark reads what the static keys protect."""


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


def release(agent: Program) -> None:
    """End it in good order: all that it made in the kernel is removed."""
    assert agent.process.stdin
    agent.process.stdin.close()
    agent.wait_for("Released")
    assert agent.process.wait(DEADLINE) == 0


def test_registration_brings_the_correspondent_node_to_the_mobile_node(network: Network) -> None:
    ha, mn = network.home_agent(), network.mobile_node()
    assert not network.cn.pings(HOME_ADDRESS)
    mn.command("start")
    accepted = mn.wait_for("BindingAccepted")
    assert accepted["lifetime"] == 420
    assert ha.wait_for("BindingCreated")["care_of"] == CARE_OF
    assert network.cn.pings(HOME_ADDRESS)
    assert network.mn.pings(CORRESPONDENT, "-I", HOME_ADDRESS)
    proxied = network.ha.run("ip -6 neigh show proxy")
    assert HOME_ADDRESS in proxied


def test_duplicate_address_detection_takes_a_second_and_a_refresh_none(network: Network) -> None:
    ha, mn = network.home_agent(detect=True), network.mobile_node(lifetime=4)
    mn.command("start")
    sent = [mn.wait_for("BindingUpdateSent")]
    accepted = [mn.wait_for("BindingAccepted")]
    sent.append(mn.wait_for("BindingUpdateSent"))  # After three quarters of 4 s.
    accepted.append(mn.wait_for("BindingAccepted"))
    ha.wait_for("BindingUpdated")
    assert [e["event"] for e in ha.events].count("NeighbourSolicited") == 1
    waits = [(a["t"] - s["t"]) / 1e9 for s, a in zip(sent, accepted, strict=True)]
    assert waits[0] >= 1.0 > waits[1]
    print(f"first registration {waits[0]:.4f} s, refresh {waits[1]:.4f} s")


def test_a_home_address_in_use_is_refused(network: Network) -> None:
    network.cn.run(f"ip -6 addr add {HOME_ADDRESS}/64 dev eth0 nodad")
    ha, mn = network.home_agent(detect=True), network.mobile_node()
    mn.command("start")
    assert mn.wait_for("BindingRefused")["status"] == "DUPLICATE_ADDRESS"
    assert ha.wait_for("BindingRejected")
    assert HOME_ADDRESS not in network.ha.run("ip -6 neigh show proxy")


def test_without_detection_the_binding_takes_milliseconds(network: Network) -> None:
    network.home_agent()
    mn = network.mobile_node()
    mn.command("start")
    sent, accepted = mn.wait_for("BindingUpdateSent"), mn.wait_for("BindingAccepted")
    print(f"binding {(accepted['t'] - sent['t']) / 1e6:.2f} ms")


def test_update_and_acknowledgement_are_protected_on_the_wire(
    network: Network, tmp_path: Path
) -> None:
    ha, mn = network.home_agent(), network.mobile_node()
    capture = tmp_path / "mn.pcap"
    with network.mn.capturing("eth0", "ip6", capture):
        mn.command("start")
        mn.wait_for("BindingAccepted")
        ha.wait_for("BindingCreated")
        assert network.cn.pings(HOME_ADDRESS)
        network.mn.pings("2001:db8:a::1")
    fields = ("ipv6.src", "ipv6.dst", "mip6.mhtype", "ipv6.opt.type", "ipv6.routing.type")
    seen = rows(capture, *fields, where="mipv6", options=DECRYPTED)
    update, acknowledgement = (line.split("\t") for line in seen)
    assert update[0].split(",")[0] == CARE_OF
    assert update[1].split(",")[0] == HOME_AGENT
    assert update[2] == "5"
    assert "201" in update[3] or "0xc9" in update[3]  # The Home Address option.
    assert acknowledgement[1].split(",")[0] == CARE_OF
    assert acknowledgement[2] == "6"
    assert acknowledgement[4] == "2"
    assert not tshark(capture, "-Y", "_ws.malformed or icmpv6.type == 1")


def test_movement_to_another_care_of_address(network: Network) -> None:
    ha, mn = network.home_agent(), network.mobile_node()
    mn.command("start")
    mn.wait_for("BindingAccepted")
    ha.wait_for("BindingCreated")
    mn.command(f"move {OTHER_CARE_OF}")
    mn.wait_for("BindingAccepted")
    assert ha.wait_for("BindingUpdated")["care_of"] == OTHER_CARE_OF
    network.router.run(f"ip -6 route add prohibit {CARE_OF}")  # The old one leads nowhere.
    assert network.cn.pings(HOME_ADDRESS)


def test_what_the_ends_of_a_binding_send_each_other_may_carry_the_home_address(
    network: Network, tmp_path: Path
) -> None:
    network.home_agent()
    mn = network.mobile_node()

    def carried() -> tuple[bool, bool]:
        return network.mn.pings(HOME_AGENT, "-I", HOME_ADDRESS), network.ha.pings(HOME_ADDRESS)

    for care_of, command in ((CARE_OF, "start"), (OTHER_CARE_OF, f"move {OTHER_CARE_OF}")):
        mn.command(command)
        mn.wait_for("BindingAccepted")
        if command == "start":
            network.carry_anything()
        capture = tmp_path / f"{command[:4]}.pcap"
        with network.mn.capturing("eth0", "ip6", capture):
            assert carried() == (True, True)
        outside = "icmpv6.type == 128 && !(ipv6.nxt == 41)"
        up, down = rows(capture, "ipv6.src", "ipv6.opt.type", "ipv6.routing.type", where=outside)
        assert up.startswith(f"{care_of}	")
        assert "201" in up or "0xc9" in up  # The Home Address option.
        assert down == f"{HOME_AGENT}\t\t2"
    mn.command("stop")
    mn.wait_for("BindingAccepted")
    assert carried() == (False, False)


def test_of_a_deprecated_prefix_the_mobile_node_asks_under_esp_and_goes_on(
    network: Network, tmp_path: Path
) -> None:
    ha, mn = network.home_agent(), network.mobile_node(lifetime=8)
    ha.command("prefix 14 2")
    ha.wait_for("Changed")
    capture = tmp_path / "mn.pcap"
    with network.mn.capturing("eth0", "ip6", capture):
        mn.command("start")
        accepted = mn.wait_for("BindingAccepted")
        assert (accepted["status"], accepted["lifetime"]) == ("PREFIX_DISCOVERY_NECESSARY", 8)
        mn.wait_for("PrefixSolicited")
        [told] = mn.wait_for("PrefixesLearnt")["prefixes"]
        assert (told["address"], told["preferred"]) == (HOME_AGENT, 0) or told["preferred"] <= 2
        assert ha.wait_for("PrefixAdvertised")["home_address"] == HOME_ADDRESS
        assert mn.wait_for("BindingAccepted")["lifetime"] == 4  # Shorter: the prefix ends.
        assert network.cn.pings(HOME_ADDRESS)
    solicited, advertised = rows(
        capture,
        *("ipv6.src", "ipv6.dst", "icmpv6.type", "ipv6.opt.type", "ipv6.routing.type"),
        where="esp && icmpv6.type >= 146 && icmpv6.type <= 147 && icmpv6.checksum.status == 1",
        options=DECRYPTED,
    )[:2]
    assert solicited.startswith(f"{CARE_OF}\t{HOME_AGENT}\t146\t")
    assert advertised.startswith(f"{HOME_AGENT}\t{CARE_OF}\t147\t")
    assert "201" in solicited or "0xc9" in solicited
    assert advertised.endswith("\t2")
    assert not tshark(capture, *DECRYPTED, "-Y", "_ws.malformed")
    # When the prefix is over, so is the binding, and the mobile node says why.
    assert mn.wait_for("BindingRefused")["status"] == "NOT_HOME_SUBNET"
    assert ha.wait_for("BindingRemoved")["cause"] == "expired"
    assert not network.cn.pings(HOME_ADDRESS)


@pytest.mark.parametrize("detect", [False, True])
def test_the_status_of_each_update_comes_back_to_where_the_update_came_from(
    network: Network, detect: bool
) -> None:
    network.home_agent(detect=detect)
    network.mobile_node()  # It prepares its kernel.
    care_of = IPv6Address(CARE_OF)

    def work() -> list[tuple[int, int]]:
        answers = []
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, MOBILITY_HEADER) as opened:
            opened.bind((HOME_ADDRESS, 0))
            opened.settimeout(5.0)
            for update in (
                BindingUpdate(1, 420),  # Nothing protects where it came from.
                BindingUpdate(2, 0, care_of=care_of),
                BindingUpdate(3, 420, care_of=care_of),
                BindingUpdate(4, 420, care_of=care_of, home_registration=False),
                BindingUpdate(5, 0),
                BindingUpdate(6, 0),
            ):
                opened.sendto(encode(update), (HOME_AGENT, 0))
                answer = decode(opened.recv(2048))
                assert isinstance(answer, BindingAck)
                answers.append((answer.sequence, answer.status))
        return answers

    assert network.mn.inside(work) == [(1, 129), (2, 133), (3, 0), (4, 139), (5, 0), (6, 133)]


def link_address(host: Host, interface: str) -> str:
    """Return an interface's link-layer address."""
    words = host.run(f"ip link show {interface}").split()
    return words[words.index("link/ether") + 1]


def neighbour(host: Host, address: str, interface: str) -> str:
    """Return the link-layer address that a host has for a neighbour, empty if it has none."""
    words = host.run(f"ip -6 neigh show {address} dev {interface}").split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


@pytest.mark.parametrize("interlude", ["", "restart"])
def test_a_mobile_node_comes_home_and_leaves_again(
    network: Network, tmp_path: Path, interlude: str
) -> None:
    """In between there may be a home agent that has forgotten the binding, and answers 133."""
    ha, mn = network.home_agent(), network.mobile_node()
    mn.command("start")
    mn.wait_for("BindingAccepted")
    assert network.cn.pings(HOME_ADDRESS)
    address = network.bring_home(network.mn)
    assert network.cn.pings(HOME_AGENT)
    if interlude:
        ha.close()
        ha = network.home_agent()
    assert not network.cn.pings(HOME_ADDRESS)

    capture = tmp_path / "home.pcap"
    with network.mn.capturing("home0", "ip6", capture):
        mn.command(f"move {address}")
        assert mn.wait_for("BindingAccepted")["lifetime"] == 0
        mn.wait_for("ReturnedHome")
        cause = ha.wait_for("BindingRejected" if interlude else "BindingRemoved")
        assert (cause.get("cause"), cause.get("status")) in (
            ("de-registered", None),
            (None, "NOT_HOME_AGENT"),
        )
        own = link_address(network.mn, "home0")
        wait_until(lambda: network.cn.pings(HOME_ADDRESS), "the home address is on the link")
        assert neighbour(network.cn, HOME_ADDRESS, "br0") == own
        assert network.mn.pings(CORRESPONDENT, "-I", HOME_ADDRESS)
        assert network.mn.pings(HOME_AGENT, "-I", HOME_ADDRESS)
        assert network.ha.pings(HOME_ADDRESS)
    assert HOME_ADDRESS not in network.ha.run("ip -6 neigh show proxy")
    assert HOME_ADDRESS not in network.mn.run("ip -6 rule show pref 1000")
    update = rows(capture, "ipv6.src", "ipv6.dst", where="mip6.mhtype == 5", options=DECRYPTED)
    assert set(update) == {f"{HOME_ADDRESS}\t{HOME_AGENT}"}
    answer = rows(capture, "ipv6.src", "ipv6.dst", where="mip6.mhtype == 6", options=DECRYPTED)
    assert set(answer) == {f"{HOME_AGENT}\t{HOME_ADDRESS}"}
    # No duplicate address detection against the proxy; the advertisement comes after the answer.
    target = f"icmpv6.type == 135 && icmpv6.nd.ns.target_address == {HOME_ADDRESS}"
    assert rows(capture, "frame.number", where=f"{target} && ipv6.src == ::") == []
    overriding = "icmpv6.type == 136 && icmpv6.nd.na.flag.o == 1 && icmpv6.nd.na.flag.s == 0"
    told = rows(capture, "ipv6.dst", "icmpv6.nd.na.target_address", where=overriding)
    assert told == [f"ff02::1\t{HOME_ADDRESS}"]

    network.mn.run("ip link del home0")
    network.mn.run("ip link set eth0 up")
    for there in (CARE_OF, OTHER_CARE_OF):
        network.mn.run(f"ip -6 addr replace {there}/64 dev eth0 nodad")
    network.mn.run("ip -6 route replace default via 2001:db8:a::1")
    mn.command(f"move {CARE_OF}")
    assert mn.wait_for("BindingAccepted")["lifetime"] == 420
    wait_until(lambda: network.cn.pings(HOME_ADDRESS), "the tunnel carries")


def test_de_registration_leaves_nothing_behind(network: Network) -> None:
    ha, mn = network.home_agent(), network.mobile_node()
    mn.command("start")
    mn.wait_for("BindingAccepted")
    mn.command("stop")
    assert mn.wait_for("BindingAccepted")["lifetime"] == 0
    assert ha.wait_for("BindingRemoved")["cause"] == "de-registered"
    assert not network.cn.pings(HOME_ADDRESS)
    for agent, host in ((mn, network.mn), (ha, network.ha)):
        release(agent)
        assert host.run("ip xfrm state") == host.run("ip xfrm policy") == ""
        assert host.run("ip -6 neigh show proxy") == ""
        assert HOME_ADDRESS not in host.run("ip -6 addr") + host.run("ip -6 route show table all")
        assert "ip6ip6" not in host.run("ip -d link show up")


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host("alone")
    yield host
    host.close()


def test_security_associations_are_read_back_and_announced(host: Host) -> None:
    home, agent = IPv6Address(HOME_ADDRESS), IPv6Address(HOME_AGENT)

    def work() -> None:
        watch = SaWatch()
        with LinuxMobileNode() as kernel:
            kernel.warm_up()
            kernel.install(pair(at_agent=False))
            found = kernel.sas_between(home, agent)
            assert [(sa.spi, sa.protocol) for sa in found] == [(0x1000, 50)]
            listing = host.run("ip xfrm state")
            assert f"enc cbc(aes) 0x{bytes(range(16)).hex()}" in listing
            assert f"auth-trunc hmac(sha256) 0x{bytes(range(32)).hex()} 128" in listing
            assert f"sel src {HOME_ADDRESS}/128 dst {HOME_AGENT}/128 proto mobility" in listing
            assert {sa.spi for sa in watch.added()} >= {0x1000, 0x2000}
            kernel.install(pair(at_agent=False))  # Again: replaced.
            assert len(kernel.sas_between(home, agent)) == 1
            kernel.uninstall(pair(at_agent=False))
            kernel.uninstall(pair(at_agent=False))
            assert kernel.sas_between(home, agent) == []
        watch.close()

    host.inside(work)


def test_set_up_can_be_repeated_and_removed_by_a_second_process(host: Host) -> None:
    home, agent = IPv6Address(HOME_ADDRESS), IPv6Address(HOME_AGENT)

    def work() -> None:
        with LinuxMobileNode() as first, LinuxMobileNode() as second:
            for kernel in (first, first, second):  # The first one is thought to have crashed.
                kernel.prepare(home, agent, IPv6Address(CARE_OF))
                kernel.open_tunnel()
            second.move(IPv6Address(OTHER_CARE_OF))
            assert f"local {OTHER_CARE_OF}" in host.run("ip -d link show mip0")
            for _ in range(2):
                second.clear()
        assert host.run("ip xfrm state") == host.run("ip xfrm policy") == ""
        assert host.run("ip -6 rule").split("\n")[:-1] == [
            "0:	from all lookup local",
            "32766:	from all lookup main",
        ]

    host.inside(work)


def everything(host: Host) -> dict[str, str]:
    """Return all that is set up in a host's kernel for IPv6."""
    shown = ("xfrm state", "xfrm policy", "-6 rule", "-6 addr", "-6 route show table all", "link")
    return {what: host.run(f"ip {what}") for what in shown}


def test_a_mobile_node_clears_up_after_those_that_were_killed_and_after_nobody_else(
    host: Host,
) -> None:
    homes = [IPv6Address(address) for address in (HOME_ADDRESS, ANOTHER)]
    agent, care_of = IPv6Address(HOME_AGENT), IPv6Address(CARE_OF)
    ends = f"src {HOME_ADDRESS} dst {HOME_AGENT}"
    for others in (
        f"xfrm state add {ends} proto esp spi 0x77 reqid 7 mode transport enc cbc(aes) 0x{0:032x}",
        f"xfrm policy add {ends} proto udp dir out tmpl proto esp reqid 135 mode transport",
        f"-6 tunnel add other mode ip6ip6 local {CARE_OF} remote {CORRESPONDENT}",
        "-6 addr add 2001:db8:d::1/128 dev lo nodad",
        f"-6 rule add pref 50 from {HOME_ADDRESS} lookup 50",
    ):
        host.run(f"ip {others}")

    def work() -> None:
        with LinuxHomeAgent(IPv6Address(CORRESPONDENT), "lo") as neighbour:
            neighbour.prepare()
            neighbour.reach(homes[0], care_of)
            before = everything(host)
            for home in homes:
                with LinuxMobileNode() as killed:
                    killed.prepare(home, agent, care_of)
                    killed.install(pair(home, at_agent=False))
                    killed.open_tunnel()
            left = everything(host)
            assert all(left[what] != before[what] for what in left)
            with LinuxMobileNode() as successor:
                for _ in range(2):
                    successor.clear()
                    assert everything(host) == before
            neighbour.release()

    host.inside(work)


def test_a_restarted_home_agent_takes_over_and_clears_up(host: Host) -> None:
    host.run("ip link add home type veth peer name other")
    home, link_local = IPv6Address(HOME_ADDRESS), IPv6Address("fe80::1234")

    def work() -> None:
        agent = IPv6Address(HOME_AGENT)
        with LinuxHomeAgent(agent, "home") as first, LinuxHomeAgent(agent, "home") as second:
            for kernel in (first, second):
                kernel.prepare()
                kernel.reach(home, IPv6Address(CARE_OF))
                kernel.bind(home, IPv6Address(CARE_OF), link_local)
            second.bind(home, IPv6Address(OTHER_CARE_OF), link_local)
            assert f"remote {OTHER_CARE_OF}" in host.run("ip -d link show type ip6tnl")
            assert str(link_local) in host.run("ip -6 neigh show proxy")
            second.bind(home, IPv6Address(OTHER_CARE_OF), None)
            assert str(link_local) not in host.run("ip -6 neigh show proxy")
            second.release()
        assert host.run("ip xfrm state") == host.run("ip xfrm policy") == ""
        assert host.run("ip -6 neigh show proxy") == ""
        assert "rpfilter" not in host.run("ip6tables-legacy -t raw -S")
        assert "ip6ip6 remote 2001" not in host.run("ip -d link show type ip6tnl")

    host.inside(work)
