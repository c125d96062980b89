"""Two subscribers at one home agent: IKE, binding cache and kernel agree on whose an address is."""

from __future__ import annotations

import errno

import pytest

from agents.ike.esp import EspPair
from tests.nodes.home_agent.two_subscribers import ALICE, BOB, CARE_OF, HOME, KEYS, KeyWorld


@pytest.fixture(params=[1, 2])
def world(request: pytest.FixtureRequest) -> KeyWorld:
    return KeyWorld(request.param)


def test_everybody_registers_its_own_home_address(world):
    for who in (ALICE, BOB):
        assert world.share(who)
        assert world.bind(HOME[who], CARE_OF[who], world.connect(who))
    assert world.kernel.bound == {HOME[who]: CARE_OF[who] for who in (ALICE, BOB)}


def test_nobody_has_sas_for_anothers_home_address(world):
    assert world.share(ALICE)
    assert world.share(BOB)
    pair = world.connect(BOB, HOME[ALICE])
    assert not world.bind(HOME[ALICE], CARE_OF[BOB], pair)
    assert HOME[ALICE] not in world.homes_with_sas()


def test_an_update_under_ones_own_sa_for_anothers_home_address_is_refused(world):
    world.share(ALICE)
    world.share(BOB)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    pair = world.connect(BOB)
    assert pair
    assert not world.bind(HOME[ALICE], CARE_OF[BOB], pair)
    assert world.kernel.bound == {HOME[ALICE]: CARE_OF[ALICE]}


def test_an_update_under_an_sa_of_the_one_before_is_refused(world):
    world.share(ALICE)
    before = world.connect(ALICE)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], before)
    world.home_agent.release(ALICE)
    assert world.share(BOB, HOME[ALICE])
    assert world.bind(HOME[ALICE], CARE_OF[BOB], world.connect(BOB, HOME[ALICE]))
    assert not world.bind(HOME[ALICE], CARE_OF[ALICE], before)
    assert world.kernel.bound == {HOME[ALICE]: CARE_OF[BOB]}


def test_without_a_hold_an_sa_in_the_kernel_is_not_enough(world):
    world.share(ALICE)
    pair = world.connect(ALICE)
    world.home_agent.release(ALICE)
    world.kernel.install(EspPair(pair.outbound, pair.inbound))
    assert not world.bind(HOME[ALICE], CARE_OF[ALICE], pair)


@pytest.mark.parametrize("on_time", [True, False])
def test_a_hold_ends_with_binding_then_ike_then_what_is_left_in_the_kernel(world, on_time):
    world.share(ALICE, lifetime=60.0)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    if on_time:
        world.host.advance(60.0)
    else:
        world.home_agent.release(ALICE)
    assert world.ends() == ["unbind", "uninstall", "forget"]
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert world.connect(ALICE) is None


@pytest.mark.parametrize("operation", ["unbind", "forget"])
def test_an_address_does_not_pass_on_while_the_kernel_keeps_something(world, operation):
    world.share(ALICE)
    pair = world.connect(ALICE)
    world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
    world.kernel.failures[operation] = errno.EBUSY
    world.home_agent.release(ALICE)
    assert not world.share(BOB, HOME[ALICE])
    assert HOME[ALICE] not in {world.home_agent.homes.home_of(who) for who in (ALICE, BOB)}
    del world.kernel.failures[operation]
    world.host.advance(1.0)
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert world.share(BOB, HOME[ALICE])


def expect(world: KeyWorld, who: str) -> None:
    world.ike.expect(who, HOME[who], KEYS[who], CARE_OF[who])


def test_an_early_key_makes_sas_and_registers_nothing(world):
    expect(world, ALICE)
    pair = world.connect(ALICE)
    assert not world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
    assert not world.share(BOB, HOME[ALICE])
    assert world.share(ALICE)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], pair)


def test_an_early_key_that_is_withdrawn_leaves_nothing(world):
    expect(world, ALICE)
    assert world.connect(ALICE)
    world.ike.withdraw(ALICE, KEYS[ALICE])
    assert (world.kernel.sas, world.connect(ALICE)) == ({}, None)
    assert world.share(BOB, HOME[ALICE])


def test_an_early_key_that_is_withdrawn_leaves_what_was_there_before(world):
    world.share(ALICE)
    pair = world.connect(ALICE)
    world.ike.expect(ALICE, HOME[ALICE], b"another key", CARE_OF[ALICE])
    world.ike.withdraw(ALICE, b"another key")
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
    assert world.connect(ALICE)


def test_a_session_ends_what_it_has_brought(world):
    world.ike.share(ALICE, HOME[ALICE], KEYS[ALICE], CARE_OF[ALICE], 600.0, session=1)
    world.ike.share(ALICE, HOME[ALICE], KEYS[ALICE], CARE_OF[ALICE], 600.0, session=2)
    assert world.connect(ALICE)
    world.home_agent.release_session(1)
    assert world.homes_with_sas() == {HOME[ALICE]}
    world.home_agent.release_session(2)
    assert world.homes_with_sas() == set()


def test_another_home_address_ends_what_there_was_for_the_first(world):
    world.share(ALICE)
    world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    assert world.share(ALICE, HOME[BOB])
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert world.bind(HOME[BOB], CARE_OF[ALICE], world.connect(ALICE, HOME[BOB]))


def test_ikev2_is_told_the_length_of_the_home_prefix():
    world = KeyWorld(2)
    world.share(ALICE)
    assert world.home_agent.grant(ALICE).prefix_length == 56
    assert world.home_agent.grant(BOB) is None
