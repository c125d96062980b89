"""Links: how long packets take at a rate, which are lost, and what else goes wrong on the way."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest

from agents.kernel.packet import UDP, Packet
from agents.simulation.frames import size
from agents.simulation.host import SimulatedHost
from agents.simulation.link import BURST, QUEUE, Link
from agents.simulation.stack import Interface, Stack
from agents.simulation.tcp import Tcp
from agents.simulation.world import World
from topologies.model import Shape

DELAY = 0.01
PREFIX = IPv6Network("2001:db8::/64")
ANYWHERE = IPv6Address("::")
COUNT = 500


class Pair:
    """Two hosts on a link; `came` are the datagrams that arrive, with their times."""

    def __init__(self, seed=1, rate=0.0, **faults):
        self.world = World(seed)
        self.link = Link(self.world, "link", Shape(rate, DELAY))
        self.stacks = [Stack(self.world, f"h{number}") for number in (1, 2)]
        self.came = []
        here, there = (self._host(stack, n) for n, stack in enumerate(self.stacks, 1))
        there.open_datagrams(("2001:db8::2", 7), self._take)
        self._socket = here.open_datagrams(("2001:db8::1", 7), lambda *_: None)
        self.send(b"resolve")
        self.world.clock.run(1.0)
        self.link.shape = Shape(rate, DELAY, **faults)
        self.came.clear()
        self.world.sent.clear()

    def _host(self, stack, number):
        address = IPv6Address(f"2001:db8::{number}")
        mac = bytes([2, 0, 0, 0, 0, number])
        Interface(stack, "eth0", self.link, (address,), (PREFIX,), mac)
        return SimulatedHost(stack, Tcp(stack))

    def _take(self, data, _source):
        self.came.append((self.world.clock.now - 1.0, data))

    def send(self, data):
        self._socket.send(data, ("2001:db8::2", 7))

    def run(self, seconds=10.0):
        self.world.clock.run(self.world.clock.now + seconds)

    def numbers(self):
        return [int(data) for _, data in self.came]


def send_all(pair, seconds=0.001):
    """Send datagrams in time; return the numbers of those that came."""
    for n in range(COUNT):
        pair.send(b"%d" % n)
        pair.run(seconds)
    pair.run()
    return pair.numbers()


def test_a_rate_holds_back_what_is_more_than_a_burst():
    pair = Pair(rate=1.0)
    for _ in range(100):
        pair.send(bytes(1000))
    pair.run()
    packet = next(s.packet for s in pair.world.sent if s.packet.protocol == UDP)
    each = size(packet)
    at_once = [at for at, _ in pair.came if at == pytest.approx(DELAY)]
    assert len(at_once) == BURST // each + 1
    assert pair.came[-1][0] == pytest.approx(DELAY + (99 * each - BURST) * 8e-6)
    assert len(pair.came) == 100


def test_without_a_rate_all_take_the_delay():
    pair = Pair()
    for _ in range(QUEUE):
        pair.send(bytes(1000))
    pair.run()
    assert {round(at, 9) for at, _ in pair.came} == {DELAY}


def test_what_finds_the_queue_full_is_lost():
    pair = Pair(rate=1.0)
    for n in range(2 * QUEUE):
        pair.send(b"%d" % n)
    pair.run()
    assert pair.numbers() == list(range(QUEUE))
    pair.send(b"7")
    pair.run()
    assert pair.numbers()[-1] == 7


def test_loss_is_that_share_and_the_same_for_the_same_seed():
    first, again = (send_all(Pair(loss=20.0)) for _ in range(2))
    assert first == again != send_all(Pair(seed=2, loss=20.0))
    assert len(first) == pytest.approx(0.8 * COUNT, rel=0.1)


def test_what_happens_on_one_link_changes_nothing_on_another():
    def came(others):
        pair = Pair(loss=20.0)
        other = Link(pair.world, "other", Shape(loss=50.0))
        end = Interface(Stack(pair.world, "elsewhere"), "eth0", other, (), (), bytes(6))
        for _ in range(others):
            other.send(Packet(ANYWHERE, ANYWHERE, UDP), end)
        return send_all(pair)

    assert came(0) == came(50)


def test_losses_in_bursts_come_together():
    came = send_all(Pair(burst_begins=2.0, burst_ends=20.0))
    lost = sorted(set(range(COUNT)) - set(came))
    runs = sum(1 for n in lost if n - 1 not in lost)
    assert 0 < runs <= len(lost) / 2.5


def test_what_is_duplicated_comes_twice():
    came = send_all(Pair(duplication=30.0))
    assert set(came) == set(range(COUNT))
    assert len(came) == pytest.approx(1.3 * COUNT, rel=0.1)


def test_what_is_reordered_overtakes_what_is_delayed():
    came = send_all(Pair(reordering=10.0))
    assert sorted(came) == list(range(COUNT)) != came


def test_what_is_corrupted_is_seen_and_not_taken():
    pair = Pair(corruption=20.0)
    frames = []
    pair.stacks[1].interfaces["eth0"].tap = lambda _time, frame: frames.append(frame)
    came = send_all(pair)
    assert len(came) == pytest.approx(0.8 * COUNT, rel=0.1)
    assert len(frames) == COUNT
    assert len({frame[:18] + frame[20:54] for frame in frames}) == 1  # All but the length.


def test_a_tap_hears_a_frame_where_it_is_sent_and_where_it_arrives():
    pair = Pair()
    heard = []
    for stack in pair.stacks:
        interface = stack.interfaces["eth0"]
        interface.tap = lambda time, frame: heard.append((time, frame))
    pair.send(b"x")
    pair.run()
    (at, frame), (then, same) = heard
    assert frame == same
    assert (at, then) == (1.0, pytest.approx(1.0 + DELAY))
    assert frame[-1:] == b"x"


def test_a_host_off_its_links_sends_nothing_and_hears_nothing():
    pair = Pair()
    pair.send(b"1")
    pair.send(b"2")
    pair.run(DELAY / 2)  # They are on their way out.
    pair.stacks[0].power_off()
    pair.send(b"3")
    pair.run()
    assert pair.numbers() == []


def test_to_a_host_off_its_links_nothing_comes():
    pair = Pair()
    pair.send(b"1")
    pair.stacks[1].power_off()
    pair.send(b"2")
    pair.run()
    assert pair.numbers() == []


def test_a_host_that_has_its_power_again_is_on_its_links_and_its_kernel_knows_nothing():
    pair = Pair()
    sender, receiver = pair.stacks
    address = IPv6Address("2001:db8::5")
    for stack in pair.stacks:
        stack.kernel.home_agents.add(address)
        stack.power_off()
        stack.power_on()
        assert not stack.kernel.home_agents
    pair.send(b"1")
    pair.run()
    assert pair.numbers() == [1]
    sender.power_on()  # It was on.
    pair.send(b"2")
    pair.run()
    assert pair.numbers() == [1, 2]
    assert receiver.is_off is False


def test_what_is_lost_is_heard_where_it_is_sent():
    pair = Pair(loss=20.0)
    heard = [[], []]
    for stack, frames in zip(pair.stacks, heard, strict=True):
        stack.interfaces["eth0"].tap = lambda _, frame, to=frames: to.append(frame)
    came = send_all(pair)
    assert [len(frames) for frames in heard] == [COUNT, len(came)]


@pytest.mark.parametrize("burst_loss", [100.0, 50.0])
def test_of_bursts_and_between_them_as_much_is_lost_as_it_says(burst_loss):
    shape = Shape(loss=5.0, burst_begins=2.0, burst_ends=10.0, burst_loss=burst_loss)
    came = sum(
        len(
            send_all(Pair(seed, loss=5.0, burst_begins=2.0, burst_ends=10.0, burst_loss=burst_loss))
        )
        for seed in range(20)
    )
    assert 100 * (1 - came / 20 / COUNT) == pytest.approx(shape.mean_loss, rel=0.1)
