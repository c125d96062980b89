"""The pauses between attempts."""

from __future__ import annotations

import pytest

from agents.nodes.crowd import CrowdSettings
from agents.nodes.retry import LONGEST_PAUSE, Retry
from tests.nodes.simulated import Network, Node


@pytest.fixture
def network():
    return Network()


def test_the_pause_doubles_until_an_attempt_lasts(network):
    made = []
    attempts = Retry(Node(network, "A").host, lambda: made.append(network.now))

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
    attempts = Retry(Node(network, "A").host, fail)
    attempts.later()
    network.run(3600.0)
    assert 60 < len(made) < 70
    assert made[-1] - made[-2] == LONGEST_PAUSE


def test_there_is_one_timer(network):
    made = []
    attempts = Retry(Node(network, "A").host, lambda: made.append(network.now))
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
