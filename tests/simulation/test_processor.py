"""Processors: what a program does takes time, and what comes meanwhile waits for its turn."""

from __future__ import annotations

import pytest

from agents.simulation.host import TIMER, SimulatedHost
from agents.simulation.processor import Processor, Thread
from agents.simulation.services import Took
from agents.simulation.world import Clock, Tally
from tests.nodes.net import AAA, COA, Net

PORT = 716
WAY = 0.002
"""Seconds from A over B to C."""


def done(processors, *work):
    """Return when each piece of work, by thread and seconds, is done; all come at once."""
    clock = Clock()
    processor, threads, times = Processor(clock, processors), {}, []
    for name, seconds in work:
        thread = threads.setdefault(name, Thread())
        processor.serve(thread, seconds, lambda: times.append(clock.now))
    clock.run(100.0)
    return times


def test_one_processor_does_one_thing_after_the_other():
    assert done(1, ("a", 1.0), ("b", 2.0), ("a", 3.0)) == [1.0, 3.0, 6.0]


def test_two_processors_do_two_threads_work():
    assert done(2, ("a", 1.0), ("b", 2.0), ("a", 3.0)) == [1.0, 2.0, 4.0]


def test_a_thread_does_one_thing_after_the_other_on_many_processors():
    assert done(4, ("a", 1.0), ("a", 1.0), ("a", 0.0)) == [1.0, 2.0, 2.0]


def test_what_takes_no_time_is_done_at_once():
    clock = Clock()
    times = []
    Processor(clock).serve(Thread(), 0.0, lambda: times.append(clock.now))
    assert times == [0.0]


class Server:
    """Echoes datagrams on host C, each of which takes a second of it."""

    def __init__(self, processors=1, receive_buffer=0):
        self.net = Net()
        stack = self.net.stacks["C"]
        stack.processors, stack.receive_buffer = processors, receive_buffer
        stack.processor = Processor(self.net.clock, processors)
        self.asked = []
        self.host = SimulatedHost(self.net.stacks["C"], self.net._tcp["C"], "c", self._service)
        self.socket = self.host.open_datagrams((AAA, PORT), self._answer)
        self.answers = []
        near = self.net.program("A")
        self.asking = near.open_datagrams((str(COA), PORT), self._take)

    def _service(self, protocol, port, data):
        self.asked.append((protocol, port, data))
        return Took((), 0.0 if protocol == TIMER else 1.0)

    def _answer(self, data, source):
        self.socket.send(data, source)

    def _take(self, data, _source):
        self.answers.append((self.net.clock.now, data))

    def ask(self, data):
        self.asking.send(data, (AAA, PORT))


def test_answers_leave_when_the_work_is_done_and_in_order():
    server = Server()
    server.ask(b"1")
    server.ask(b"2")
    server.net.run(10.0)
    times, data = zip(*server.answers, strict=True)
    assert data == (b"1", b"2")
    assert times == pytest.approx((1 + 2 * WAY, 2 + 2 * WAY))
    assert server.asked[0][1:] == (PORT, b"1")


def test_a_deadline_waits_until_its_program_has_time():
    server = Server()
    rung = []
    timer = server.host.timer(lambda: rung.append(server.net.clock.now))
    server.host.enter(timer.start, 0.5)
    server.ask(b"1")
    server.net.run(10.0)
    assert rung == [pytest.approx(1 + WAY)]


def test_a_program_that_is_killed_does_nothing_more():
    server = Server()
    server.ask(b"1")
    server.net.run(0.5)
    server.host.kill()
    server.net.run(10.0)
    assert server.answers == []


def test_servers_behind_a_balancer_share_the_work_of_one_program():
    server = Server(processors=2)
    for data in (b"1", b"2", b"3"):
        server.ask(data)
    server.net.run(10.0)
    times = [at - 2 * WAY for at, _ in server.answers]
    assert times == pytest.approx([1.0, 1.0, 2.0])


def test_a_datagram_for_which_there_is_no_room_is_dropped():
    server = Server(receive_buffer=1300)  # For two, as Linux counts them.
    server.net.stacks["C"].world.tally = tally = Tally()
    for data in (b"1", b"2", b"3"):
        server.ask(data)
    server.net.run(10.0)
    assert [data for _, data in server.answers] == [b"1", b"2"]
    assert tally.dropped == {"C": 1}
    assert tally.messages["PANA"] == 5
    assert not tally.repeated
