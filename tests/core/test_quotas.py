"""Who gives way to whom where numbers are bounded."""

from __future__ import annotations

import random

import pytest

from agents.core.quotas import NoRoomError, Quotas, Share

ALL = Share("all", 3)


def test_the_oldest_at_the_lowest_stage_gives_way():
    quotas: Quotas[str] = Quotas(firm=2)
    for name in "abc":
        assert quotas.enter(name, (ALL,), 1) == []
    quotas.move("b", 0)
    assert quotas.enter("d", (ALL,), 1) == ["b"]
    assert quotas.enter("e", (ALL,), 1) == ["a"]
    assert "a" not in quotas
    assert len(quotas) == 3


def test_many_at_one_stage_do_not_displace_those_at_another():
    late: Quotas[int] = Quotas(firm=3, rng=random.Random(1))
    ten = Share("ten", 10)
    late.enter(-1, (ten,), 2)
    for n in range(100):
        late.enter(n, (ten,), 1)
    assert -1 in late
    early: Quotas[int] = Quotas(firm=3, rng=random.Random(1))
    for n in range(100):
        early.enter(n, (ten,), 2)
    early.enter(-1, (ten,), 1)
    for n in range(100, 104):
        early.enter(n, (ten,), 1)
    assert -1 in early


def test_any_gives_way_where_chance_decides():
    fates = []
    for seed in range(200):
        quotas: Quotas[int] = Quotas(rng=random.Random(seed))
        for n in range(20):
            quotas.enter(n, (Share("ten", 10),))
        assert len(quotas) == 10
        fates.append(0 in quotas)
    # The first survives ten times a chance of one in ten: 0.9 ** 10 is 0.35.
    assert 40 < sum(fates) < 100


def test_the_firm_stay():
    quotas: Quotas[str] = Quotas()
    for name in "abc":
        quotas.enter(name, (ALL,))
        quotas.move(name, 1)
    with pytest.raises(NoRoomError, match="3 of all are there"):
        quotas.enter("d", (ALL,))
    quotas.leave("b")
    quotas.leave("b")
    assert quotas.enter("d", (ALL,)) == []
    assert quotas.enter("e", (ALL,)) == ["d"]


def test_a_group_that_is_full_takes_nothing_from_another():
    quotas: Quotas[int] = Quotas()
    mine, yours = Share("mine", 2), Share("yours", 2)
    quotas.enter(1, (yours, ALL))
    assert [quotas.enter(n, (mine, ALL)) for n in range(2, 7)] == [[], [], [2], [3], [4]]
    assert 1 in quotas
    # A place that one group has made is free in the other, too.
    quotas.enter(9, (yours, ALL))
    assert len(quotas) == 3


def test_nothing_goes_for_an_entry_that_finds_no_room():
    quotas: Quotas[int] = Quotas()
    small = Share("small", 1)
    for n in range(3):
        quotas.enter(n, (small, ALL) if n == 0 else (ALL,))
    for n in (1, 2):
        quotas.move(n, 1)
    quotas.move(0, 1)
    with pytest.raises(NoRoomError):
        quotas.enter(3, (small, ALL))
    assert len(quotas) == 3
