"""Which key the home agent's IKE takes from a peer, from when and until when."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.nodes.home_network.settings import PresharedPeer
from tests.nodes.home_network.world import HOA, LIFETIME, OTHER, STATIC, World
from tests.nodes.net import COA, HA, NEXT_COA, OTHER_COA


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def version(request):
    return request.param


@pytest.fixture
def world(version):
    return World(version)


def test_the_home_prefix_has_the_length_that_it_has():
    world = World(2)
    world.authenticate(1)
    node = world.connect(1)
    assert node.assigned == HOA
    (told,) = world.net.told("AddressAssigned")
    assert told["prefix"] == "2001:db8:100::/56"
    assert not world.connect(1, name=OTHER, care_of=OTHER_COA).secured


def test_all_that_there_is_ends_with_the_authentication_that_it_comes_from(version):
    static = PresharedPeer(identity=STATIC, home_address=str(HOA + 1), psk_file="static")
    world = World(version, preshared=(static,), keys={"static": b"static key"})
    world.authenticate(1)
    node = world.connect(1)
    assert node.register()
    world.net.run(LIFETIME - 10)
    assert node.secured
    assert world.bound() == {HOA}
    world.net.run(20)
    assert not node.secured
    assert not world.kernel.sas_between(HOA, HA)
    assert world.bound() == set()
    assert not world.takes(1)
    if version == 2:  # IKEv1 knows its peers by address here.
        assert world.connect(b"static key", STATIC, HOA + 1, OTHER_COA).secured


def test_a_new_authentication_renews_it(world):
    world.authenticate(1)
    world.net.run(LIFETIME - 10)
    world.authenticate(2, care_of=NEXT_COA)
    world.net.run(LIFETIME - 100)
    assert not world.connect(1).secured
    assert world.connect(2, care_of=NEXT_COA).secured


def test_key_binding_and_sas_end_with_the_session(world):
    world.authenticate(1)
    assert world.connect(1).register()

    world.end(OTHER)
    assert world.bound() == {HOA}
    world.end()
    assert world.bound() == set()
    assert not world.kernel.sas_between(HOA, HA)
    assert not world.takes(1)


def test_an_early_key_that_is_withdrawn_leaves_nothing(world):
    world.verify(1)
    node = world.connect(1)
    world.withdraw(2)
    world.net.run(1.0)
    assert node.secured
    world.withdraw(1)
    world.net.run(1.0)
    assert not node.secured
    assert not world.takes(1)


def test_an_early_key_that_is_withdrawn_gives_way_to_the_one_before(world):
    world.authenticate(1)
    node = world.connect(1)
    world.verify(2)
    world.net.run(1.0)
    world.withdraw(2)
    world.net.run(1.0)
    assert node.secured
    assert not world.takes(2)
    assert world.takes(1)


def test_a_key_that_has_expired_in_the_meantime_does_not_come_back(world):
    world.authenticate(1)
    node = world.connect(1)
    world.net.run(LIFETIME - 10)
    world.verify(2)
    world.net.run(20)
    assert not node.secured
    early = world.connect(2)
    assert early.secured
    world.withdraw(2)
    world.net.run(1.0)
    assert not early.secured
    assert not world.takes(1)
    assert not world.takes(2)


def test_an_early_key_registers_nothing(world):
    world.verify(1)
    node = world.connect(1)
    assert not node.register()
    assert world.bound() == set()
    world.authenticate(1)
    assert node.register()
    assert world.bound() == {HOA}


def test_another_home_address_ends_what_there_was_for_the_first(world):
    world.authenticate(1)
    node = world.connect(1)
    assert node.register()
    world.authenticate(2, home=HOA + 1)
    world.net.run(1.0)
    assert not node.secured
    assert world.bound() == set()
    assert not world.takes(1)
    assert world.takes(2, home=HOA + 1)


def test_a_home_address_is_one_peers_until_another_is_authenticated_for_it(world):
    world.authenticate(1)
    world.verify(2, OTHER, care_of=OTHER_COA)
    assert not world.takes(2, OTHER, care_of=OTHER_COA)
    node = world.connect(1)
    assert node.register()
    world.authenticate(3, OTHER, care_of=OTHER_COA)
    assert world.bound() == set()
    assert not world.kernel.sas_between(HOA, HA)
    assert not world.takes(1)
    assert world.takes(3, OTHER, care_of=OTHER_COA)
    world.verify(4)
    assert not world.takes(4)


def test_a_home_address_that_is_configured_for_a_peer_is_not_given_to_another(version):
    static = PresharedPeer(identity=STATIC, home_address=str(HOA), psk_file="static")
    world = World(version, preshared=(static,), keys={"static": b"static key"})
    world.authenticate(1)
    assert not world.takes(1)


def test_an_early_key_becomes_one_that_lasts(world):
    world.verify(1)
    world.authenticate(1)
    world.withdraw(1)  # Of a conversation that ended before this one.
    assert world.takes(1)
    world.net.run(LIFETIME)
    assert not world.takes(1)


def test_a_home_address_off_the_home_link_is_nobodys(world):
    elsewhere = IPv6Address("2001:db8:200::1234")
    world.authenticate(1, home=elsewhere)
    assert not world.takes(1, home=elsewhere)


def test_a_peer_registers_no_other_address_than_its_own(world):
    world.authenticate(1)
    assert not world.connect(1, home=HOA + 1).secured
    assert world.connect(1, care_of=COA).secured
