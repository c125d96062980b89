"""The end of an authorisation: nothing of an identity is left, and nothing new can be made."""

import random

import pytest

from agents.core.machine import Discarded
from agents.core.record import replace
from agents.ikev1 import (
    ChildAbandoned,
    ChildDeleted,
    ChildEstablished,
    ChildKeyed,
    Failed,
    Ikev1,
    Phase1Deleted,
    Phase1Established,
)
from tests.ike import COA, ENDS, HA, HOA, PSK, find, settle
from tests.ikev1.peers import AGGRESSIVE, FAST, SELECTORS

NAME, OTHER = "mn@home.test", "other@home.test"


def world(config=FAST) -> tuple[Ikev1, Ikev1, Ikev1]:
    """A home agent, the node whose authorisation will end, and another one at COA + 1."""
    ha = Ikev1(rng=random.Random(2), local=HA, config=config)
    ha.add_psk(PSK, peer=COA, identity=NAME, home_address=HOA)
    ha.add_psk(b"other", peer=COA + 1, identity=OTHER, home_address=HOA + 1)
    nodes = []
    for number, (key, name) in enumerate(((PSK, NAME), (b"other", OTHER))):
        own = replace(config, identity=name) if config is AGGRESSIVE else config
        mn = Ikev1(rng=random.Random(number + 5), local=COA + number, config=own)
        mn.add_psk(key, peer=HA)
        mn.initiate(HA, SELECTORS._replace(local=HOA + number), 0.0)
        nodes.append(mn)
    return ha, *nodes


def end(ha: Ikev1, now: float = 1.0) -> None:
    ha.remove_psk(identity=NAME)
    ha.delete_identity(NAME, now)


def assert_nothing_is_left(ha: Ikev1) -> None:
    """What the kernel got is out of it again, and the other one's is still there."""
    keyed = {e.pair.inbound.spi: e.pair.inbound.source for e in find(ha, ChildKeyed)}
    for event in (*find(ha, ChildDeleted), *find(ha, ChildAbandoned)):
        keyed.pop(event.pair.inbound.spi)
    assert set(keyed.values()) == {HOA + 1}


def test_the_sas_of_an_identity_end_at_once_and_the_peer_is_told():
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    end(ha)
    assert_nothing_is_left(ha)
    assert [e.reason for e in find(ha, Phase1Deleted)] == ["deleted"]
    settle(ha, {COA: mn, COA + 1: other}, 1.0)
    assert [e.reason for e in find(mn, ChildDeleted)] == ["deleted by the peer"]
    assert [e.reason for e in find(mn, Phase1Deleted)] == ["deleted by the peer"]
    assert not find(other, ChildDeleted)


def test_a_peer_that_does_not_listen_makes_nothing_with_what_it_keeps():
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    end(ha)
    ha.outbox.clear()
    mn.initiate(HA, SELECTORS, 1.0)
    assert mn.outbox[0][0][18] == 32  # Quick mode over the old ISAKMP SA.
    settle(ha, {COA: mn}, 1.0)
    assert "the cookies belong to no ISAKMP SA" in find(ha, Discarded)[-1].reason
    mn.delete(HA, 2.0)
    mn.initiate(HA, SELECTORS, 2.0)
    settle(ha, {COA: mn}, 2.0)
    assert f"no pre-shared key for {COA}" in find(ha, Failed)[-1].reason
    assert_nothing_is_left(ha)


@pytest.mark.parametrize("config", [FAST, AGGRESSIVE], ids=["main", "aggressive"])
@pytest.mark.parametrize("messages", range(1, 9))
def test_whatever_is_under_way_ends(config, messages):
    """The node's messages and the answers go on after the end, whenever it comes."""
    ha, mn, other = world(config)
    settle(ha, {COA + 1: other}, 0.0)
    for _ in range(messages):
        for _ in range(len(mn.outbox)):
            ha.handle_message(mn.outbox.popleft()[0], ENDS[0], 0.5)
        for _ in range(len(ha.outbox)):
            mn.handle_message(ha.outbox.popleft()[0], ENDS[1], 0.5)
    end(ha)
    assert_nothing_is_left(ha)
    settle(ha, {COA: mn}, 1.0)
    for second in range(2, 60):
        for machine in (mn, ha):
            machine.handle_timeout(float(second))
        settle(ha, {COA: mn, COA + 1: other}, float(second))
    assert_nothing_is_left(ha)
    assert len(find(ha, Phase1Established)) <= 2


def test_sas_from_an_earlier_address_end_too():
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    ha.add_psk(PSK, peer=COA + 2, identity=NAME, home_address=HOA)
    mn.local = COA + 2
    mn.initiate(HA, SELECTORS, 1.0)
    settle(ha, {COA + 2: mn}, 1.0)
    assert len(find(mn, ChildEstablished)) == 2
    end(ha)
    assert_nothing_is_left(ha)


def test_the_next_key_of_an_identity_leaves_its_sas():
    """A new authentication of the same subscriber with the same home address."""
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    ha.remove_psk(identity=NAME)
    ha.add_psk(b"next", peer=COA, identity=NAME, home_address=HOA)
    assert not find(ha, ChildDeleted)
    mn.initiate(HA, SELECTORS, 1.0)
    settle(ha, {COA: mn}, 1.0)
    assert len(find(ha, ChildEstablished)) == 3
