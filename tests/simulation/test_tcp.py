"""TCP's segments on the wire: how octets are cut, when they are acknowledged, and how many go."""

from __future__ import annotations

import random
from ipaddress import IPv6Address

import pytest

from agents.core.record import replace
from agents.kernel.packet import TCP, Packet, Segment
from agents.simulation.tcp import ACK, FIN, PSH, RST, SYN
from tests.nodes.net import AAA, COA
from tests.simulation.test_streams import WAY, Ends

LINK = "access"
LARGEST = 1428


class Wire(Ends):
    """What passes the access link from now on: from whom, flags, octets, and when."""

    def __init__(self, *, connected=True):
        super().__init__(connected=connected)
        self.began = self.net.clock.now
        self.net.world.sent.clear()

    def segments(self, source=None):
        return [
            (s.packet.segment.flags, len(s.packet.payload), round(s.at - self.began, 6))
            for s in self.net.world.sent
            if s.link == LINK
            and s.packet.protocol == TCP
            and source in (None, str(s.packet.source))
        ]


@pytest.fixture
def wire():
    return Wire()


def test_a_stream_opens_with_three_segments():
    wire = Wire(connected=False)
    wire.here.connect()
    wire.run()
    assert [s[:2] for s in wire.segments()] == [(SYN, 0), (SYN | ACK, 0), (ACK, 0)]


def test_a_refusal_is_one_segment(wire):
    wire.here.connect((AAA, 1))
    wire.run()
    assert [s[0] for s in wire.segments()] == [SYN, RST | ACK]


def test_octets_are_cut_into_the_largest_segments_and_the_last_is_pushed(wire):
    wire.here.streams.send(1, bytes(3000))
    wire.run()
    sizes = [(ACK, LARGEST), (ACK, LARGEST), (PSH | ACK, 3000 - 2 * LARGEST)]
    assert [s[:2] for s in wire.segments(str(COA))] == sizes


def test_ten_segments_go_at_once_and_then_more_with_each_acknowledgement(wire):
    wire.here.streams.send(1, bytes(40 * LARGEST))
    wire.run()
    times = [at for _, octets, at in wire.segments(str(COA)) if octets]
    first, second = (times.count(round(2 * WAY * n, 6)) for n in (0, 1))
    assert (first, second) == (10, 20)
    assert sum(map(len, wire.there.data())) == 40 * LARGEST


def test_the_first_octets_are_acknowledged_at_once(wire):
    wire.here.streams.send(1, b"x")
    wire.run()
    assert wire.segments(AAA) == [(ACK, 0, pytest.approx(WAY + 0.001))]


def test_an_answer_brings_the_acknowledgement_along_in_a_conversation(wire):
    wire.here.streams.send(1, b"question")
    wire.run(WAY)
    wire.there.streams.send(1, b"answer")
    wire.run()
    before = len(wire.segments())
    wire.here.streams.send(1, b"question")
    wire.run(WAY + 0.01)
    wire.there.streams.send(1, b"answer")
    wire.run()
    after = [s[:2] for s in wire.segments()[before:]]
    assert after == [(PSH | ACK, 8), (PSH | ACK, 6), (ACK, 0)]


def test_in_a_conversation_an_acknowledgement_alone_comes_late(wire):
    wire.here.streams.send(1, b"x")
    wire.run(WAY)
    wire.there.streams.send(1, b"x")
    wire.run()
    wire.net.world.sent.clear()
    wire.began = wire.net.clock.now
    wire.here.streams.send(1, b"x")
    wire.run()
    assert wire.segments(AAA) == [(ACK, 0, pytest.approx(WAY + 0.04 + 0.001))]


def test_both_ends_are_closed_with_three_segments(wire):
    wire.here.streams.end(1)
    wire.run()
    assert [s[0] for s in wire.segments()] == [FIN | ACK, FIN | ACK, ACK]
    assert all(not tcp.streams for tcp in wire.net._tcp.values())


def test_what_is_lost_comes_again_after_the_round_trip_and_the_margin(wire):
    wire.lose(lambda number: number == 0)
    wire.here.streams.send(1, b"x")
    wire.run()
    first, again = (at for _, octets, at in wire.segments(str(COA)) if octets)
    assert again - first == pytest.approx(2 * WAY + 0.2, abs=0.001)


class Third(Wire):
    """Somebody beside the two ends, who guesses numbers; `last` is the mobile node's segment."""

    def __init__(self):
        super().__init__()
        self.here.streams.send(1, b"before")
        self.run()
        sent = [s.packet for s in self.net.world.sent if s.packet.protocol == TCP]
        self.last = next(p for p in sent if p.payload)
        self.next = replace(self.last.segment, sequence=self.last.segment.sequence + 6)
        self.net.world.sent.clear()

    def forge(self, segment, data=b""):
        """Send the server a segment in the mobile node's name."""
        packet = replace(self.last, segment=segment, payload=data)
        interface = self.net.stacks["D"].interfaces["access"]
        interface.link.send(packet, interface)
        self.run()

    def lives(self):
        """Tell whether the stream goes on, and nobody has heard of anything else."""
        self.here.streams.send(1, b"after")
        self.run()
        return b"".join(self.there.data()) == b"beforeafter" and not self.here.told


@pytest.fixture
def third():
    return Third()


@pytest.mark.parametrize("off", [-1, 1, 1000, 1 << 30, 1 << 31, -(1 << 30)])
def test_an_rst_whose_number_is_not_the_next_ends_nothing(third, off):
    number = (third.next.sequence + off) % (1 << 32)
    third.forge(Segment(RST, number))
    third.forge(replace(third.next, flags=RST | ACK, sequence=number))
    assert third.lives()


def test_the_next_number_ends_a_stream(third):
    third.forge(Segment(RST, third.next.sequence))
    assert third.there.told[-1] == ("closed", 1, "Connection reset")


@pytest.mark.parametrize(
    "changed",
    [
        {"flags": PSH},
        {"flags": SYN},
        {"flags": 0},
        {"acknowledgement": 1},
        {"acknowledgement": 1 << 31},
        {"sequence": 1},
        {"sequence": 1 << 31},
    ],
)
def test_octets_without_the_streams_numbers_are_not_taken(third, changed):
    named = {k: (getattr(third.next, k) + v) % (1 << 32) for k, v in changed.items()}
    if "flags" in changed:
        named = changed
    if "sequence" in changed:
        named["sequence"] += 7 << 20  # Beyond any window.
        named["sequence"] %= 1 << 32
    third.forge(replace(third.next, **named), b"forged")
    assert third.lives()


def test_octets_behind_a_long_gap_come_in_order_in_the_end(wire):
    data = random.Random(1).randbytes(7 << 20)
    wire.lose(lambda number: number == 0)
    wire.here.streams.send(1, data)
    wire.run(10.0)
    assert b"".join(wire.there.data()) == data


def test_a_refusal_that_is_not_about_the_syn_is_none():
    wire = Wire(connected=False)
    wire.here.connect()
    (syn,) = [s.packet for s in wire.net.world.sent if s.packet.protocol == TCP]
    interface = wire.net.stacks["D"].interfaces["access"]
    for segment in (Segment(RST, 0), Segment(RST | ACK, 0, syn.segment.sequence)):
        forged = Packet(
            IPv6Address(AAA), COA, TCP, syn.destination_port, syn.source_port, segment=segment
        )
        interface.link.send(forged, interface)
    wire.run()
    assert wire.here.told == [("connected", 1)]


def test_a_reset_ends_the_other_end_though_octets_before_it_are_lost(wire):
    wire.lose(lambda number: number == 0)
    wire.here.streams.send(1, b"x")
    wire.here.streams.end(1, reset=True)
    wire.run()
    assert wire.there.told == [("closed", 1, "Connection reset")]
