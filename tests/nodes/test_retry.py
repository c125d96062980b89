"""The pauses between attempts."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agents.nodes.crowd import CrowdSettings
from agents.nodes.retry import FIRST_PAUSE, LONGEST_PAUSE, Retry
from tests.nodes.simulated import Network, Node

STEADY = CrowdSettings(retry_jitter=0.0)


@pytest.fixture
def network():
    return Network()


def test_the_pause_doubles_until_an_attempt_lasts(network):
    made = []
    attempts = Retry(Node(network, "A").host, lambda: made.append(network.now), STEADY)

    def pause():
        """Have another attempt made, and return how long that took."""
        made.clear()
        asked = network.now
        attempts.later()
        network.until(lambda: made, 100.0)
        return made[0] - asked

    pauses = []
    for _ in range(10):
        pauses.append(pause())
        attempts.begun()
        network.run(30.0)  # It is not answered.
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    network.run(30.0)
    assert pause() == 0.25


def test_an_attempt_that_fails_at_once_is_made_less_and_less_often(network):
    def fail():
        made.append(network.now)
        attempts.later()

    made = []
    attempts = Retry(Node(network, "A").host, fail, STEADY)
    attempts.later()
    network.run(3600.0)
    assert 60 < len(made) < 70
    assert made[-1] - made[-2] == LONGEST_PAUSE


def test_what_is_refused_for_good_has_the_longest_pause_at_once(network):
    def fail():
        made.append(network.now)
        attempts.later(refused=True)

    made = []
    attempts = Retry(Node(network, "A").host, fail, STEADY)
    fail()
    network.run(3600.0)
    assert made == [LONGEST_PAUSE * number for number in range(61)]


def test_usually_pauses_are_longer_or_shorter_by_a_tenth_at_random(network):
    """RFC 8415 section 15: RT = RTprev + RTprev + RAND * RTprev, from IRT + RAND * IRT on."""

    def fail():
        made.append(network.now)
        attempts.later()

    made = []
    attempts = Retry(Node(network, "A").host, fail)
    fail()
    network.run(3600.0)
    pauses = [later - at for at, later in pairwise(made)]
    assert all(0.9 * LONGEST_PAUSE <= pause <= 1.1 * LONGEST_PAUSE for pause in pauses[10:])
    assert 0.9 * FIRST_PAUSE <= pauses[0] <= 1.1 * FIRST_PAUSE
    assert all(1.9 <= later / pause <= 2.1 for pause, later in pairwise(pauses[:6]))
    assert len(set(pauses)) == len(pauses)


def test_there_is_one_timer(network):
    made = []
    attempts = Retry(Node(network, "A").host, lambda: made.append(network.now), STEADY)
    attempts.later()
    network.run(0.125)
    attempts.later()
    network.run(10.0)
    assert made == [0.25]
    attempts.later()
    attempts.close()
    network.run(10.0)
    assert made == [0.25]


def test_pauses_of_many_may_differ_by_a_part_at_random(network):
    crowd = CrowdSettings(retry_first=10.0, retry_longest=40.0, retry_jitter=0.5)
    pauses, made = [], []
    for number in range(20):
        asked, before = network.now, len(made)
        attempts = Retry(Node(network, f"N{number}").host, lambda: made.append(network.now), crowd)
        attempts.later()
        network.until(lambda: len(made) > before, 100.0)  # noqa: B023
        pauses.append(made[-1] - asked)
    assert all(5.0 <= pause <= 15.0 for pause in pauses)
    assert max(pauses) - min(pauses) > 4.0
