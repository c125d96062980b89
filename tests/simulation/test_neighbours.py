"""Address resolution: a packet waits for its neighbour's answer, and no longer than for three."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.kernel.packet import ICMPV6, UDP, Packet
from agents.mip6.neighbour import ALL_NODES, read_claim, solicitation, solicited_node
from agents.simulation.frames import ipv6
from tests.nodes.net import AAA, COA, HA, NAS, ROUTER, Net

PORT = 716
DELAY = 0.001
NONCE = bytes(6)


class Strangers:
    """A network in which nobody knows a neighbour."""

    def __init__(self):
        self.net = Net()
        for stack in self.net.stacks.values():
            for interface in stack.interfaces.values():
                interface.neighbours.forget()
        self.came = []
        there = self.net.program("C")
        there.open_datagrams((AAA, PORT), lambda *_: self.came.append(self.net.clock.now))
        self.socket = self.net.program("A").open_datagrams((str(COA), PORT), lambda *_: None)

    def send(self, to=AAA):
        self.socket.send(b"x", (to, PORT))

    def sent(self, protocol):
        return [s.packet for s in self.net.world.sent if s.packet.protocol == protocol]


@pytest.fixture
def net():
    return Strangers()


def test_a_packet_waits_a_round_trip_on_each_link_where_the_next_hop_is_not_known(net):
    net.send()
    net.net.run(1.0)
    assert net.came == [pytest.approx(2 * 3 * DELAY)]
    ask, answer, *_ = net.sent(ICMPV6)
    assert (ask.source, ask.destination) == (COA, solicited_node(IPv6Address(ROUTER)))
    assert (answer.source, answer.destination) == (IPv6Address(ROUTER), COA)
    assert ask.hop_limit == answer.hop_limit == 255
    net.send()
    net.net.run(1.0)
    assert len(net.sent(ICMPV6)) == 2 * 2
    assert net.came[1] == pytest.approx(1.0 + 2 * DELAY)


def test_who_was_asked_knows_who_asked(net):
    net.send()
    net.net.run(1.0)
    before = len(net.sent(ICMPV6))
    net.net.stacks["B"].send(Packet(IPv6Address(ROUTER), COA, UDP, 1, 2))
    net.net.run(1.0)
    assert len(net.sent(ICMPV6)) == before
    assert net.sent(UDP)[-1].destination == COA


def test_what_waits_leaves_in_order_when_the_answer_comes(net):
    for _ in range(3):
        net.send()
    net.net.run(1.0)
    assert len(net.came) == 3
    assert len(net.sent(ICMPV6)) == 2 * 2


def test_a_lost_question_comes_again_after_a_second(net):
    net.net.world.loses = lambda number, _: number == 0
    net.send()
    net.net.run(2.0)
    assert net.came == [pytest.approx(1 + 2 * 3 * DELAY)]


def test_who_is_not_there_is_asked_for_three_times_whenever_something_is_sent(net):
    for _ in range(2):
        net.send("2001:db8:a::99")
        net.net.run(10.0)
    assert len(net.sent(ICMPV6)) == 2 * 3
    assert net.sent(UDP) == []


def test_who_detects_a_duplicate_is_answered_to_all(net):
    heard = []
    link = net.net.program("A").open_link("access", heard.append)
    router = IPv6Address(ROUTER)
    link.send(solicitation(router, NONCE), solicited_node(router))
    net.net.run(1.0)
    assert [read_claim(packet).target for packet in heard] == [router]
    assert net.sent(ICMPV6)[-1].destination == ALL_NODES


def test_a_home_agent_answers_for_who_is_away(net):
    home = HA + 0x1234
    stack = net.net.stacks["C"]
    agent = net.net.home_agent()
    agent.prepare()
    agent.bind(home, COA, None)
    interface = stack.interfaces["home"]
    ask = Packet(HA + 1, solicited_node(home), ICMPV6, payload=solicitation(home, NONCE)[40:])
    interface.neighbours.hear(Packet(HA + 1, ask.destination, ICMPV6, 0, 0, ask.payload, 255))
    net.net.run(1.0)
    (answer,) = net.sent(ICMPV6)
    assert read_claim(ipv6(answer)).target == home


OWN, MAC = IPv6Address(ROUTER), bytes([2, 0, 0, 0, 0, 0x66])
LINK_ADDRESS, NO_LENGTH, TOO_LONG = bytes((1, 1)) + MAC, bytes((14, 0)) + MAC, bytes((14, 2)) + MAC
UNSPECIFIED = IPv6Address("::")


@pytest.mark.parametrize(
    ("source", "to", "code", "options", "hops"),
    [
        (COA, solicited_node(OWN), 1, LINK_ADDRESS, 255),
        (COA, solicited_node(OWN), 0, LINK_ADDRESS + NO_LENGTH, 255),
        (COA, solicited_node(OWN), 0, LINK_ADDRESS + TOO_LONG, 255),
        (COA, solicited_node(OWN), 0, LINK_ADDRESS + b"\1", 255),
        (COA, solicited_node(OWN), 0, LINK_ADDRESS, 254),
        (ALL_NODES, solicited_node(OWN), 0, LINK_ADDRESS, 255),
        (UNSPECIFIED, solicited_node(OWN), 0, LINK_ADDRESS, 255),
        (UNSPECIFIED, OWN, 0, b"", 255),
    ],
)
def test_a_solicitation_that_is_not_valid_is_neither_answered_nor_believed(
    net, source, to, code, options, hops
):
    interface = net.net.stacks["B"].interfaces["access"]
    body = bytes((135, code)) + bytes(6) + OWN.packed + options
    interface.stack.arrive(Packet(source, to, ICMPV6, payload=body, hop_limit=hops), interface)
    net.net.run(1.0)
    assert net.sent(ICMPV6) == []


def test_an_advertisement_that_is_not_valid_is_not_believed(net):
    net.send()
    interface = net.net.stacks["A"].interfaces["access"]
    option = bytes((2, 1)) + MAC
    for flags, to, options in (
        (0x20, COA, option + NO_LENGTH),
        (0x60, ALL_NODES, option),
        (0x20, COA, b""),
    ):
        body = bytes((136, 0, 0, 0, flags)) + bytes(3) + OWN.packed + options
        interface.neighbours.hear(Packet(OWN, to, ICMPV6, payload=body, hop_limit=255))
    net.net.run(1.0)
    assert net.came


def test_there_is_no_question_about_an_address_of_this_host(net):
    net.net.stacks["B"].send(Packet(IPv6Address(NAS), IPv6Address(ROUTER), UDP, 1, 2))
    net.net.run(1.0)
    assert net.net.world.sent == []
