"""The pauses between attempts to connect."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from agents.diameter.config import DiameterTimers
from agents.diameter.reconnection import Reconnection


def started(seed=1):
    reconnection = Reconnection(DiameterTimers(), random.Random(seed))
    reconnection.start(0.0)
    reconnection.hurry(0.0)
    return reconnection


def attempts(reconnection, now, until):
    """Let every attempt fail at once; return the pauses before those up to a time."""
    times = [now]
    reconnection.closed(now)
    while reconnection.at is not None and reconnection.at <= until:
        times.append(reconnection.at)
        reconnection.closed(reconnection.at)
    return [late - early for early, late in pairwise(times)]


def test_pauses_are_short_until_the_peer_can_have_started():
    pauses = attempts(started(), 0.0, 300.0)
    quick = [pause for pause in pauses if pause == pytest.approx(0.1)]
    assert sum(quick) == pytest.approx(30.0, abs=0.11)
    assert pauses[: len(quick)] == quick
    assert pauses[len(quick)] > 0.7
    assert pauses[-1] > 20.0


@pytest.mark.parametrize("seed", range(5))
def test_pauses_grow_to_tc_once_the_peer_has_been_reached(seed):
    reconnection = started(seed)
    reconnection.reached()
    pauses = attempts(reconnection, 1.0, 1000.0)
    for pause, middle in zip(pauses, [1, 2, 4, 8, 16], strict=False):
        assert middle / 2 <= pause <= middle * 2
    assert all(22.5 <= pause <= 37.5 for pause in pauses[6:])
    assert len(set(pauses)) == len(pauses)


def test_pauses_are_short_again_after_a_connection():
    reconnection = started()
    reconnection.reached()
    attempts(reconnection, 1.0, 1000.0)
    reconnection.opened()
    assert reconnection.at is None
    assert attempts(reconnection, 2000.0, 2002.0)[0] <= 1.25


def test_a_message_does_not_wait_for_a_long_pause():
    reconnection = started()
    reconnection.reached()
    attempts(reconnection, 1.0, 1000.0)
    reconnection.closed(2000.0)
    assert reconnection.at > 2020.0
    reconnection.hurry(2010.0)
    assert reconnection.at == 2010.0
    reconnection.closed(2010.0)
    reconnection.hurry(2010.5)
    assert reconnection.at == 2011.0


def test_a_peer_that_wants_to_be_left_alone_is_until_a_message_waits():
    reconnection = started()
    reconnection.opened()
    reconnection.leave_alone()
    reconnection.closed(1.0)
    assert reconnection.at is None
    reconnection.hurry(50.0)
    assert reconnection.at == 50.0


def test_a_message_that_comes_while_the_connection_closes_is_remembered_once():
    reconnection = started()
    reconnection.opened()
    reconnection.leave_alone()
    reconnection.want()
    reconnection.closed(1.0)
    assert 1.0 < reconnection.at <= 2.0
    reconnection.at = None
    reconnection.closed(3.0)
    assert reconnection.at is None


def test_after_the_end_there_are_no_attempts():
    reconnection = started()
    reconnection.stop()
    reconnection.closed(1.0)
    reconnection.hurry(2.0)
    assert reconnection.at is None
