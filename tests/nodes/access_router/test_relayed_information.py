"""When the access router's relay agent has information about a mobile node's home agent."""

from __future__ import annotations

import pytest

from agents.dhcpv6.wire import ALL_RELAY_AGENTS_AND_SERVERS, CLIENT_PORT, SERVER_PORT
from agents.nodes.access_router.settings import RelaySettings
from tests.dhcpv6 import world as dhcpv6
from tests.nodes.access_router.world import World
from tests.nodes.net import AAA, COA, NAS, NEXT_COA

ALICE, NEW = (str(COA), 716), (str(NEXT_COA), 716)
REQUEST = dhcpv6.World().run().sent[0][2]


@pytest.fixture
def world():
    relay = RelaySettings(interface="core", address=NAS, network=dhcpv6.NETWORK, server=AAA)
    return World(relay=relay)


def supplied(world, address):
    """Ask by DHCPv6 from an address; return whether information goes with that."""
    client = world.net.program("A").open_datagrams((address, CLIENT_PORT), lambda *_: None)
    client.send(REQUEST, (f"{ALL_RELAY_AGENTS_AND_SERVERS}%access", SERVER_PORT))
    client.close()
    before = len(world.told("Forwarded"))
    world.net.run(0.1)
    (forwarded,) = world.told("Forwarded")[before:]
    return forwarded["supplied"]


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
