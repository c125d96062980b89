"""What a simulation does for one host does not depend on how many others there are."""

from __future__ import annotations

import sys
from ipaddress import IPv6Address, IPv6Network

from agents.simulation.host import SimulatedHost
from agents.simulation.link import Link
from agents.simulation.stack import Interface, Stack
from agents.simulation.tcp import Tcp
from agents.simulation.world import Clock, World
from topologies.model import Shape

PREFIX = IPv6Network("2001:db8:a::/64")
CORE = IPv6Network("2001:db8:c::/64")
ROUTER, NEAR, SERVER = (IPv6Address(a) for a in ("2001:db8:a::1", "2001:db8:c::1", "2001:db8:c::2"))


def host(world, name, number, *ends, forwards=False):
    stack = Stack(world, name, forwards=forwards)
    for link, address, prefix in ends:
        Interface(stack, link.name, link, (address,), (prefix,), number.to_bytes(6))
    return stack


class Users:
    """Counts what streams bring."""

    def __init__(self):
        self.got = 0

    def accepted(self, *_ends):
        self.got += 1
        return self.got

    def connected(self, *_told):
        self.got += 1

    def received(self, *_told):
        self.got += 1

    def closed(self, *_told):
        pass


class Access:
    """So many hosts on a link, whose router leads to a server; all have talked to it."""

    def __init__(self, count):
        self.world = World(record=False)
        self.access, self.core = (
            Link(self.world, name, Shape(rate=0.0, delay=0.001)) for name in ("access", "core")
        )
        ends = (self.access, ROUTER, PREFIX), (self.core, NEAR, CORE)
        host(self.world, "router", 1, *ends, forwards=True)
        server = host(self.world, "server", 2, (self.core, SERVER, CORE))
        server.routes.add(IPv6Network("::/0"), NEAR)
        program = SimulatedHost(server, Tcp(server))
        self.server = program.open_datagrams((str(SERVER), 7), self._echo)
        self.users = Users()
        program.open_streams(self.users, [(str(SERVER), 7)])
        self.answers = 0
        for number in range(count):
            self.talk(number)

    def _echo(self, data, source):
        self.server.send(data, source)

    def _count(self, _data, _source):
        self.answers += 1

    def talk(self, number):
        """Let another host come, send a datagram and connect."""
        own = IPv6Address("2001:db8:a::1:0:0") + number
        stack = host(self.world, f"h{number}", 10 + number, (self.access, own, PREFIX))
        stack.routes.add(IPv6Network("::/0"), ROUTER)
        program = SimulatedHost(stack, Tcp(stack))
        before = self.answers
        program.open_datagrams((str(own), 7), self._count).send(b"x", (str(SERVER), 7))
        streams = program.open_streams(Users())
        streams.connect(1, "", (str(SERVER), 7))
        self.world.clock.run(self.world.clock.now + 0.5)
        streams.send(1, b"x")
        self.world.clock.run(self.world.clock.now + 0.5)
        assert self.answers == before + 1


def calls(action):
    """Return how many functions an action calls."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_the_thousandth_host_costs_what_the_tenth_does():
    few, many = Access(10), Access(1000)
    first, last = (calls(lambda net=net: net.talk(5000)) for net in (few, many))
    assert last < 1.1 * first


def test_what_is_cancelled_does_not_pile_up():
    clock = Clock()
    for n in range(10_000):
        clock.cancel(clock.at(1000.0 + n, list))
    kept = [clock.at(5.0, list) for _ in range(3)]
    assert clock.appointments < 200
    clock.cancel(kept[0])
    clock.cancel(kept[0])
    assert not clock.run(20_000.0)
    assert clock.appointments == 0


def test_packets_are_counted_if_they_are_not_kept():
    net = Access(1)
    assert net.world.sent == []
    assert net.world.packets > 10
