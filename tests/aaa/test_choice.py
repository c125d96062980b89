from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.aaa.choice import Choice, Chooser
from agents.aaa.leases import Leases
from agents.aaa.policy import Place
from agents.aaa.subscribers import parse
from agents.bootstrap.assignment import Assignment, Wish
from agents.core.record import replace

FILE = """
[[home_agents]]
name = "ha1"
address = "2001:db8:100::1"
prefix = "2001:db8:100::/64"
pool = "2001:db8:100::1000-2001:db8:100::1fff"
host = "ha1.home.test"
capacity = 1

[[home_agents]]
name = "ha2"
address = "2001:db8:101::1"
prefix = "2001:db8:101::/64"
pool = "2001:db8:101::1000-2001:db8:101::1001"

[[subscribers]]
identity = "a@home.test"

[[subscribers]]
identity = "b@home.test"
local_home_agent = true

[[subscribers]]
identity = "c@home.test"
local_home_agent = true
prefer = "local"

[[subscribers]]
identity = "d@home.test"
local_home_agent = true

[[subscribers]]
identity = "e@home.test"
mobility = false
local_home_agent = true
"""
CANDIDATE = Assignment(
    IPv6Address("2001:db8:200::1"), 64, IPv6Address("2001:db8:200::5"), "ha.visited.test"
)
HA1 = Assignment(
    IPv6Address("2001:db8:100::1"), 64, IPv6Address("2001:db8:100::1000"), "ha1.home.test"
)


@pytest.fixture
def choose(tmp_path):
    subscribers = parse(FILE)
    with Leases(tmp_path / "leases.db") as leases:
        chooser = Chooser(subscribers, leases, lifetime=0.0)

        def one(user, wish=Wish.EITHER, candidate=None):
            return chooser.choose(subscribers.find(f"{user}@home.test"), wish, candidate)

        yield one


def test_a_home_agent_at_home_with_its_name(choose):
    assert choose("a") == Choice(Place.HOME, HA1)
    assert not choose("a").local


def test_a_local_home_agent_as_the_visited_network_offers_it(choose):
    choice = choose("b", Wish.LOCAL, CANDIDATE)
    assert choice == Choice(Place.LOCAL, CANDIDATE)
    assert choice.local
    later = replace(CANDIDATE, home_address=None)
    assert choose("b", Wish.LOCAL, later) == Choice(Place.LOCAL, later)


def test_a_full_home_agent_keeps_its_own_and_takes_no_other(choose):
    assert choose("a").assignment == HA1
    assert choose("b").assignment.home_agent == IPv6Address("2001:db8:101::1")
    assert choose("a").assignment == HA1


def test_a_local_home_agent_stands_in_when_those_at_home_are_full(choose):
    for user in "abc":
        assert choose(user).place is Place.HOME
    choice = choose("d", Wish.EITHER, CANDIDATE)
    full = "no home address is free in 2001:db8:101::1000 to 2001:db8:101::1001"
    assert choice == Choice(Place.LOCAL, CANDIDATE, (full,))
    # Against the wish for the home domain it does not.
    assert choose("d", Wish.HOME, CANDIDATE) == Choice(problems=(full,))


def test_who_may_not_have_mobility_is_told_and_who_does_not_ask_is_not(choose):
    refused = Choice(problems=("the subscription has no mobility service",))
    assert choose("e", Wish.LOCAL, CANDIDATE) == refused
    assert choose("e", None, CANDIDATE) == choose("b", None, CANDIDATE) == Choice()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"home_agent": IPv6Address("ff0e::1")}, "is not a global unicast address"),
        ({"home_agent": IPv6Address("fe80::1")}, "is not a global unicast address"),
        ({"home_agent": IPv6Address("::1")}, "is not a global unicast address"),
        (
            {"home_agent": IPv6Address("2001:db8:101::77")},
            "claims the home link 2001:db8:101::/64 of ha2",
        ),
        ({"prefix_length": 0}, "claims the home link 2001:db8:100::/64 of ha1"),
        ({"home_address": IPv6Address("2001:db8:201::5")}, "is no host address inside"),
        ({"home_address": CANDIDATE.home_agent}, "is no host address inside"),
        ({"home_address": IPv6Address("2001:db8:200::")}, "is no host address inside"),
        ({"home_address": IPv6Address("2001:db8:100::1234")}, "is no host address inside"),
    ],
)
def test_a_candidate_that_cannot_be_is_passed_over(choose, change, problem):
    choice = choose("c", Wish.LOCAL, replace(CANDIDATE, **change))
    assert (choice.place, choice.assignment) == (Place.HOME, HA1)
    (reason,) = choice.problems
    assert problem in reason
