from __future__ import annotations

from itertools import product

import pytest

from agents.aaa.policy import POLICY, Place, Subscription, places
from agents.bootstrap.assignment import Wish

# Wish, offer, subscription, outcome: the whole table, written out.
ROWS = """
    nothing  no   no mobility   -
    nothing  no   home only     -
    nothing  no   rather home   -
    nothing  no   rather local  -
    nothing  yes  no mobility   -
    nothing  yes  home only     -
    nothing  yes  rather home   -
    nothing  yes  rather local  -
    home     no   no mobility   -
    home     no   home only     home
    home     no   rather home   home
    home     no   rather local  home
    home     yes  no mobility   -
    home     yes  home only     home
    home     yes  rather home   home
    home     yes  rather local  home
    local    no   no mobility   -
    local    no   home only     home
    local    no   rather home   home
    local    no   rather local  home
    local    yes  no mobility   -
    local    yes  home only     home
    local    yes  rather home   local,home
    local    yes  rather local  local,home
    either   no   no mobility   -
    either   no   home only     home
    either   no   rather home   home
    either   no   rather local  home
    either   yes  no mobility   -
    either   yes  home only     home
    either   yes  rather home   home,local
    either   yes  rather local  local,home
"""
WISHES = {"nothing": None, "home": Wish.HOME, "local": Wish.LOCAL, "either": Wish.EITHER}


def rows():
    for line in ROWS.strip().splitlines():
        wish, offer, *subscription, outcome = line.split()
        expected = () if outcome == "-" else tuple(Place(name) for name in outcome.split(","))
        yield WISHES[wish], offer == "yes", Subscription(" ".join(subscription)), expected


@pytest.mark.parametrize(("wish", "offered", "subscription", "expected"), list(rows()))
def test_every_outcome(wish, offered, subscription, expected):
    assert places(wish, offered=offered, subscription=subscription) == expected


def test_the_rows_above_are_all_there_are():
    cases = [row[:3] for row in rows()]
    everything = product((None, *Wish), (True, False), Subscription)
    assert sorted(cases, key=repr) == sorted(everything, key=repr)


@pytest.mark.parametrize("number", range(len(POLICY)))
def test_no_row_of_the_policy_is_idle(number):
    def first(case):
        return next(
            n
            for n, rule in enumerate(POLICY)
            if case[0] in rule.wishes and case[1] in rule.offered and case[2] in rule.subscriptions
        )

    assert number in {first(row) for row in rows()}
