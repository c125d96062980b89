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

from agents.dns.events import Failed, HomeAgent, HomeAgentsFound, Started
from agents.dns.lookup import HomeAgentLookup
from agents.dns.wire import Answer, Target, in_order
from agents.machine import Discarded, Timing
from agents.wire import WireError
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
    """Answers from a table: (name, type) to answer and additional records."""

    def __init__(self, table, rcode=dns.rcode.NXDOMAIN):
        self.outbox = deque()
        self.events = deque()
        self.table = table
        self.rcode = rcode
        self.asked = []

    def next_timeout(self):
        return None

    def handle_timeout(self, now):
        pass

    def handle_message(self, data, source, _now):
        question = dns.message.from_wire(data)
        assert question.edns == 0
        assert question.payload == 1232
        self.outbox.append((self.answer(question).to_wire(), source))

    def answer(self, question):
        asked = question.question[0]
        key = (asked.name.to_text(omit_final_dot=True), asked.rdtype.name)
        self.asked.append(key)
        response = dns.message.make_response(question)
        answer, additional = self.table.get(key, (None, ()))
        if answer is None:
            response.set_rcode(self.rcode)
        response.answer += records(*(answer or ()))
        response.additional += records(*additional)
        return response


def lookup(**options):
    if not options.keys() & {"domain", "host"}:
        options["domain"] = "home.test"
    return HomeAgentLookup(SERVER, **{"rng": random.Random(3), **options})


def exchange(table, *, drop=(), until=60.0, **options):
    machine, server = lookup(**options), Server(table)
    link = Link(machine, CLIENT, server, SERVER, drop=drop)
    machine.start(0.0)
    link.run(until)
    return machine, server, link


def found(machine):
    return [event.home_agents for event in machine.events if type(event) is HomeAgentsFound]


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
    ring = ("a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test.")
    machine, _, _ = exchange({("a.test", "AAAA"): (ring, ())}, host="a.test")
    assert failure(machine) == "no address of a.test: no AAAA record"


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
    assert failure(machine) == f"no answer about {SERVICE}"
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


def test_a_truncated_answer_fails():
    machine = lookup()
    machine.start(0.0)

    def truncate(message):
        message.flags |= dns.flags.TC

    machine.handle_message(answer_to(machine, truncate), SERVER, 0.1)
    assert failure(machine) == f"the answer about {SERVICE} is truncated"


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


def test_every_truncation_is_discarded():
    machine = lookup()
    machine.start(0.0)
    data = answer_to(machine)
    for length in range(len(data)):
        machine.handle_message(data[:length], SERVER, 0.1)
        assert type(machine.events[-1]) is Discarded


@settings(max_examples=300)
@given(data=st.data())
def test_random_bytes_as_an_answer(data):
    machine = lookup()
    machine.start(0.0)
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
