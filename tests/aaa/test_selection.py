"""Which home agent a subscriber gets: by load, by weight, pinned, drained, failed."""

from __future__ import annotations

import pytest

from agents.aaa.leases import Leases
from agents.aaa.selection import Fleet
from agents.aaa.subscribers import SubscribersError, parse

FILE = """
[[home_agents]]
name = "ha1"
address = "2001:db8:100::1"
prefix = "2001:db8:100::/64"
pool = "2001:db8:100::/64"
host = "ha1.home.test"
{}
[[home_agents]]
name = "ha2"
address = "2001:db8:200::1"
prefix = "2001:db8:200::/64"
pool = "2001:db8:200::/64"
host = "ha2.home.test"
[[subscribers]]
identity = "any@home.test"
[[subscribers]]
identity = "pinned@home.test"
home_agent = "ha1"
"""


class World:
    """Two home agents, what they hold, and which of them are out of reach."""

    def __init__(self, leases, first="", strategy="least-loaded"):
        self.subscribers = parse(FILE.format(first))
        self.leases = leases
        self.failed = set()
        self.fleet = Fleet(
            self.subscribers.home_agents.values(), strategy, lambda a: a.name in self.failed
        )

    def lease(self, name, count, prefix=""):
        agent = self.subscribers.home_agents[name]
        for number in range(count):
            self.leases.lease(f"{prefix}{name}-{number}@home.test", name, agent.pool)

    def choice(self, who="any"):
        subscriber = self.subscribers.find(f"{who}@home.test")
        return [agent.name for agent in self.fleet.candidates(subscriber, self.leases)]


@pytest.fixture
def leases(tmp_path):
    with Leases(tmp_path / "leases.db") as leases:
        yield leases


@pytest.fixture
def world(leases):
    return World(leases)


def test_the_home_agent_with_fewer_leases_is_first(world):
    assert world.choice() == ["ha1", "ha2"]
    world.lease("ha1", 1)
    assert world.choice() == ["ha2", "ha1"]
    assert world.choice("pinned") == ["ha1"]


def test_a_subscriber_stays_where_its_lease_is(world):
    world.lease("ha1", 3)
    world.leases.lease("any@home.test", "ha1", world.subscribers.home_agents["ha1"].pool)
    assert world.choice() == ["ha1", "ha2"]


def test_what_a_home_agent_tells_counts_if_it_is_more_than_its_leases(world):
    world.fleet.tell("ha1", 2)
    assert world.choice() == ["ha2", "ha1"]
    world.lease("ha2", 3)
    assert world.choice() == ["ha1", "ha2"]


def test_a_home_agent_that_says_it_has_nothing_to_do_gets_no_more_than_its_leases_leave(leases):
    world = World(leases, "capacity = 2")
    world.lease("ha1", 2)
    world.fleet.tell("ha1", 0)
    assert world.choice() == ["ha2"]


def test_weights_divide_the_load(leases):
    world = World(leases, "weight = 3.0", "weighted")
    world.lease("ha1", 2)
    world.lease("ha2", 1)
    assert world.choice() == ["ha1", "ha2"]
    world.lease("ha1", 2, "more-")
    assert world.choice() == ["ha2", "ha1"]


def test_weights_do_not_matter_to_who_takes_the_least_loaded(leases):
    world = World(leases, "weight = 3.0")
    world.lease("ha1", 1)
    assert world.choice() == ["ha2", "ha1"]


def test_a_drained_home_agent_gets_nobody_new_and_its_own_move(world):
    world.leases.lease("any@home.test", "ha1", world.subscribers.home_agents["ha1"].pool)
    assert world.fleet.drain("ha1")
    assert world.choice() == ["ha2", "ha1"]
    assert world.choice("pinned") == []
    assert world.fleet.undrain("ha1")
    assert world.choice("pinned") == ["ha1"]
    assert not world.fleet.drain("ha3")


def test_who_has_nowhere_else_stays_at_a_drained_home_agent(world):
    world.leases.lease("pinned@home.test", "ha1", world.subscribers.home_agents["ha1"].pool)
    world.fleet.drain("ha1")
    assert world.choice("pinned") == ["ha1"]


def test_a_home_agent_may_begin_drained(leases):
    assert World(leases, 'state = "drain"').choice() == ["ha2"]


def test_a_failed_home_agent_has_nobody_until_it_is_back(world):
    world.leases.lease("any@home.test", "ha1", world.subscribers.home_agents["ha1"].pool)
    world.failed.add("ha1")
    assert world.choice() == ["ha2"]
    assert world.choice("pinned") == []
    world.failed.clear()
    assert world.choice() == ["ha1", "ha2"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("weight = 0", r"home_agents\[0\]\.weight"),
        ('state = "off"', r"home_agents\[0\]\.state"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(line, error):
    with pytest.raises(SubscribersError, match=error):
        parse(FILE.format(line))


def test_two_home_agents_cannot_have_one_host():
    with pytest.raises(SubscribersError, match=r"host 'ha1\.home\.test' is used 2 times"):
        parse(FILE.format("").replace("ha2.home.test", "HA1.home.test"))
