"""What the home network does with the keys of the subscribers that its AAA server lets in."""

from __future__ import annotations

import errno

import pytest

from agents.aaa.policy import Place
from tests.nodes.aaa import SERVER
from tests.nodes.home_network.world import HOA, NAME, OTHER, World, psk_of
from tests.nodes.net import COA, OTHER_COA


@pytest.mark.parametrize("version", [1, 2])
def test_the_visited_networks_home_agent_is_not_ours(version):
    world = World(version)
    world.authenticate(1, place=Place.LOCAL)
    assert not world.takes(1)


def test_the_key_comes_from_the_msk_where_the_configuration_says_so():
    world = World(2, psk_source="msk")
    world.authenticate(1)
    assert not world.takes(1)
    assert world.takes(0)  # An MSK of zeros.


class Launched:
    """Stands in for the IKE daemon that a script starts; notes what it is told, and when."""

    def __init__(self, failures=0):
        self.told = []
        self.sent = lambda: 0
        self.failures = failures

    def _fail(self):
        if self.failures:
            self.failures -= 1
            raise OSError(errno.ENOSPC, "No space left on device")

    def share(self, *what):
        self._fail()
        self.told.append(("share", *what))
        self.answers_before = self.sent()

    def forget(self, identity):
        self._fail()
        self.told.append(("forget", identity))

    def close(self):
        self.told.append(("close",))


def test_one_daemon_is_launched_for_all_and_each_key_ends_with_its_session():
    launched = Launched()
    world = World(0, launched=launched, launch="script", session_lifetime=10.0)
    world.authenticate(1)
    world.authenticate(2, OTHER, HOA + 1, OTHER_COA)
    world.net.run(5.0)
    world.authenticate(3)
    assert launched.told == [
        ("share", NAME, HOA, psk_of(1), COA),
        ("share", OTHER, HOA + 1, psk_of(2, HOA + 1), OTHER_COA),
        ("share", NAME, HOA, psk_of(3), COA),
    ]
    launched.told.clear()
    world.net.run(8.0)
    assert launched.told == [("forget", OTHER)]
    world.net.run(5.0)
    assert launched.told[1:] == [("forget", NAME)]
    world.stop()
    assert launched.told[2:] == [("close",)]


def test_what_cannot_be_launched_is_told_and_tried_again():
    launched = Launched(failures=2)
    world = World(0, launched=launched, launch="script")
    world.authenticate(1)
    world.net.run(60.0)
    assert launched.told == [("share", NAME, HOA, psk_of(1), COA)]
    failed = world.net.told("LaunchFailed")
    assert [(event["identity"], event["reason"]) for event in failed] == [
        (NAME, "[Errno 28] No space left on device")
    ] * 2


def test_a_key_that_is_over_is_not_launched_any_more():
    launched = Launched(failures=3)
    world = World(0, launched=launched, launch="script")
    world.authenticate(1)
    world.end()
    world.net.run(60.0)
    assert launched.told == [("forget", NAME)]
    assert world.bound() == set()


def test_the_answer_leaves_before_the_daemon_is_launched():
    launched = Launched()
    world = World(0, launched=launched, launch="script")
    launched.sent = lambda: sum(
        str(sent.packet.source) == SERVER.address for sent in world.net.world.sent
    )
    before = launched.sent()
    world.authenticate(1)
    assert launched.answers_before == before + 1
