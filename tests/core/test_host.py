"""The loop that a host's machines share: order, deadlines, and what a bug does to the others."""

from __future__ import annotations

from collections import deque
from ipaddress import IPv6Address

import pytest

from agents.core.machine import Discarded
from tests.nodes.simulated import Network, Node

HERE, THERE, NEXT = (IPv6Address(f"2001:db8:a::{n}") for n in (1, 2, 3))
AT_HERE = (str(HERE), 500)


class Clockwork:
    """A machine with one deadline that it may move by itself; it sends back what it gets."""

    def __init__(self, deadline=None):
        self.deadline = deadline
        self.outbox, self.events = deque(), deque()
        self.timeouts = []
        self.bug = None

    def handle_message(self, data, source, now):
        self.events.append(Discarded(now, source[0], "all the same"))
        self.outbox.append((data, source))

    def handle_timeout(self, now):
        bug, self.bug = self.bug, None
        if bug:
            raise bug
        self.timeouts.append(now)
        self.deadline = None

    def next_timeout(self):
        return self.deadline


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def host(network):
    return Node(network, "A", HERE, NEXT).host


def fail(_):
    raise RuntimeError("a bug")


def ignore(_):
    pass


def test_events_come_before_what_is_sent_and_what_is_put_off_after_it(host):
    told = []

    def handle(_):
        told.append("event")
        host.later(lambda: told.append("later"))

    machine = Clockwork()
    endpoint = host.run(machine, lambda datagram: told.append(datagram[0]), handle)
    endpoint.call(machine.handle_message, b"ping", AT_HERE, host.now())
    assert told == ["event", b"ping", "later"]


def test_who_handles_an_event_may_call_the_machine(host):
    sent = []
    machine = Clockwork()

    def handle(event):
        if event.source != "again":
            endpoint.call(machine.handle_message, b"second", ("again", 0), host.now())

    endpoint = host.run(machine, lambda datagram: sent.append(datagram[0]), handle)
    endpoint.call(machine.handle_message, b"first", AT_HERE, host.now())
    assert sent == [b"first", b"second"]


def test_the_timer_runs_on_after_a_handler_that_fails(network, host):
    machine, sent = Clockwork(0.01), []
    endpoint = host.run(machine, sent.append, fail)
    with pytest.raises(RuntimeError):
        endpoint.call(machine.handle_message, b"ping", AT_HERE, host.now())
    network.run(1.0)
    assert machine.timeouts == [0.01]
    assert sent == [(b"ping", AT_HERE)]


def test_the_timer_runs_on_after_a_machine_that_fails(network, host):
    machine, handled = Clockwork(), []
    endpoint = host.run(machine, ignore, handled.append)

    def begin():
        machine.events.append(Discarded(host.now(), "::1", "all the same"))
        machine.deadline = 0.01
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        endpoint.call(begin)
    assert len(handled) == 1
    network.run(1.0)
    assert machine.timeouts == [0.01]


def test_the_others_are_served_after_a_machine_that_fails(network, host):
    faulty, other, rung = Clockwork(0.01), Clockwork(0.01), []
    for machine in (faulty, other):
        host.run(machine, ignore, ignore)
    host.timer(lambda: rung.append(network.now)).start(0.01)
    faulty.bug = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        network.run(1.0)
    network.run(1.0)
    assert faulty.timeouts == other.timeouts == rung == [0.01]


def test_what_was_put_off_is_done_after_a_handler_that_fails(network, host):
    done = []

    def begin():
        host.later(lambda: done.append(network.now))
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        host.enter(begin)
    network.run(0.0)
    assert done == [0.0]


def test_a_machine_that_has_a_deadline_already_need_not_wait_for_a_call(network, host):
    machine = Clockwork(0.01)
    host.run(machine, ignore, ignore)
    network.run(1.0)
    assert machine.timeouts == [0.01]


def test_a_deadline_that_the_machine_has_moved_is_not_acted_on(network, host):
    machine = Clockwork(0.01)
    endpoint = host.run(machine, ignore, ignore)
    machine.deadline = 3600.0
    network.run(60.0)
    assert machine.timeouts == []
    endpoint.call(ignore, None)
    network.run(3600.0)
    assert machine.timeouts == [3600.0]


def test_other_machines_are_not_asked_for_their_deadlines_after_a_call(host):
    class Asked(Clockwork):
        asked = 0

        def next_timeout(self):
            self.asked += 1
            return self.deadline

    called, other = Asked(), Asked()
    endpoint = host.run(called, ignore, ignore)
    host.run(other, ignore, ignore)
    before = called.asked, other.asked
    endpoint.call(called.handle_message, b"ping", AT_HERE, host.now())
    assert (called.asked, other.asked) == (before[0] + 1, before[1])


def test_a_closed_endpoint_neither_sends_nor_wakes(network, host):
    machine, sent = Clockwork(0.01), []
    endpoint = host.run(machine, sent.append, ignore)
    endpoint.close()
    endpoint.call(machine.handle_message, b"ping", AT_HERE, host.now())
    network.run(1.0)
    assert sent == machine.timeouts == []


def test_a_timer_that_is_started_again_moves_and_a_stopped_one_is_silent(network, host):
    rung = []
    timer = host.timer(lambda: rung.append(network.now))
    timer.start(1.0)
    network.run(0.5)
    timer.start(1.0)
    assert timer.running
    network.run(10.0)
    assert rung == [1.5]
    assert not timer.running
    timer.start(1.0)
    timer.stop()
    network.run(10.0)
    assert rung == [1.5]


def test_datagrams_go_to_the_machine_and_back_also_over_another_transport(network, host):
    heard = []
    peer = Node(network, "B", THERE).host.open_datagrams(
        (str(THERE), 9), lambda data, source: heard.append((data, source))
    )
    endpoint = host.datagrams(Clockwork(), AT_HERE, ignore)
    peer.send(b"one", AT_HERE)
    network.run(1.0)
    moved = (str(NEXT), 501)
    endpoint.rebind(lambda receive: host.open_datagrams(moved, receive))
    for address in (AT_HERE, moved):
        peer.send(b"two", address)
    network.run(1.0)
    assert heard == [(b"one", AT_HERE), (b"two", moved)]
    with pytest.raises(OSError, match="assign"):
        endpoint.rebind(lambda receive: host.open_datagrams(("2001:db8:f::1", 1), receive))
    peer.send(b"three", moved)
    network.run(1.0)
    assert heard[-1] == (b"three", moved)
