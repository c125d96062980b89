"""The traffic of a run: what is a silence, and what is only a machine that stands still."""

import time
from ipaddress import IPv6Address

import pytest

from testbed.run.probe import Traffic

HOME_ADDRESS = IPv6Address("2001:db8:100::a1")
INTERVAL = 0.02
GAP = 0.5  # s


class Answered:
    """An echo client whose requests are answered at once, but for those that are lost.

    Who waits for the answer to the request `stops` waits GAP longer than was asked.
    """

    def __init__(self, lost=(), stops=0):
        self._lost = lost
        self._stops = stops
        self._sent = 0
        self._waiting = False

    def send(self, _):
        self._sent += 1
        self._waiting = self._sent not in self._lost
        return self._sent

    def receive(self, wait):
        if self._sent == self._stops:
            self._stops = 0
            time.sleep(wait + GAP)
        elif not self._waiting:
            time.sleep(wait)
            return None
        self._waiting = False
        return self._sent


def silence(echo):
    traffic = Traffic(echo, HOME_ADDRESS, INTERVAL)
    traffic.wait_for(10, timeout=10.0)
    return traffic.stop()["silence"]


def test_requests_without_an_answer_are_a_silence():
    assert silence(Answered(lost=range(5, 5 + int(GAP / INTERVAL)))) > 0.9 * GAP


@pytest.mark.parametrize("lost", [(), (5,)])
def test_a_machine_that_stands_still_is_none(lost):
    assert silence(Answered(lost, stops=5)) < GAP / 2
