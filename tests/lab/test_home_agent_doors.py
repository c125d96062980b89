"""What a home agent and a mobile node on a real kernel keep out.

mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_home_agent_doors.py
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BU,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrRouting,
    MIP6OptAltCoA,
    PadN,
)

from agents.core.record import replace
from agents.ike.esp import EspPair
from agents.kernel.associations import LinuxSecurityAssociations
from agents.kernel.home_agent import LinuxHomeAgent
from agents.mip6.codec import internet_checksum
from agents.mip6.prefixes import PrefixAdvertisement, PrefixInformation, PrefixSolicitation
from tests.lab.mobility_host import pair
from tests.lab.mobility_network import (
    ANOTHER,
    CARE_OF,
    CORRESPONDENT,
    HOME_ADDRESS,
    HOME_AGENT,
    OTHER_CARE_OF,
    Network,
)
from tests.lab.namespaces import Host, wait_until
from tests.lab.needs import needs

pytestmark = needs("esp6", "mip6", "ip6_tunnel", "rpfilter")

STRANGER = "2001:db8:c::1"  # The router's address towards the home agent: in the core.
PORT = 4242


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host("alone")
    yield host
    host.close()


def counters(host: Host) -> dict[str, int]:
    lines = (line.split() for line in host.run("cat /proc/net/xfrm_stat").splitlines())
    return {name: int(value) for name, value in lines}


def update_in_clear(home_address: str, care_of: str, sequence: int) -> bytes:
    """Return a Binding Update that a stranger makes, from its IPv6 header on."""
    option = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0\0"), HAO(hoa=home_address)])
    body = MIP6MH_BU(seq=sequence, mhtime=105, flags="AH", options=[MIP6OptAltCoA(acoa=care_of)])
    return bytes(IPv6(src=care_of, dst=HOME_AGENT) / option / body)


def send_raw(host: Host, *packets: bytes) -> None:
    """Send whole IPv6 packets out of a host, whatever their source."""

    def work() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            for packet in packets:
                raw.sendto(packet, (str(IPv6Address(packet[24:40])), 0))

    host.inside(work)


def listening(host: Host, address: str = "::") -> socket.socket:
    """Return a UDP socket of a host that waits briefly."""

    def work() -> socket.socket:
        opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        opened.bind((address, PORT))
        opened.settimeout(2.0)
        return opened

    return host.inside(work)


def sources(opened: socket.socket, last: bytes) -> list[str]:
    """Return where datagrams came from, up to the one that is known to be the last."""
    found = []
    while True:
        data, source = opened.recvfrom(2048)
        if data == last:
            opened.close()
            return found
        found.append(source[0])


@pytest.mark.parametrize("home_address", [HOME_ADDRESS, ANOTHER, CORRESPONDENT, "2001:db8:ff::1"])
def test_binding_updates_in_clear_reach_nobody_and_cost_nothing(
    network: Network, home_address: str
) -> None:
    ha = network.home_agent()  # One that has authorised HOME_ADDRESS alone.
    states, policies = network.ha.run("ip xfrm state"), network.ha.run("ip xfrm policy")
    before = counters(network.ha)["XfrmInTmplMismatch"]
    updates = [update_in_clear(home_address, STRANGER, number) for number in range(200)]
    send_raw(network.router, *updates)
    wait_until(
        lambda: counters(network.ha)["XfrmInTmplMismatch"] >= before + 200, "all are dropped"
    )
    assert network.ha.run("ip xfrm state") == states
    assert network.ha.run("ip xfrm policy") == policies
    assert network.ha.run("ip -6 neigh show proxy") == ""
    # He for whom it was meant to fail registers as ever.
    mn = network.mobile_node()
    mn.command("start")
    mn.wait_for("BindingAccepted")
    ha.wait_for("BindingCreated")
    assert [e["event"] for e in ha.events if e["event"] == "Discarded"] == []
    assert network.cn.pings(HOME_ADDRESS)


def test_what_an_authorisation_allowed_ends_with_it(network: Network) -> None:
    ha, mn = network.home_agent(), network.mobile_node(lifetime=4)
    mn.command("start")
    mn.wait_for("BindingAccepted")
    assert network.cn.pings(HOME_ADDRESS)
    ha.command(f"release {HOME_ADDRESS}")
    assert ha.wait_for("BindingRemoved")["cause"] == "no longer authorised"
    ha.wait_for("HomeAddressReleased")
    assert "proto esp" not in network.ha.run("ip xfrm state")
    assert not network.cn.pings(HOME_ADDRESS)
    # The former holder goes on with the SAs that it still has.
    before = counters(network.ha)["XfrmInNoStates"]
    mn.wait_for("BindingUpdateSent")
    wait_until(lambda: counters(network.ha)["XfrmInNoStates"] > before, "its update is dropped")
    assert HOME_ADDRESS not in network.ha.run("ip -6 neigh show proxy")


def test_an_authorisation_bounds_the_binding(network: Network) -> None:
    ha, mn = network.home_agent(), network.mobile_node(lifetime=420)
    ha.command(f"hold {HOME_ADDRESS} 9")
    ha.wait_for("Held")
    mn.command("start")
    assert mn.wait_for("BindingAccepted")["lifetime"] in (4, 8)
    ha.wait_for("HomeAddressReleased")
    assert not network.cn.pings(HOME_ADDRESS)


def test_a_tunnel_brings_packets_of_its_home_address_alone(network: Network) -> None:
    network.home_agent()
    mn = network.mobile_node()
    mn.command("start")
    mn.wait_for("BindingAccepted")
    assert network.cn.pings(HOME_ADDRESS)

    def tunnelled(source: str, destination: str, data: bytes) -> bytes:
        inner = IPv6(src=source, dst=destination) / UDP(sport=PORT, dport=PORT) / data
        return bytes(IPv6(src=CARE_OF, dst=HOME_AGENT) / inner)

    forged = (ANOTHER, "2001:db8:100::99", "2001:db8:100::c", HOME_AGENT, STRANGER, CARE_OF)
    forged += ("fe80::1", "2001:db8:ff::1", "2001:db8:c::2")
    for destination, there in ((CORRESPONDENT, network.cn), (HOME_AGENT, network.ha)):
        opened = listening(there)
        send_raw(network.mn, *(tunnelled(source, destination, b"") for source in forged))
        send_raw(network.mn, tunnelled(HOME_ADDRESS, destination, b"last"))
        assert sources(opened, b"last") == []


def test_a_mobile_node_takes_from_the_tunnel_what_is_for_its_home_address(network: Network) -> None:
    network.home_agent()
    mn = network.mobile_node()
    mn.command("start")
    mn.wait_for("BindingAccepted")
    network.mn.run("ip -6 addr add 2001:db8:d::1/128 dev lo nodad")
    opened = listening(network.mn)

    def tunnelled(destination: str, data: bytes) -> bytes:
        inner = IPv6(src=CORRESPONDENT, dst=destination) / UDP(sport=PORT, dport=PORT) / data
        return bytes(IPv6(src=HOME_AGENT, dst=CARE_OF) / inner)

    # From the router: the home agent's address is forged.
    inside = (CARE_OF, OTHER_CARE_OF, "2001:db8:d::1", "ff02::1")
    send_raw(network.router, *(tunnelled(destination, b"") for destination in inside))
    send_raw(network.router, tunnelled(HOME_ADDRESS, b"last"))
    assert sources(opened, b"last") == []


def with_option(source: str, home_address: str, data: bytes) -> bytes:
    """Return a datagram for the home agent that carries a home address, as its receiver sums it."""
    plain = IPv6(bytes(IPv6(src=home_address, dst=HOME_AGENT) / datagram(data)))[UDP]
    option = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0\0"), HAO(hoa=home_address)])
    return bytes(IPv6(src=source, dst=HOME_AGENT) / option / plain)


def datagram(data: bytes) -> UDP:
    return UDP(sport=PORT, dport=PORT) / data


def with_routing(source: str, care_of: str, home_address: str, data: bytes) -> bytes:
    """Return a datagram for a mobile node that carries a home address."""
    header = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[home_address])
    return bytes(IPv6(src=source, dst=care_of) / header / datagram(data))


def test_a_home_address_is_carried_for_who_is_bound_and_from_where_alone(network: Network) -> None:
    network.home_agent()
    mn = network.mobile_node()
    up, down = listening(network.ha), listening(network.mn)
    true = with_option(CARE_OF, HOME_ADDRESS, b"")
    send_raw(network.mn, true)  # There is no binding yet.
    send_raw(network.ha, with_routing(HOME_AGENT, CARE_OF, HOME_ADDRESS, b""))
    mn.command("start")
    mn.wait_for("BindingAccepted")
    forged = [
        (STRANGER, HOME_ADDRESS),
        (STRANGER, ANOTHER),
        (CARE_OF, ANOTHER),
        (CARE_OF, STRANGER),
    ]
    forged += [(OTHER_CARE_OF, HOME_ADDRESS), (STRANGER, CORRESPONDENT)]
    send_raw(network.router, *(with_option(*ends, b"") for ends in forged))
    send_raw(network.mn, with_option(CARE_OF, HOME_ADDRESS, b"last"))
    assert sources(up, b"last") == []
    led = [(STRANGER, CARE_OF, HOME_ADDRESS), (HOME_AGENT, CARE_OF, ANOTHER)]
    led += [(HOME_AGENT, OTHER_CARE_OF, HOME_ADDRESS), (HOME_AGENT, CARE_OF, CORRESPONDENT)]
    send_raw(network.router, *(with_routing(*ends, b"") for ends in led))
    send_raw(network.ha, with_routing(HOME_AGENT, CARE_OF, HOME_ADDRESS, b"last"))
    assert sources(down, b"last") == []
    mn.command("stop")
    mn.wait_for("BindingAccepted")
    before = counters(network.ha)["XfrmInNoPols"]
    send_raw(network.mn, true)
    wait_until(lambda: counters(network.ha)["XfrmInNoPols"] > before, "it is closed again")


def test_prefix_discovery_in_clear_reaches_nobody(network: Network) -> None:
    ha, mn = network.home_agent(), network.mobile_node()
    mn.command("start")
    mn.wait_for("BindingAccepted")

    def message(source: str, destination: str, data: bytes) -> bytes:
        ends = IPv6Address(source), IPv6Address(destination)
        return data[:2] + internet_checksum(*ends, 58, data).to_bytes(2) + data[4:]

    asked = message(HOME_ADDRESS, HOME_AGENT, PrefixSolicitation(1).encode())
    gone = PrefixInformation(IPv6Address(HOME_AGENT), 64, 0, 0, is_router=True)
    told = message(HOME_AGENT, HOME_ADDRESS, PrefixAdvertisement(1, (gone,)).encode())
    option = IPv6ExtHdrDestOpt(nh=58, options=[PadN(optdata=b"\0\0"), HAO(hoa=HOME_ADDRESS)])
    routing = IPv6ExtHdrRouting(nh=58, type=2, segleft=1, addresses=[HOME_ADDRESS])
    before = [counters(host)["XfrmInTmplMismatch"] for host in (network.ha, network.mn)]
    send_raw(
        network.mn,
        bytes(IPv6(src=CARE_OF, dst=HOME_AGENT) / option / asked),
        bytes(IPv6(src=HOME_ADDRESS, dst=HOME_AGENT, nh=58) / asked),
    )
    inner = IPv6(src=HOME_AGENT, dst=HOME_ADDRESS, nh=58) / told
    send_raw(
        network.router,
        bytes(IPv6(src=HOME_AGENT, dst=CARE_OF) / routing / told),
        bytes(IPv6(src=HOME_AGENT, dst=CARE_OF) / inner),
    )
    for host, had in zip((network.ha, network.mn), before, strict=True):
        wait_until(
            lambda host=host, had=had: counters(host)["XfrmInTmplMismatch"] >= had + 2, "dropped"
        )
    mn.command("stop")
    mn.wait_for("BindingAccepted")
    ha.wait_for("BindingRemoved")
    names = {event["event"] for program in (ha, mn) for event in program.events}
    assert not names & {"Discarded", "PrefixSolicited", "PrefixAdvertised", "PrefixesLearnt"}


def test_a_restarted_home_agent_begins_with_nothing_of_the_one_that_was_killed(
    network: Network,
) -> None:
    ha, mn = network.home_agent(), network.mobile_node()
    mn.command("start")
    mn.wait_for("BindingAccepted")
    ha.close()
    stranger = "2001:db8:100::77"
    network.ha.run(f"ip -6 neigh add proxy {stranger} dev home")
    network.ha.run(
        f"ip xfrm state add src {stranger} dst {HOME_AGENT} proto esp spi 0x77 reqid 7"
        f" mode transport enc cbc(aes) 0x{0:032x}"
    )
    assert network.ha.run("ip xfrm state").count("proto esp") == 5

    def work() -> None:
        another, care_of = IPv6Address(ANOTHER), IPv6Address(OTHER_CARE_OF)
        with LinuxHomeAgent(IPv6Address(HOME_AGENT), "home") as killed:
            killed.install(pair(another, at_agent=True))
            killed.reach(another, care_of)
            killed.bind(another, care_of, IPv6Address("fe80::5678"))
        with LinuxHomeAgent(IPv6Address(HOME_AGENT), "home") as kernel:
            kernel.prepare()
            states = network.ha.run("ip xfrm state")
            assert "proto route2" not in states
            assert states.count("proto esp") == 1
            assert stranger in states
            left = network.ha.run("ip xfrm policy") + network.ha.run("ip -6 route show")
            assert not [home for home in (HOME_ADDRESS, ANOTHER) if home in left]
            assert network.ha.run("ip -6 neigh show proxy").split() == [
                *(stranger, "dev", "home", "proxy")
            ]
            assert CARE_OF not in network.ha.run("ip -6 tunnel show")
            kernel.release()

    network.ha.inside(work)


@pytest.mark.parametrize("shared", [True, False])
def test_what_others_have_installed_is_looked_for_if_there_are_others(
    host: Host, shared: bool
) -> None:
    host.run("ip link add home type veth peer name other")
    own, neighbours = pair(at_agent=True), pair(IPv6Address(ANOTHER), at_agent=True)
    others = EspPair(replace(own.inbound, spi=0x9000), replace(own.outbound, spi=0x9001))
    left = (neighbours,) if shared else (neighbours, others)

    def work() -> None:
        agent = IPv6Address(HOME_AGENT)
        with LinuxHomeAgent(agent, "home", shared=shared) as kernel:
            kernel.install(own)
            kernel.install(neighbours)
            with LinuxSecurityAssociations() as another:
                another.install(others)
            for _ in range(2):
                kernel.forget(IPv6Address(HOME_ADDRESS))
        states = re.findall(r"proto esp spi (0x\w+)", host.run("ip xfrm state"))
        spis = {sa.spi for found in left for sa in (found.inbound, found.outbound)}
        assert {int(spi, 16) for spi in states} == spis

    host.inside(work)


def test_home_addresses_share_the_tunnel_to_a_care_of_address(host: Host) -> None:
    host.run("ip link add home type veth peer name other")
    homes = [IPv6Address(address) for address in (HOME_ADDRESS, ANOTHER)]
    first, second = IPv6Address(CARE_OF), IPv6Address(OTHER_CARE_OF)

    def tunnels() -> dict[str, set[str]]:
        """Return the home addresses behind each care-of address."""
        lines = host.run("ip -6 tunnel show").splitlines()
        ends = {
            words[0].rstrip(":"): words[words.index("remote") + 1]
            for words in map(str.split, lines)
            if words[0].startswith("bc")
        }
        routes = [line.split() for line in host.run("ip -6 route show").splitlines()]
        return {
            remote: {words[0] for words in routes if words[words.index("dev") + 1] == name}
            for name, remote in ends.items()
        }

    def work() -> None:
        with LinuxHomeAgent(IPv6Address(HOME_AGENT), "home") as kernel:
            kernel.prepare()
            for home in homes:
                kernel.bind(home, first, None)
            assert tunnels() == {CARE_OF: {HOME_ADDRESS, ANOTHER}}
            kernel.bind(homes[0], second, None)  # One moves, the other stays.
            assert tunnels() == {CARE_OF: {ANOTHER}, OTHER_CARE_OF: {HOME_ADDRESS}}
            kernel.bind(homes[1], second, None)  # It comes after.
            assert tunnels() == {OTHER_CARE_OF: {HOME_ADDRESS, ANOTHER}}
            kernel.unbind(homes[0])
            assert tunnels() == {OTHER_CARE_OF: {ANOTHER}}
            kernel.bind(homes[1], first, None)  # Alone, it takes its tunnel along.
            assert tunnels() == {CARE_OF: {ANOTHER}}
            kernel.bind(homes[0], second, None)
            assert tunnels() == {CARE_OF: {ANOTHER}, OTHER_CARE_OF: {HOME_ADDRESS}}
            kernel.release()
            assert tunnels() == {}

    host.inside(work)


def test_a_home_agent_knows_its_own_addresses_and_what_leads_away(network: Network) -> None:
    def work() -> None:
        with LinuxHomeAgent(IPv6Address(HOME_AGENT), "home") as kernel:
            own = [HOME_AGENT, "2001:db8:c::2", "::1"]
            own += [line.split()[3].partition("/")[0] for line in link_local.splitlines()]
            assert all(kernel.owns(IPv6Address(address)) for address in own)
            others = (CORRESPONDENT, CARE_OF, STRANGER, "fe80::1", ANOTHER, "2001:db8:ff::1")
            assert not any(kernel.owns(IPv6Address(address)) for address in others)
            near = (CORRESPONDENT, HOME_AGENT, "2001:db8:c::2", ANOTHER, "2001:db8:c::", "ff02::1")
            assert not any(kernel.leads_away(IPv6Address(address)) for address in near)
            assert not kernel.leads_away(IPv6Address("2001:db8:fe::1"))
            # A home agent on the only link of its host has the way to a router there.
            assert kernel.leads_away(IPv6Address("2001:db8:fd::1"))
            assert all(kernel.leads_away(IPv6Address(address)) for address in (CARE_OF, STRANGER))

    network.ha.run("ip -6 route add unreachable 2001:db8:fe::/64")
    network.ha.run(f"ip -6 route add 2001:db8:fd::/64 via {CORRESPONDENT}")
    wait_until(lambda: "tentative" not in network.ha.run("ip -6 addr show"), "addresses")
    link_local = network.ha.run("ip -6 -o addr show dev home scope link")
    network.ha.inside(work)
