"""Simulated TCP: loss costs time and no data; who refuses, resets, ends or dies is heard of."""

from __future__ import annotations

import random

import pytest

from tests.nodes.net import AAA, COA, Net
from topologies.model import Shape

SERVER = (AAA, 3868)
WAY = 0.002
"""Seconds from A over B to C."""


class User:
    """Has streams, and keeps what it is told; `refuses` whoever connects if it is to."""

    def __init__(self, net, host, listen=(), *, refuses=False):
        self.told = []
        self.refuses = refuses
        self.program = net.program(host)
        self.streams = self.program.open_streams(self, listen)
        self._numbers = 0

    def connect(self, address=SERVER):
        self._numbers += 1
        self.streams.connect(self._numbers, "", address)
        return self._numbers

    def accepted(self, source, _local):
        if self.refuses:
            return None
        self._numbers += 1
        self.told.append(("accepted", self._numbers, source))
        return self._numbers

    def connected(self, number, _local, names):
        assert names is None
        self.told.append(("connected", number))

    def received(self, number, data):
        self.told.append(("received", number, data))

    def closed(self, number, reason):
        self.told.append(("closed", number, reason))

    def data(self):
        """Return all that has come in."""
        return [entry[2] for entry in self.told if entry[0] == "received"]


class Ends:
    """Both ends of a network, of which nothing is heard but by TCP."""

    def __init__(self, *, connected=True):
        self.net = Net()
        self.there = User(self.net, "C", [SERVER])
        self.here = User(self.net, "A")
        if connected:
            self.here.connect()
            self.run()
            assert self.here.told.pop() == ("connected", 1)
            assert self.there.told.pop() == ("accepted", 1, COA)

    def run(self, seconds=1.0):
        self.net.run(seconds)

    def lose(self, rule):
        """Lose packets from now on by their number."""
        begun = self.net.world.packets
        self.net.world.loses = lambda number, _packet: rule(number - begun)


@pytest.fixture
def ends():
    return Ends()


def test_octets_take_their_way_in_order_in_both_directions(ends):
    began = ends.net.clock.now
    for n in range(5):
        ends.here.streams.send(1, b"%d" % n)
        ends.there.streams.send(1, b"-%d" % n)
    ends.net.run(1.0, lambda: len(ends.there.told) == len(ends.here.told) == 5)
    assert ends.net.clock.now == pytest.approx(began + WAY)
    assert b"".join(ends.there.data()) == b"01234"
    assert b"".join(ends.here.data()) == b"-0-1-2-3-4"


def test_a_handshake_takes_a_round_trip():
    ends = Ends(connected=False)
    ends.here.connect()
    ends.net.run(1.0, lambda: ends.here.told)
    assert ends.net.clock.now == pytest.approx(2 * WAY)


def converse(rule=lambda _: False):
    """Connect, talk and part, losing packets by a rule; return when it was over, and how many."""
    ends = Ends(connected=False)
    ends.lose(rule)
    ends.here.connect()
    assert ends.net.run(600.0, lambda: ("connected", 1) in ends.here.told)
    for n in range(3):
        ends.here.streams.send(1, b"%d" % n)
    assert ends.net.run(600.0, lambda: len(b"".join(ends.there.data())) == 3)
    for n in range(3):
        ends.there.streams.send(1, b"-%d" % n)
    ends.there.streams.end(1)
    assert ends.net.run(600.0, lambda: ends.here.told[-1][0] == "closed")
    assert b"".join(ends.there.data()) == b"012"
    assert b"".join(ends.here.data()) == b"-0-1-2"
    assert ends.here.told[-1] == ("closed", 1, "the peer closed the connection")
    assert ends.here.streams.idle
    assert ends.there.streams.idle
    return ends.net.clock.now, len(ends.net.world.sent)


def test_any_one_packet_may_be_lost_on_either_link():
    undisturbed, count = converse()
    assert undisturbed == pytest.approx(4 * WAY)
    late = 0
    for lost in range(count):
        over, _ = converse(lambda number, lost=lost: number == lost)
        assert undisturbed - 0.001 < over < undisturbed + 1.3
        late += over > undisturbed + 0.1
    assert late == 2 * (2 + 3 + 2 + 1)  # What three others follow is told by their echoes.


@pytest.mark.parametrize("seed", range(10))
def test_many_packets_may_be_lost(seed):
    rng = random.Random(seed)
    converse(lambda _: rng.random() < 0.1)


def test_a_long_way_is_no_loss():
    ends = Ends(connected=False)
    for interface in ends.net.stacks["B"].interfaces.values():
        interface.link.shape = Shape(rate=0.0, delay=0.2)
    ends.here.connect()
    ends.run(5.0)
    for _ in range(3):
        ends.here.streams.send(1, b"x")
        ends.run(5.0)
    assert len(ends.there.data()) == 3
    assert len(ends.net.world.sent) == 2 * (3 + 3 * 2)


def test_where_nobody_listens_it_is_refused(ends):
    ends.here.connect((AAA, 1))
    ends.run()
    assert ends.here.told == [("closed", 2, "Connection refused")]


def test_who_is_not_wanted_is_refused(ends):
    ends.there.refuses = True
    ends.here.connect()
    ends.run()
    assert ends.here.told == [("connected", 2), ("closed", 2, "Connection reset")]
    assert ends.there.told == []


def test_a_refusal_may_be_lost(ends):
    ends.lose(lambda number: number in (2, 3))
    ends.here.connect((AAA, 1))
    ends.run(5.0)
    assert ends.here.told == [("closed", 2, "Connection refused")]


def test_there_is_no_way_to_everywhere(ends):
    number = ends.there.connect(("2001:db8:c::99", 1))
    ends.run(600.0)
    assert ends.there.told == [("closed", number, "Connection timed out")]
    ends.net.stacks["A"].routes.clear()
    gone, number = ends.here.connect(), ends.here.connect()
    ends.here.streams.end(gone)
    ends.run()
    assert ends.here.told == [("closed", number, "Network is unreachable")]


def test_an_end_comes_after_what_was_sent_before(ends):
    ends.here.streams.send(1, b"last words")
    ends.here.streams.end(1)
    assert ends.here.streams.idle
    ends.run()
    assert ends.there.told == [
        ("received", 1, b"last words"),
        ("closed", 1, "the peer closed the connection"),
    ]
    assert ends.here.told == []
    assert ends.there.streams.idle


def test_a_reset_comes_at_once_and_its_user_hears_no_more(ends):
    ends.there.streams.send(1, b"too late")
    ends.here.streams.end(1, reset=True)
    ends.here.streams.send(1, b"nothing")
    ends.run()
    assert ends.there.told == [("closed", 1, "Connection reset")]
    assert ends.here.told == []


def test_who_ends_a_stream_while_octets_come_hears_no_more(ends):
    received = ends.there.received

    def end(number, data):
        received(number, data)
        ends.there.streams.end(number)

    ends.there.received = end
    for n in range(3):
        ends.here.streams.send(1, b"%d" % n)
    ends.run()
    assert ends.there.data() == [b"0"]
    assert ends.here.told == [("closed", 1, "the peer closed the connection")]


def test_a_stream_that_is_given_up_before_it_is_open_is_heard_of_by_nobody_here(ends):
    ends.here.streams.end(ends.here.connect())
    ends.run()
    assert ends.here.told == []
    assert ends.there.streams.idle is False  # The first one's.
    assert ends.there.told == []


def test_nothing_arrives_for_minutes(ends):
    ends.lose(lambda _: True)
    ends.here.streams.send(1, b"x")
    ends.run(60.0)
    assert ends.here.told == []
    ends.run(240.0)
    assert ends.here.told == [("closed", 1, "Connection timed out")]


def test_a_program_that_is_killed_leaves_an_end(ends):
    ends.there.streams.send(1, b"too late")
    ends.here.program.kill()
    ends.run()
    assert ends.here.told == []
    assert ends.there.told == [("closed", 1, "the peer closed the connection")]


def test_another_program_takes_the_place_of_one_that_was_killed(ends):
    ends.lose(lambda _: True)
    ends.there.program.kill()
    ends.run(300.0)  # Its end is not heard of.
    ends.lose(lambda _: False)
    anew = User(ends.net, "C", [SERVER])
    ends.here.streams.send(1, b"for the one before")
    ends.run()
    assert ends.here.told == [("closed", 1, "Connection reset")]
    assert ends.here.connect() == 2
    ends.run()
    assert [entry[0] for entry in anew.told] == ["accepted"]


def test_who_listens_no_more_keeps_what_is_open(ends):
    ends.there.streams.stop_listening()
    ends.here.connect()
    ends.here.streams.send(1, b"x")
    ends.run()
    assert ends.here.told == [("closed", 2, "Connection refused")]
    assert ends.there.told == [("received", 1, b"x")]


@pytest.mark.parametrize(("address", "reason"), [("2001:db8:c::99", "assign"), (AAA, "in use")])
def test_an_address_that_is_not_to_be_had(ends, address, reason):
    with pytest.raises(OSError, match=reason):
        User(ends.net, "C", [(address, SERVER[1])])


class Questions(User):
    """Answers questions of one octet in two writes, except those for an end."""

    def received(self, number, data):
        assert data[:2] == b"\0\1"
        if data[2:] == b"!":
            self.streams.end(number)
        else:
            self.streams.send(number, b"\0")
            self.streams.send(number, b"\3yes")


@pytest.fixture
def ask():
    net = Net()
    Questions(net, "C", [SERVER])

    def ask(query, server=SERVER, *, wait=1.0):
        answers = []
        exchange = net.program("A").exchange(query, (str(COA), 0), server, answers.append)
        net.run(wait)
        exchange.close()
        net.run(1.0)
        return answers

    return ask


def test_an_exchange_is_one_question_and_its_answer(ask):
    assert ask(b"?") == [b"yes"]


def test_an_exchange_without_an_answer_is_an_error(ask):
    (ended,), (refused,) = ask(b"!"), ask(b"?", (AAA, 1))
    assert isinstance(ended, ConnectionError)
    assert str(refused) == "Connection refused"


def test_an_exchange_that_is_closed_answers_nothing(ask):
    assert ask(b"?", wait=0.003) == []


@pytest.mark.parametrize("pipes", [False, True])
def test_a_host_without_power_is_missed_by_no_end_but_by_time_alone(pipes):
    """Also where streams have no segments: what is sent is sent again until it is given up."""
    ends = Ends()
    ends.net.world.pipes = pipes
    ends.here.streams.send(1, b"before")
    ends.run()
    assert ends.there.data() == [b"before"]
    ends.net.stacks["C"].power_off()
    ends.there.program.kill()
    ends.here.streams.send(1, b"after")
    ends.run(60.0)
    assert [entry[0] for entry in ends.here.told if entry[0] != "connected"] == []
    ends.run(600.0)
    assert ends.here.told[-1] == ("closed", 1, "Connection timed out")
