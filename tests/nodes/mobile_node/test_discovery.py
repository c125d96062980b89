"""What the mobile node takes from DHCPv6 and DNS, and when it stops listening."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import dns.flags
import dns.message
import dns.rrset
import pytest

from agents.bootstrap.assignment import Assignment
from agents.dhcpv6.home import Home, HomeInformation
from agents.dhcpv6.wire import (
    ALL_RELAY_AGENTS_AND_SERVERS,
    CLIENT_PORT,
    SERVER_PORT,
    Message,
    MessageType,
    Option,
    OptionCode,
)
from agents.dns.events import HomeAgent as HomeAgentOfDns
from agents.dns.wire import PORT
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.mobile_node.discovery import Discovery, Tried
from agents.nodes.mobile_node.settings import (
    Dhcpv6Settings,
    DnsSettings,
    EapSettings,
    MobileNodeConfiguration,
)
from agents.nodes.tls import TlsSettings
from tests.ike import COA
from tests.nodes.mobile_node.surroundings import IKEV2_EAP, AccessNetwork, HomeAgent, Mobile
from tests.nodes.simulated import DELAY, INTERFACE, Network, Node

HERE, SERVER = IPv6Address("2001:db8:a::2"), IPv6Address("2001:db8:a::53")
OTHER = Assignment(IPv6Address("2001:db8:300::1"), 64, IPv6Address("2001:db8:300::1234"))
HA, OTHER_HA = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::2")
SERVICE = "_mip6._ipv6.home.test."
DUID = bytes.fromhex("000200007ed901")


def home(*addresses, prefixes=(), names=()):
    return HomeInformation(Home.IDENTIFIED, "home.test", prefixes, addresses, names)


def reply(request, *options):
    """Return the Reply to an Information-request that has these options."""
    asked = Message.decode(request)
    common = asked.first(OptionCode.CLIENT_ID), Option(OptionCode.SERVER_ID, DUID)
    return Message(MessageType.REPLY, asked.transaction_id, (*common, *options)).encode()


def dhcpv6_server(node, *answers):
    """Serve DHCPv6: one request gets all the answers."""

    def take(data, source):
        for answer in answers:
            server.send(reply(data, answer.to_option()), source)

    server = node.host.open_datagrams(
        ("::", SERVER_PORT), take, interface=INTERFACE, multicast=ALL_RELAY_AGENTS_AND_SERVERS
    )


def addressed(*answers):
    """Return the records of home agents with these addresses, the first one preferred."""
    names = [f"ha{number}.home.test." for number, _ in enumerate(answers)]
    lines = [f"{number} 0 0 {name}" for number, name in enumerate(names)]
    services = dns.rrset.from_text(SERVICE, 60, "IN", "SRV", *lines)
    found = zip(names, answers, strict=True)
    return services, [dns.rrset.from_text(n, 60, "IN", "AAAA", str(a)) for n, a in found]


def respond(query, addresses):
    response = dns.message.make_response(dns.message.from_wire(query))
    services, extra = addressed(*addresses)
    response.answer.append(services)
    response.additional.extend(extra)
    return response.to_wire()


def dns_server(node, *answers):
    """Serve DNS: one query gets all the answers, each the addresses of home agents."""

    def take(query, source):
        for addresses in answers:
            server.send(respond(query, addresses), source)

    server = node.host.open_datagrams((str(SERVER), PORT), take)
    return server


class Truncated:
    """Serves DNS by TCP, or not; by UDP it tells nothing but that more does not fit."""

    def __init__(self, node, *addresses, listens=True):
        self._addresses = addresses
        self._datagrams = node.host.open_datagrams((str(SERVER), PORT), self._take)
        listen = [(str(SERVER), PORT)] if listens else []
        self._streams = node.host.open_streams(self, listen)

    def _take(self, query, source):
        response = dns.message.make_response(dns.message.from_wire(query))
        response.flags |= dns.flags.TC
        self._datagrams.send(response.to_wire(), source)

    def accepted(self, _source, _local):
        return 1

    def received(self, number, data):
        answer = respond(data[2:], self._addresses)
        self._streams.send(number, len(answer).to_bytes(2) + answer)

    def closed(self, number, reason):
        pass


def outcomes(settings, serve, *given, **options):
    """Return what the mobile node makes of a server's answers, and when it does."""
    network = Network()
    serve(Node(network, "D", SERVER), *given, **options)
    mn = Node(network, "A", HERE)
    results = []
    discovery = Discovery(
        mn.host,
        settings,
        INTERFACE,
        HERE,
        log=mn.log,
        tried=Tried(),
        on_found=lambda found: results.append((network.now, found)),
        on_failure=lambda reason: results.append((network.now, reason)),
    )
    discovery.start()
    network.run(100.0)
    ((when, outcome),) = results  # The first outcome is the last.
    return when, outcome


BY_DHCPV6 = Dhcpv6Settings(network="home.test", initial_delay=False)
BY_DNS = DnsSettings(server=str(SERVER), domain="home.test")


@pytest.mark.parametrize(
    ("information", "outcome"),
    [
        (home(HA), Assignment(HA, 64)),
        (home(HA, prefixes=(IPv6Network("2001:db8:100::/48"),)), Assignment(HA, 48)),
        (home(HERE, HA), Assignment(HA, 64)),
        (home(HERE), "DHCPv6: the home agent has an address of this host"),
        (home(names=("ha.home.test",)), "DHCPv6: the home agent has a name only, ha.home.test"),
    ],
)
def test_what_dhcpv6_tells_first_counts(information, outcome):
    when, found = outcomes(BY_DHCPV6, dhcpv6_server, information, home(OTHER_HA))
    assert (when, found) == (pytest.approx(2 * DELAY), outcome)


@pytest.mark.parametrize(
    ("addresses", "outcome"),
    [
        ([HA], Assignment(HA, 64)),
        ([HERE, HA], Assignment(HA, 64)),
        ([HERE], "DNS: the home agent has an address of this host"),
    ],
)
def test_what_dns_tells_first_counts(addresses, outcome):
    when, found = outcomes(BY_DNS, dns_server, addresses, [OTHER_HA])
    assert (when, found) == (pytest.approx(2 * DELAY), outcome)


@pytest.mark.parametrize(
    ("settings", "serve", "patience", "reason"),
    [
        (BY_DHCPV6, dhcpv6_server, 30.0, "DHCPv6: no valid Reply"),
        (BY_DNS, dns_server, 15.0, "DNS: no answer"),
    ],
)
def test_who_is_told_nothing_says_so(settings, serve, patience, reason):
    when, outcome = outcomes(settings, serve)
    assert when == patience
    assert outcome.startswith(reason)


def test_what_does_not_fit_into_a_datagram_is_asked_for_over_a_stream():
    _, found = outcomes(BY_DNS, Truncated, HA)
    assert found == Assignment(HA, 64)


def test_a_server_that_has_no_streams_is_told_in_the_reason():
    _, reason = outcomes(BY_DNS, Truncated, listens=False)
    assert reason.endswith("TCP: Connection refused")


def test_a_home_agent_that_is_not_found_is_looked_for_again(authority):
    network = Network()
    AccessNetwork(network, authority)
    agent = HomeAgent(network, authority=authority)
    mn = Mobile(network, authority, discovery=BY_DNS, ikev2=IKEV2_EAP)
    mn.logged("AttemptFailed", 2)
    dns_server(Node(network, "D", SERVER), [HA])
    mn.logged("Bootstrapped")
    assert len(agent.updates) == 1


@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_loses_its_home_agent_looks_for_it_again_and_takes_it_or_another(authority, elsewhere):
    network = Network()
    AccessNetwork(network, authority)
    first = HomeAgent(network, authority=authority)
    server = Node(network, "D", SERVER)
    known = dns_server(server, [HA])
    mn = Mobile(network, authority, discovery=BY_DNS, ikev2=IKEV2_EAP)
    mn.logged("Bootstrapped")
    known.close()
    if elsewhere:
        other = HomeAgent(network, OTHER, authority=authority)
        dns_server(server, [OTHER.home_agent])
    first.end()
    if elsewhere:
        mn.logged("Bootstrapped", 2)
        assert len(other.updates) == 1
    else:  # Nobody answers: what was known before is tried.
        network.until(lambda: len(first.updates) == 2)
        assert [one["stage"] for one in mn.told("AttemptFailed")] == ["discovery"]


def test_a_port_that_another_program_has_is_tried_again(authority):
    network = Network()
    AccessNetwork(network, authority)
    mn = Mobile(network, authority, discovery=BY_DHCPV6, ikev2=IKEV2_EAP)
    dhcpv6_server(Node(network, "D", SERVER), home(HA))
    local = str(COA), CLIENT_PORT
    other = mn.host.open_datagrams(local, lambda *_: None, interface=INTERFACE)
    mn.logged("AttemptFailed", 3)
    other.close()
    mn.logged("HomeAgentLearned")


@pytest.mark.parametrize("discovery", [BY_DHCPV6, BY_DNS])
def test_a_mobile_node_that_expects_sealed_information_asks_nobody_else(discovery):
    tls = TlsSettings(ca="", certificate="", key="")
    common = {
        "host": "A",
        "interface": "A-eth0",
        "work": "",
        "eap": EapSettings(identity="mn@home.test", server_name="aaa.home.test", tls=tls),
        "discovery": discovery,
        "ikev2": Ikev2Settings(),
    }
    MobileNodeConfiguration(**common)
    with pytest.raises(ValueError, match="not sealed"):
        MobileNodeConfiguration(**common, protection="sealed")


def test_of_the_addresses_of_one_that_has_failed_the_others_are_tried_first():
    tried, third = Tried(), OTHER_HA + 1
    tried.learn([HomeAgentOfDns("ha1.home.test", (HA, OTHER_HA)), HomeAgentOfDns("ha2", (third,))])
    tried.fail(HA)
    assert tried.names == ["ha1.home.test"]
    assert tried.in_order([HA, OTHER_HA, third]) == [OTHER_HA, third, HA]
    tried.fail(third)
    tried.fail(HA)
    assert tried.names == ["ha2", "ha1.home.test"]
    assert tried.in_order([HA, OTHER_HA, third]) == [OTHER_HA, third, HA]
    tried.fail(OTHER_HA)
    assert tried.in_order([HA, OTHER_HA, third]) == [third, HA, OTHER_HA]


def test_who_has_several_names_has_failed_by_all_of_them():
    tried, third = Tried(), OTHER_HA + 1
    same = [HomeAgentOfDns(name, (HA,)) for name in ("ha1", "ha2")]
    for agent in (*same, same[0]):  # As answers name one of them, and the other one then.
        tried.learn([agent, HomeAgentOfDns("ha3", (third,))])
        tried.fail(HA)
    assert sorted(tried.names) == ["ha1", "ha2"]
    tried = Tried()
    tried.learn(same)
    tried.fail(HA)
    assert tried.names == ["ha1", "ha2"]


def test_of_more_home_agents_than_an_answer_is_read_of_the_last_has_its_turn():
    tried = Tried()
    there = [HA + number for number in range(99)]
    for _ in there[1:]:
        tried.fail(tried.in_order(there)[0])
    assert tried.in_order(there)[0] == there[-1]


def test_it_is_forgotten_what_failed_long_ago():
    tried = Tried()
    for number in range(2000):
        tried.fail(HA + number)
    assert tried.in_order([HA + 1999, HA + 1000, HA + 999]) == [HA + 999, HA + 1000, HA + 1999]
    assert tried.in_order([HA + 1000, HA]) == [HA, HA + 1000]


def test_no_more_are_remembered_than_an_answer_has():
    tried = Tried()
    for number in range(100):
        tried.fail(HA + number)
    assert tried.in_order([HA + 99, HA + 84, HA]) == [HA, HA + 84, HA + 99]
    assert tried.names == []
