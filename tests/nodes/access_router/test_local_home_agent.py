"""What the access router does with the one home address of its own home agent."""

from __future__ import annotations

import pytest

from agents.bootstrap.assignment import Assignment
from agents.nodes.access_router.settings import LocalHomeAgent
from agents.nodes.access_settings import RelaySettings
from agents.nodes.home_agent.settings import HomeAgentSettings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.pana.events import Authenticated
from tests.dhcpv6.world import NETWORK
from tests.nodes.access_router.world import World, supplied
from tests.nodes.net import AAA, COA, LOCAL_HA, NAS, NEXT_COA, OTHER_COA, VISITED
from tests.nodes.subscriber import Subscriber

HOA = LOCAL_HA + 0x1234
ASSIGNMENT = Assignment(LOCAL_HA, 64, HOA)
LOCAL = LocalHomeAgent(
    home_agent=HomeAgentSettings(
        address=str(LOCAL_HA),
        interface="visited",
        prefix=VISITED,
        duplicate_address_detection=False,
    ),
    home_address=str(HOA),
    ikev1=Ikev1Settings(group="ecp256"),
)
KEY = b"key"
ALICE, BOB = (str(COA), 716), (str(OTHER_COA), 716)


@pytest.fixture
def world():
    relay = RelaySettings(interface="core", address=NAS, network=NETWORK, server=AAA)
    world = World(local_kernel=True, local=LOCAL, relay=relay)
    world.aaa.granted = {"assignment": ASSIGNMENT, "local_home_agent_key": KEY}
    return world


def told(client):
    """Return which assignment a PaC was told last."""
    return client.only(Authenticated)[-1].assignment


def secured(world, care_of=COA, key=KEY):
    """Return a mobile node that tries to make SAs with the local home agent."""
    node = Subscriber(world.net, care_of, LOCAL_HA)
    node.ikev1(key, HOA)
    return node


def test_the_home_aaa_server_is_offered_it(world):
    world.bootstrap(ALICE)
    assert {request.hint for request in world.aaa.asked} == {ASSIGNMENT}


def test_who_gets_it_has_the_key_that_came_with_the_answer(world):
    alice = world.bootstrap(ALICE)
    assert told(alice) == ASSIGNMENT
    assert supplied(world, ALICE[0])
    stranger = secured(world, OTHER_COA)
    assert not stranger.secured
    node = secured(world)
    assert node.secured
    assert node.register()


def test_a_mobile_node_is_not_told_of_a_home_address_that_is_anothers(world):
    world.bootstrap(ALICE)
    bob = world.bootstrap(BOB)
    assert told(bob) is None
    assert world.open() == {ALICE[0], BOB[0]}
    assert not supplied(world, BOB[0])
    assert not secured(world, OTHER_COA).secured


@pytest.mark.parametrize("end", ["logout", "lifetime"])
def test_one_who_has_left_keeps_neither_home_agent_nor_home_address(world, end):
    alice = world.bootstrap(ALICE)
    node = secured(world)
    assert node.register()
    if end == "logout":
        alice.do("terminate")
        world.net.run(1.0)
    else:
        alice.vanish()
        world.net.run(3700.0)
    assert world.local.bound == {}
    assert not world.local.sas_between(HOA, LOCAL_HA)
    node.vanish()
    assert not secured(world).secured
    assert told(world.bootstrap(BOB)) == ASSIGNMENT
    assert secured(world, OTHER_COA).secured


def test_one_who_has_come_again_keeps_them_when_the_session_before_ends(world):
    first = world.bootstrap(ALICE)
    second = world.bootstrap((ALICE[0], 4000))
    assert told(second) == ASSIGNMENT
    first.do("terminate")
    world.net.run(1.0)
    assert told(world.bootstrap(BOB)) is None
    assert secured(world).secured
    second.do("terminate")
    world.net.run(1.0)
    assert told(world.bootstrap((BOB[0], 4000))) == ASSIGNMENT


def test_one_who_got_none_takes_none_away(world):
    world.bootstrap(ALICE)
    bob = world.bootstrap(BOB)
    bob.do("terminate")
    world.net.run(1.0)
    assert secured(world).secured
    assert told(world.bootstrap((str(NEXT_COA), 716))) is None
