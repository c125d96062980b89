"""The lookup of home agents by DNS: exchanges, losses, forgeries, and tshark as a decoder."""

import random
from collections import Counter, deque
from ipaddress import IPv6Address

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR, DNSRRSRV

from agents.core.machine import Discarded, Timing
from agents.core.reader import WireError
from agents.dns.events import Failed, HomeAgent, HomeAgentsFound, Inconclusive, Started
from agents.dns.lookup import HomeAgentLookup
from agents.dns.wire import Answer, Target, in_order
from tests.link import Link
from tests.wireshark import FAULTS, rows, write_datagrams

SERVER = ("2001:db8:2::53", 53)
CLIENT = ("2001:db8:1::2", 40000)
SERVICE = "_mip6._ipv6.home.test"
HA1, HA2 = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::2")
SRV = f"{SERVICE}. 300 IN SRV 10 0 0 ha1.home.test."
SRV2 = f"{SERVICE}. 300 IN SRV 20 0 0 ha2.home.test."
AAAA = f"ha1.home.test. 300 IN AAAA {HA1}"
AAAA2 = f"ha2.home.test. 300 IN AAAA {HA2}"


def records(*lines):
    return [
        dns.rrset.from_text(name, int(ttl), cls, kind, data)
        for name, ttl, cls, kind, data in (line.split(maxsplit=4) for line in lines)
    ]


class Server:
    """Answers from a table: (name, type) to answer and additional records, or to a response code.

    The first `troubles` answers are as these functions change them.
    """

    def __init__(self, table, troubles=()):
        self.outbox = deque()
        self.events = deque()
        self.table = table
        self.troubles = deque(troubles)
        self.asked = []

    def next_timeout(self):
        return None

    def handle_timeout(self, now):
        pass

    def handle_message(self, data, source, _now):
        question = dns.message.from_wire(data)
        assert (question.edns, question.payload) in ((0, 1232), (-1, 0))
        response = self.answer(question)
        if self.troubles:
            self.troubles.popleft()(response)
        self.outbox.append((response.to_wire(max_size=0xFFFF), source))

    def answer(self, question):
        asked = question.question[0]
        key = (asked.name.to_text(omit_final_dot=True), asked.rdtype.name)
        self.asked.append(key)
        response = dns.message.make_response(question)
        match self.table.get(key, dns.rcode.NXDOMAIN):
            case answer, additional:
                response.answer += records(*answer)
                response.additional += records(*additional)
            case rcode:
                response.set_rcode(rcode)
        return response


def code(rcode):
    """Return the trouble of a server that answers with this code and without the question."""

    def change(response):
        response.set_rcode(rcode)
        response.sections = [[], [], [], []]

    return change


def lookup(**options):
    if not options.keys() & {"domain", "host"}:
        options["domain"] = "home.test"
    return HomeAgentLookup(SERVER, **{"rng": random.Random(3), **options})


def exchange(table, *, drop=(), until=60.0, troubles=(), **options):
    machine, server = lookup(**options), Server(table, troubles)
    link = Link(machine, CLIENT, server, SERVER, drop=drop)
    machine.start(0.0)
    link.run(until)
    return machine, server, link


def found(machine):
    return [event.home_agents for event in machine.events if type(event) is HomeAgentsFound]


def reasons(machine):
    return [event.reason for event in machine.events if type(event) is Inconclusive]


def failure(machine):
    (event,) = (event for event in machine.events if type(event) is Failed)
    return event.reason


FULL = {(SERVICE, "SRV"): ((SRV2, SRV), (AAAA2, AAAA))}
LEAN = {
    (SERVICE, "SRV"): ((SRV2, SRV), ()),
    ("ha1.home.test", "AAAA"): ((AAAA,), ()),
    ("ha2.home.test", "AAAA"): ((AAAA2,), ()),
}
PLAIN = {("ha1.home.test", "AAAA"): ((AAAA, f"ha1.home.test. 300 IN AAAA {HA2}"), ())}


def test_with_the_addresses_in_the_answer_one_exchange_is_enough():
    machine, server, link = exchange(FULL)
    agents = (HomeAgent("ha1.home.test", (HA1,)), HomeAgent("ha2.home.test", (HA2,)))
    assert list(machine.events) == [
        Started(0.0),
        HomeAgentsFound(pytest.approx(0.02), agents),
    ]
    assert server.asked == [(SERVICE, "SRV")]
    assert len(link.sent) == 2


@pytest.mark.parametrize("table", ["FULL", "LEAN"])
def test_those_that_have_failed_come_last_and_the_last_one_to_fail_after_the_others(table):
    table = {"FULL": FULL, "LEAN": LEAN}[table]
    for failed, first in (
        ([], "ha1"),
        (["HA1.home.test"], "ha2"),
        (["ha2.home.test"], "ha1"),
        (["ha1.home.test", "ha2.home.test"], "ha1"),
        (["ha2.home.test", "ha1.home.test"], "ha2"),
        (["ha9.home.test"], "ha1"),
    ):
        machine, _, _ = exchange(table, failed=failed)
        ((agent, *_),) = found(machine)
        assert agent.fqdn == f"{first}.home.test"
        assert agent.addresses


def test_without_them_the_first_name_is_looked_up():
    machine, server, _ = exchange(LEAN)
    assert found(machine) == [(HomeAgent("ha1.home.test", (HA1,)), HomeAgent("ha2.home.test", ()))]
    assert server.asked == [(SERVICE, "SRV"), ("ha1.home.test", "AAAA")]


def test_a_name_without_an_address_is_passed_over():
    table = {**LEAN, ("ha1.home.test", "AAAA"): ((), ())}
    machine, server, _ = exchange(table)
    assert found(machine) == [(HomeAgent("ha2.home.test", (HA2,)),)]
    assert len(server.asked) == 3
    # What came along with the names is not asked for again.
    table[SERVICE, "SRV"] = ((SRV2, SRV), (AAAA2,))
    machine, server, _ = exchange(table)
    assert found(machine) == [(HomeAgent("ha2.home.test", (HA2,)),)]
    assert len(server.asked) == 2


@pytest.mark.parametrize("nobodys", ["ff0e::1", "fe80::1", "::1", "::ffff:192.0.2.1", "64:ff9b::1"])
def test_an_address_that_no_home_agent_can_have_is_passed_over(nobodys):
    bad = f"ha1.home.test. 300 IN AAAA {nobodys}"
    table = {**LEAN, ("ha1.home.test", "AAAA"): ((bad,), ())}
    machine, _, _ = exchange(table)
    assert found(machine) == [(HomeAgent("ha2.home.test", (HA2,)),)]
    machine, _, _ = exchange({("ha1.home.test", "AAAA"): ((bad, AAAA), ())}, host="ha1.home.test")
    assert found(machine) == [(HomeAgent("ha1.home.test", (HA1,)),)]
    machine, _, _ = exchange({("ha1.home.test", "AAAA"): ((bad,), ())}, host="ha1.home.test")
    assert failure(machine) == (
        f"no address of ha1.home.test: no home agent can have {IPv6Address(nobodys)}"
    )
    # Nor does it count where it comes along with the names.
    machine, server, _ = exchange({**LEAN, (SERVICE, "SRV"): ((SRV2, SRV), (bad, AAAA2))})
    assert found(machine)[0][0].addresses == (HA1,)
    assert len(server.asked) == 2


def test_by_the_home_agents_own_name():
    machine, server, _ = exchange(PLAIN, host="ha1.home.test.")
    assert found(machine) == [(HomeAgent("ha1.home.test", (HA1, HA2)),)]
    assert server.asked == [("ha1.home.test", "AAAA")]


def test_aliases_are_followed():
    table = {
        (SERVICE, "SRV"): (
            (f"{SERVICE}. 60 IN CNAME s.home.test.", "s.home.test. 60 IN SRV 1 0 0 HA.home.test."),
            (),
        ),
        ("HA.home.test", "AAAA"): (("ha.home.test. 60 IN CNAME ha1.home.test.", AAAA), ()),
    }
    machine, _, _ = exchange(table)
    assert found(machine) == [(HomeAgent("HA.home.test", (HA1,)),)]


def test_aliases_in_a_ring_end():
    there, back = "a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test."
    machine, _, _ = exchange({("a.test", "AAAA"): ((there, back), ())}, host="a.test")
    assert failure(machine) == "no address of a.test: its aliases form a ring"
    # So does a ring that no single answer shows.
    table = {("a.test", "AAAA"): ((there,), ()), ("b.test", "AAAA"): ((back,), ())}
    machine, server, _ = exchange(table, host="a.test")
    assert failure(machine) == "no address of a.test: an alias of b.test"
    assert len(server.asked) == 17


@pytest.mark.parametrize("length", [1, 9, 200])
def test_a_chain_of_aliases_in_one_answer_is_followed_to_its_end(length):
    chain = [f"a{i}.test. 60 IN CNAME a{i + 1}.test." for i in range(length)]
    full = (*reversed(chain), f"a{length}.test. 60 IN AAAA {HA1}")
    machine, server, _ = exchange({("a0.test", "AAAA"): (full, ())}, host="a0.test")
    assert found(machine) == [(HomeAgent("a0.test", (HA1,)),)]
    assert len(server.asked) == 1
    # What the chain leads to is asked about if it is not there.
    table = {
        ("a0.test", "AAAA"): (chain, ()),
        (f"a{length}.test", "AAAA"): ((f"a{length}.test. 60 IN AAAA {HA2}",), ()),
    }
    machine, server, _ = exchange(table, host="a0.test")
    assert found(machine) == [(HomeAgent("a0.test", (HA2,)),)]
    assert [name for name, _ in server.asked] == ["a0.test", f"a{length}.test"]


def test_an_alias_of_another_zone_is_asked_about():
    elsewhere = "_mip6._ipv6.provider.test"
    table = {
        (SERVICE, "SRV"): ((f"{SERVICE}. 60 IN CNAME {elsewhere}.",), ()),
        (elsewhere, "SRV"): ((f"{elsewhere}. 60 IN SRV 1 0 0 ha.home.test.",), ()),
        ("ha.home.test", "AAAA"): (("ha.home.test. 60 IN CNAME ha1.home.test.",), ()),
        ("ha1.home.test", "AAAA"): ((AAAA,), ()),
    }
    machine, server, _ = exchange(table)
    assert found(machine) == [(HomeAgent("ha.home.test", (HA1,)),)]
    assert reasons(machine) == [f"an alias of {elsewhere}", "an alias of ha1.home.test"]
    assert len(server.asked) == 4
    # A server that fails behind an alias may know its target.
    failing = Server(table, troubles=[lambda message: message.set_rcode(dns.rcode.SERVFAIL)])
    machine = asking()
    failing.handle_message(machine.outbox.popleft()[0], CLIENT, 0.0)
    machine.handle_message(failing.outbox.popleft()[0], SERVER, 0.1)
    assert reasons(machine) == [f"an alias of {elsewhere}"]
    assert len(machine.outbox) == 1
    # The alias of nothing is named.
    del table[elsewhere, "SRV"]
    machine, _, _ = exchange(table)
    assert failure(machine) == f"no home agent at {elsewhere}: NXDOMAIN"


@pytest.mark.parametrize("lost", range(4))
def test_any_lost_datagram_costs_one_retransmission(lost):
    machine, _, link = exchange(LEAN, drop={lost})
    assert len(found(machine)) == 1
    assert 1.8 < machine.events[-1].at < 2.3
    assert len({data for _, source, data in link.sent if source == CLIENT}) == 2


def test_silence_fails_at_the_deadline():
    machine, _, link = exchange(LEAN, drop=range(99), until=100)
    assert failure(machine) == f"no answer about {SERVICE} within 15 s"
    assert len(link.sent) == 4
    assert machine.next_timeout() is None
    machine, _, link = exchange(LEAN, drop=range(99), timing=Timing(0.5, count=2))
    assert failure(machine) == f"no answer about {SERVICE} to 2 messages"
    assert len(link.sent) == 2


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({}, f"no home agent at {SERVICE}: NXDOMAIN"),
        ({(SERVICE, "SRV"): ((), ())}, f"no home agent at {SERVICE}: no SRV record"),
        (
            {(SERVICE, "SRV"): ((f"{SERVICE}. 60 IN SRV 0 0 0 .",), ())},
            f"no home agent at {SERVICE}: no SRV record",
        ),
        ({(SERVICE, "SRV"): ((SRV,), ())}, "no address of ha1.home.test: NXDOMAIN"),
    ],
)
def test_what_is_not_in_the_dns(table, reason):
    machine, _, _ = exchange(table)
    assert failure(machine) == reason
    # Another try is possible.
    machine.start(70.0)
    assert len(machine.outbox) == 1


def asking(**options):
    """Return a lookup that has asked its first question."""
    machine = lookup(**options)
    machine.start(0.0)
    machine.events.clear()
    return machine


def answer_to(machine, change=None):
    question = dns.message.from_wire(machine.outbox[0][0])
    response = Server(FULL).answer(question)
    if change:
        change(response)
    return response.to_wire()


def set_id(message):
    message.id ^= 1


def set_question(message):
    message.question = dns.message.make_query("other.test", "SRV").question


def set_kind(message):
    message.question = dns.message.make_query(SERVICE, "AAAA").question


def clear_qr(message):
    message.flags &= ~dns.flags.QR


def drop_question(message):
    message.question = []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_id, "another question"),
        (set_question, "another question"),
        (set_kind, "another question"),
        (clear_qr, "not a response"),
        (drop_question, "does not repeat one question"),
    ],
)
def test_an_answer_that_is_none_is_discarded(change, reason):
    machine = lookup()
    machine.start(0.0)
    machine.handle_message(answer_to(machine, change), SERVER, 0.1)
    event = machine.events[-1]
    assert type(event) is Discarded
    assert reason in event.reason
    machine.handle_message(answer_to(machine), SERVER, 0.2)
    assert type(machine.events[-1]) is HomeAgentsFound


@pytest.mark.parametrize("source", [("2001:db8::bad", 53), (SERVER[0], 5353)])
def test_another_host_or_port_is_not_the_server(source):
    machine = lookup()
    machine.start(0.0)
    machine.handle_message(answer_to(machine), source, 0.1)
    assert machine.events[-1].reason == "not from the DNS server"


def test_a_late_answer_is_discarded():
    machine = lookup()
    machine.start(0.0)
    data = answer_to(machine)
    for now in (0.1, 0.2):
        machine.handle_message(data, SERVER, now)
    assert machine.events[-1] == Discarded(0.2, SERVER[0], "an answer to no question")


def test_the_names_case_does_not_matter():
    machine = lookup(domain="Home.TEST")
    machine.start(0.0)
    question = dns.message.from_wire(machine.outbox[0][0])
    lower = dns.message.make_query(SERVICE, "SRV", id=question.id, use_edns=0)
    machine.handle_message(Server(FULL).answer(lower).to_wire(), SERVER, 0.1)
    assert len(found(machine)) == 1


# Servers in trouble.


@pytest.mark.parametrize("trouble", ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
def test_a_server_in_trouble_is_asked_again_until_the_deadline(trouble):
    again = code(dns.rcode.from_text(trouble))
    machine, server, _ = exchange(FULL, troubles=[again] * 3)
    assert len(found(machine)) == 1
    assert trouble in reasons(machine)[0]
    assert server.asked == [(SERVICE, "SRV")] * 4
    machine, server, _ = exchange(FULL, troubles=[again] * 99)
    assert failure(machine) == f"no usable answer about {SERVICE} within 15 s: {trouble}"
    assert machine.events[-1].at == 15.0
    assert len(server.asked) < 7


def test_a_server_that_does_not_know_edns_is_asked_without_it_at_once():
    machine, _, link = exchange(LEAN, troubles=[code(dns.rcode.FORMERR)])
    assert found(machine) == [(HomeAgent("ha1.home.test", (HA1,)), HomeAgent("ha2.home.test", ()))]
    assert machine.events[-1].at < 0.1
    assert reasons(machine) == ["FORMERR: without EDNS"]
    queries = [dns.message.from_wire(data) for _, source, data in link.sent if source == CLIENT]
    assert [query.edns for query in queries] == [0, -1, -1]


@pytest.mark.parametrize("trouble", [dns.rcode.REFUSED, dns.rcode.SERVFAIL, None])
def test_a_server_that_dislikes_edns_without_saying_so_is_asked_without_it(trouble):
    """Some refuse or fail, some say nothing."""
    machine, server = lookup(), Server(FULL)
    machine.start(0.0)
    now = 0.0
    while not found(machine):
        while machine.outbox:
            data, _ = machine.outbox.popleft()
            question = dns.message.from_wire(data)
            response = server.answer(question)
            if question.edns == 0:
                code(trouble or 0)(response)
            if question.edns != 0 or trouble is not None:
                machine.handle_message(response.to_wire(), SERVER, now)
        now = machine.next_timeout() or now
        machine.handle_timeout(now)
    assert now < 7


def test_an_answer_that_cannot_be_read_is_waited_for_again():
    machine = lookup()
    machine.start(0.0)
    data = answer_to(machine)
    machine.outbox.clear()
    machine.handle_message(data[:-1], SERVER, 0.1)
    assert "not readable" in reasons(machine)[0]
    machine.handle_timeout(machine.next_timeout())
    machine.handle_message(answer_to(machine), SERVER, 3.0)
    assert len(found(machine)) == 1
    # Or there is a better one behind it.
    machine = lookup()
    machine.start(0.0)
    data = answer_to(machine)
    machine.handle_message(data[:-1], SERVER, 0.1)
    machine.handle_message(data, SERVER, 0.2)
    assert len(found(machine)) == 1


def test_a_home_agent_whose_name_is_in_trouble_does_not_keep_from_the_others():
    table = {**LEAN, ("ha1.home.test", "AAAA"): dns.rcode.SERVFAIL}
    machine, _, _ = exchange(table)
    assert found(machine) == [(HomeAgent("ha2.home.test", (HA2,)), HomeAgent("ha1.home.test", ()))]
    assert machine.events[-1].at < 0.1
    # With all in trouble no more is asked than one by one.
    table["ha2.home.test", "AAAA"] = dns.rcode.SERVFAIL
    machine, server, _ = exchange(table)
    assert failure(machine).endswith("within 15 s: SERVFAIL")
    assert len(server.asked) < 10
    # One that is not there at all is not asked about again.
    del table["ha2.home.test", "AAAA"]
    machine, server, _ = exchange(table)
    assert server.asked.count(("ha2.home.test", "AAAA")) == 1


def test_a_home_agent_whose_name_gets_no_answer_does_not_keep_from_the_others():
    machine, server = lookup(), Server(LEAN)
    machine.start(0.0)
    now, asked = 0.0, []
    while not found(machine):
        while machine.outbox:
            data, _ = machine.outbox.popleft()
            name = dns.message.from_wire(data).question[0].name.to_text(omit_final_dot=True)
            asked.append(name)
            if name != "ha1.home.test":
                server.handle_message(data, SERVER, now)
                machine.handle_message(server.outbox.popleft()[0], SERVER, now)
        now = machine.next_timeout() or now
        machine.handle_timeout(now)
    assert asked == [SERVICE, "ha1.home.test", "ha1.home.test", "ha2.home.test"]
    assert now < 8


# Answers that do not fit.


def truncate(message):
    message.flags |= dns.flags.TC


def cut(message):
    """Return the octets of a truncated answer, cut off within its last record."""
    truncate(message)
    message.use_edns(False)
    return message.to_wire()[:-7]


def test_without_tcp_a_truncated_answer_fails():
    for truncated in (lambda message: truncate(message) or message.to_wire(), cut):
        machine = lookup()
        machine.start(0.0)
        question = dns.message.from_wire(machine.outbox[0][0])
        machine.handle_message(truncated(Server(FULL).answer(question)), SERVER, 0.1)
        assert failure(machine) == f"the answer about {SERVICE} is truncated"


MANY = [f"{SERVICE}. 300 IN SRV {i} 0 0 ha{i}.home.test." for i in range(40)]
CROWD = {
    (SERVICE, "SRV"): (MANY, ()),
    ("ha0.home.test", "AAAA"): ((f"ha0.home.test. 300 IN AAAA {HA1}",), ()),
}


def asked_over_tcp(table=CROWD):
    """Return a lookup that has got a truncated answer, the server, and the query for TCP."""
    machine, server = lookup(tcp=True), Server(table)
    machine.start(0.0)
    question = dns.message.from_wire(machine.outbox.popleft()[0])
    machine.handle_message(cut(server.answer(question)), SERVER, 0.1)
    assert not machine.outbox
    ((data, destination),) = machine.streams
    assert destination == SERVER
    machine.streams.clear()
    return machine, server, dns.message.from_wire(data)


def test_what_does_not_fit_is_asked_for_over_tcp():
    machine, server, question = asked_over_tcp()
    answer = server.answer(question).to_wire(max_size=0xFFFF)
    assert len(answer) > 1232
    machine.handle_message(answer, SERVER, 0.2)
    # The next question is a datagram's again.
    server.handle_message(machine.outbox.popleft()[0], CLIENT, 0.3)
    machine.handle_message(server.outbox.popleft()[0], SERVER, 0.3)
    ((first, *others),) = found(machine)
    assert first == HomeAgent("ha0.home.test", (HA1,))
    assert [agent.fqdn for agent in others] == [f"ha{i}.home.test" for i in range(1, 16)]


def test_over_tcp_too_there_is_a_deadline_and_another_try():
    machine, _, _ = asked_over_tcp()
    machine.handle_lost("connection refused", 0.2)
    assert reasons(machine) == ["truncated: over TCP", "TCP: connection refused"]
    machine.handle_timeout(machine.next_timeout())
    assert len(machine.outbox) == 1  # By UDP first, as ever.
    machine.handle_timeout(15.0)
    assert failure(machine).endswith("within 15 s: TCP: connection refused")
    # Silence is no other end.
    machine, _, _ = asked_over_tcp()
    machine.handle_timeout(machine.next_timeout())
    assert len(machine.outbox) == 1
    machine.handle_lost("late", 10.0)
    assert reasons(machine) == ["truncated: over TCP"]


def test_tcp_has_the_time_that_two_round_trips_over_long_links_take():
    machine, server, question = asked_over_tcp()
    for now in (2.2, 4.4, 7.0):
        machine.handle_timeout(now)
    assert not machine.outbox
    machine.handle_message(server.answer(question).to_wire(max_size=0xFFFF), SERVER, 7.1)
    assert len(machine.outbox) == 1
    # Where TCP is refused nothing is in flight to wait for.
    machine, _, _ = asked_over_tcp()
    machine.handle_lost("connection refused", 1.0)
    assert 2.8 <= machine.next_timeout() <= 3.2


def test_a_late_datagram_does_not_answer_for_tcp():
    machine, server, question = asked_over_tcp()
    other = dns.message.make_query(SERVICE, "SRV", id=question.id ^ 1)
    machine.handle_message(cut(server.answer(other)), SERVER, 0.2)
    assert machine.events[-1].reason == "an answer to another question"
    # Truncated over TCP it is of no use.
    machine.handle_message(cut(server.answer(question)), SERVER, 0.3)
    assert reasons(machine)[-1] == "truncated over TCP too"
    assert not machine.streams


def test_an_answer_written_by_scapy():
    machine = lookup()
    machine.start(0.0)
    identifier = int.from_bytes(machine.outbox[0][0][:2])
    data = bytes(
        DNS(
            id=identifier,
            qr=1,
            qd=[DNSQR(qname=SERVICE, qtype="SRV")],
            an=[DNSRRSRV(rrname=SERVICE, priority=1, weight=2, port=0, target="ha1.home.test")],
            ar=[DNSRR(rrname="ha1.home.test", type="AAAA", rdata=str(HA1))],
        )
    )
    machine.handle_message(data, SERVER, 0.1)
    assert found(machine) == [(HomeAgent("ha1.home.test", (HA1,)),)]


def test_priority_orders_and_weight_draws():
    targets = (Target(2, 0, "last"), Target(1, 30, "b"), Target(1, 10, "a"), Target(0, 0, "first"))
    rng = random.Random(1)
    orders = Counter(tuple(in_order(targets, rng)) for _ in range(2000))
    assert set(orders) == {("first", "a", "b", "last"), ("first", "b", "a", "last")}
    assert 0.68 < orders["first", "b", "a", "last"] / 2000 < 0.82


@pytest.mark.parametrize("options", [{"domain": "a", "host": "b"}, {"domain": "a..b"}])
def test_impossible_questions(options):
    with pytest.raises(ValueError, match="name"):
        lookup(**options)


def test_no_truncation_of_an_answer_concludes():
    for length in range(len(answer_to(asking()))):
        machine = asking()
        machine.handle_message(answer_to(machine)[:length], SERVER, 0.1)
        assert type(machine.events[-1]) in (Discarded, Inconclusive)
        machine.handle_message(answer_to(machine), SERVER, 0.2)
        assert type(machine.events[-1]) is HomeAgentsFound


NAMES = st.lists(st.binary(min_size=1, max_size=63), max_size=3).map(
    lambda labels: b"".join(len(label).to_bytes(1) + label for label in labels) + b"\0"
)
RECORDS = st.tuples(
    st.sampled_from([b"\xc0\x0c", b"\0"]) | NAMES,
    st.sampled_from([5, 28, 33, 39, 41, 250]) | st.integers(0, 0xFFFF),
    st.sampled_from([1, 3, 255]),
    NAMES | st.binary(max_size=30) | st.binary(min_size=16, max_size=16),
    st.sampled_from([0, 0, 0, 1, -1]),
).map(
    lambda r: (
        r[0] + b"".join(n.to_bytes(2) for n in (r[1], r[2], 0, 60, max(len(r[3]) + r[4], 0))) + r[3]
    )
)


@settings(max_examples=200)
@given(records=st.lists(RECORDS, max_size=6), flags=st.integers(0, 0x7FFF), data=st.data())
def test_whatever_a_server_says_is_an_event(records, flags, data):
    machine = asking(tcp=True)
    query = machine.outbox.popleft()[0]
    counts = [len(records), 0, 0]
    data.draw(st.randoms()).shuffle(counts)
    head = query[:2] + b"".join(n.to_bytes(2) for n in (0x8000 | flags & 0x020F, 1, *counts))
    question = query[12 : len(query) - 11]  # Behind it is the OPT record.
    machine.handle_message(head + question + b"".join(records), SERVER, 0.1)
    assert len(machine.events) == 1
    while (deadline := machine.next_timeout()) is not None:
        machine.handle_timeout(deadline)
    assert deadline is None


@settings(max_examples=300)
@given(data=st.data())
def test_random_bytes_as_an_answer(data):
    machine = asking()
    junk = data.draw(st.binary(max_size=100))
    if data.draw(st.booleans()):
        changed = bytearray(answer_to(machine))
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        junk = bytes(changed)
    machine.handle_message(junk, SERVER, 0.1)
    try:
        Answer.decode(junk)
    except WireError:
        assert type(machine.events[-1]) is Discarded


@pytest.mark.parametrize("table", [FULL, LEAN, {}])
def test_tshark_reads_every_query(table, tmp_path):
    _, server, link = exchange(table)
    path = tmp_path / "lookup.pcap"
    other = {SERVER: CLIENT, CLIENT: SERVER}
    write_datagrams(path, [(source, other[source], data) for _, source, data in link.sent])
    fields = ("dns.qry.name", "dns.qry.type")
    assert rows(path, *fields, where=FAULTS) == []
    numbers = {"SRV": 33, "AAAA": 28}
    assert rows(path, *fields, where="dns.flags.response == 0") == [
        f"{name}\t{numbers[kind]}" for name, kind in server.asked
    ]
