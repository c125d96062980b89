"""The simulated DNS server answers with the sections that NSD was captured to have."""

from __future__ import annotations

import dns.message
import dns.rcode
import pytest

from agents.daemons.nsd import DnsServerConfiguration, HomeAgentRecord, Zone
from agents.simulation.servers import DnsServer
from tests.nodes.net import AAA, COA, Net

SERVICE, AGENT = "_mip6._ipv6.home.test.", "ha.home.test."


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def server(net):
    agent = HomeAgentRecord(name="ha.home.test", addresses=["2001:db8:100::1"])
    zone = Zone(domain="home.test", home_agents=[agent])
    settings = DnsServerConfiguration(host="C", address=AAA, work="", zones=[zone])
    return DnsServer(settings, net.program("C"))


@pytest.fixture
def ask(net, server):  # noqa: ARG001 It is to be there.
    answers = []

    def ask(name, kind):
        socket = net.program("A").open_datagrams(
            (str(COA), 0), lambda data, _: answers.append(data)
        )
        socket.send(dns.message.make_query(name, kind, use_edns=0).to_wire(), (AAA, 53))
        net.run(1.0)
        return dns.message.from_wire(answers.pop())

    return ask


def names(section):
    return [(str(records.name), records.rdtype.name) for records in section]


def test_a_service_brings_its_server_and_the_zones(ask):
    answer = ask(SERVICE, "SRV")
    assert names(answer.answer) == [(SERVICE, "SRV")]
    assert names(answer.authority) == [("home.test.", "NS")]
    assert names(answer.additional) == [("ns.home.test.", "AAAA"), (AGENT, "AAAA")]
    assert answer.edns == 0


def test_an_address_brings_the_zones_server(ask):
    answer = ask(AGENT, "AAAA")
    assert names(answer.authority) == [("home.test.", "NS")]
    assert names(answer.additional) == [("ns.home.test.", "AAAA")]


def test_what_a_name_does_not_have_is_told_with_the_zones_start(ask):
    answer = ask(AGENT, "SRV")
    assert answer.answer == []
    assert names(answer.authority) == [("home.test.", "SOA")]


def altered(data):
    """Yield an octet string with each of its bits altered."""
    for bit in range(8 * len(data)):
        octets = bytearray(data)
        octets[bit // 8] ^= 1 << bit % 8
        yield bytes(octets)


def test_no_alteration_of_a_query_breaks_the_server(server):
    query = dns.message.make_query(SERVICE, "SRV", use_edns=0).to_wire()
    answers = [server.answer(one) for one in altered(query)]
    assert None in answers  # One that says that it is an answer, for example.
    assert {dns.message.from_wire(one).rcode() for one in filter(None, answers)} >= {
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
        dns.rcode.REFUSED,
        dns.rcode.NOTIMP,
    }
