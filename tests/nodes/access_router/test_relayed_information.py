"""When the access router's relay agent has information about a mobile node's home agent."""

from __future__ import annotations

import pytest

from agents.nodes.access_settings import RelaySettings
from tests.dhcpv6.world import NETWORK
from tests.nodes.access_router.world import World, supplied
from tests.nodes.net import AAA, COA, NAS, NEXT_COA

ALICE, NEW = (str(COA), 716), (str(NEXT_COA), 716)


@pytest.fixture
def world():
    relay = RelaySettings(interface="core", address=NAS, network=NETWORK, server=AAA)
    return World(relay=relay)


@pytest.mark.parametrize("end", ["terminate", "vanish"])
def test_it_lasts_as_long_as_the_session(world, end):
    assert not supplied(world, ALICE[0])
    alice = world.bootstrap(ALICE)
    assert supplied(world, ALICE[0])
    alice.vanish() if end == "vanish" else alice.do(end)
    world.net.run(0.1 if end == "terminate" else 3600.0)
    assert not supplied(world, ALICE[0])


def test_it_moves_with_the_session(world):
    alice = world.bootstrap(ALICE)
    alice.move(NEW)
    alice.do("update")
    world.net.run(0.1)
    assert supplied(world, NEW[0])
    assert not supplied(world, ALICE[0])
