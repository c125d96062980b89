"""A mobile node's access by IEEE 802.1X, with a supplicant that does as a test says."""

from __future__ import annotations

import pytest

from agents.eap.tls import EapKeys
from agents.nodes.mobile_node.dot1x import START_PERIOD, Dot1xAccess
from agents.nodes.mobile_node.supplicant import Said
from agents.nodes.retry import Attempts
from tests.nodes.net import COA, NEXT_COA, Net

KEYS = EapKeys(bytes(64), bytes(64), b"session")


class Supplicant:
    """Takes note of what it is asked for."""

    def __init__(self):
        self.asked = []
        self.on_said = lambda _: None
        self.reason = ""
        self.keys = KEYS

    def _do(self, what):
        self.asked.append(what)
        return True

    def prepare(self):
        return self._do("prepare")

    def log_on(self):
        return self._do("log on")

    def reauthenticate(self):
        return self._do("again")

    def log_off(self):
        return self._do("log off")


class World:
    def __init__(self):
        self.net = Net()
        self.supplicant = Supplicant()
        self.granted = []
        self.access = Dot1xAccess(
            self.net.program("A"),
            self.supplicant,
            COA,
            log=self.net.log("A").child("dot1x"),
            attempts=Attempts(self.net.log("A")),
            on_granted=self.granted.append,
        )

    def say(self, said, reason=""):
        self.supplicant.reason = reason
        self.supplicant.on_said(said)


@pytest.fixture
def world():
    world = World()
    world.access.start()
    return world


def test_success_is_access_with_keys_and_no_home_agent(world):
    assert world.supplicant.asked == ["prepare", "log on"]
    assert world.access.authenticates
    world.say(Said.SUCCEEDED)
    [granted] = world.granted
    assert (granted.assignment, granted.sealed, granted.keys) == (None, None, KEYS)
    assert not world.access.authenticates
    assert [len(world.net.told(name)) for name in ("Started", "Authenticated")] == [1, 1]


def test_a_failure_is_told_and_left_to_the_supplicant(world):
    world.say(Said.FAILED, "the certificate has expired")
    [failed] = world.net.told("AttemptFailed")
    assert failed["reason"] == "802.1X: the certificate has expired"
    assert failed["stage"] == "802.1X"
    assert world.access.authenticates
    world.say(Said.SUCCEEDED)
    assert world.granted


def test_eapol_start_that_nobody_answers_is_sent_again(world):
    world.say(Said.SUCCEEDED)
    assert world.access.reauthenticate()
    world.net.run(2.5 * START_PERIOD)
    assert world.supplicant.asked.count("again") == 3
    world.say(Said.SUCCEEDED)
    world.net.run(5 * START_PERIOD)
    assert world.supplicant.asked.count("again") == 3
    assert len(world.granted) == 2


def test_without_access_there_is_nothing_to_renew_or_leave(world):
    assert not world.access.reauthenticate()
    assert not world.access.terminate()


def test_who_has_logged_off_stays_so(world):
    world.say(Said.SUCCEEDED)
    assert world.access.terminate()
    assert world.supplicant.asked[-1] == "log off"
    world.say(Said.SUCCEEDED)
    world.say(Said.FAILED)
    assert len(world.granted) == 1
    assert not world.access.authenticates
    assert not world.access.terminate()


def test_another_address_of_the_station_needs_no_confirmation(world):
    moved = []
    world.access.on_confirmed = lambda: moved.append(world.access.care_of)
    world.say(Said.SUCCEEDED)
    assert world.access.move(NEXT_COA)
    world.net.run(0.1)
    assert moved == [NEXT_COA]
