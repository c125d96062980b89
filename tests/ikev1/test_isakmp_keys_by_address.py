"""Whose key it is where several peers are known at one address (RFC 2409 section 5.4)."""

import random

import pytest

from agents.core.record import replace
from agents.ike.psk import MAX_CANDIDATES
from agents.ikev1 import (
    ChildDeleted,
    ChildEstablished,
    Failed,
    Ikev1,
    Phase1Deleted,
    Phase1Established,
    Selectors,
)
from agents.ikev1.constants import PayloadType, ProtocolId
from agents.ikev1.wire import Deletion, Payload
from tests.ike import COA, HA, HOA, PSK, find, settle
from tests.ikev1.peers import AGGRESSIVE, FAST, SELECTORS

A, B = "a@home.test", "b@home.test"


def home_agent(config=FAST) -> Ikev1:
    return Ikev1(rng=random.Random(2), local=HA, config=config)


def node(psk=PSK, config=FAST, seed=1, home_address=HOA, local=COA) -> Ikev1:
    machine = Ikev1(rng=random.Random(seed), local=local, config=config)
    machine.add_psk(psk, peer=HA, home_address=home_address)
    return machine


def connect(ha, mn, now=0.0, selectors=SELECTORS) -> bool:
    """Return whether a node at the care-of address gets ESP SAs."""
    before = len(find(mn, ChildEstablished))
    mn.initiate(HA, selectors, now)
    settle(ha, {COA: mn}, now)
    return len(find(mn, ChildEstablished)) > before


def test_another_subscriber_at_the_same_address_takes_nobodys_key_away():
    ha, mn = home_agent(), node()
    ha.add_psk(PSK, peer=COA, identity=A, home_address=HOA)
    ha.add_psk(b"of b", peer=COA, identity=B, home_address=HOA + 1)
    assert connect(ha, mn)
    assert find(ha, ChildEstablished)[0].pair.inbound.source == HOA


def test_either_of_two_at_one_address_gets_its_own_home_address():
    ha = home_agent()
    ha.add_psk(PSK, peer=COA, identity=A, home_address=HOA)
    ha.add_psk(b"of b", peer=COA, identity=B, home_address=HOA + 1)
    b = node(b"of b", seed=5, home_address=HOA + 1)
    assert not connect(ha, b, selectors=SELECTORS)  # It is A's.
    assert connect(ha, b, 1.0, Selectors(HOA + 1, HA))
    assert connect(ha, node(), 2.0)


def test_the_key_of_one_goes_and_the_others_stays():
    ha = home_agent()
    ha.add_psk(PSK, peer=COA, identity=A, home_address=HOA)
    ha.add_psk(b"of b", peer=COA, identity=B, home_address=HOA + 1)
    ha.remove_psk(identity=B)
    assert connect(ha, node())
    ha.remove_psk(identity=A)
    assert not connect(ha, node(seed=3))
    assert f"no pre-shared key for {COA}" in find(ha, Failed)[-1].reason


def test_a_key_replaces_that_of_its_holder_alone():
    ha = home_agent()
    ha.add_psk(b"old", peer=COA + 7, identity=A, home_address=HOA)
    ha.add_psk(PSK, peer=COA, identity="a@HOME.test", home_address=HOA)
    assert connect(ha, node())
    stale = node(b"old", seed=4, local=COA + 7)
    stale.initiate(HA, SELECTORS, 1.0)
    settle(ha, {COA + 7: stale}, 1.0)
    assert not find(stale, ChildEstablished)


def test_a_key_that_goes_during_the_exchange_is_not_taken():
    """Message 5 decides, and a key that was there for message 1 may be gone."""
    ha, mn = home_agent(), node()
    ha.add_psk(PSK, peer=COA, identity=A, home_address=HOA)
    mn.initiate(HA, SELECTORS, 0.0)
    for _ in range(2):
        ha.handle_message(mn.outbox.popleft()[0], (str(COA), 500), 0.0)
        mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), 0.0)
    ha.remove_psk(identity=A)
    settle(ha, {COA: mn}, 0.0)
    assert not find(ha, Phase1Established)


def test_no_more_keys_are_tried_than_a_few():
    ha, mn = home_agent(), node()
    ha.add_psk(PSK, peer=COA, identity=A, home_address=HOA)
    for number in range(MAX_CANDIDATES):
        name = f"{number}@home.test"
        ha.add_psk(b"other", peer=COA, identity=name, home_address=HOA + 1 + number)
    assert not connect(ha, mn)
    ha.add_psk(PSK, peer=COA, identity=A, home_address=HOA)  # The latest again.
    assert connect(ha, node(seed=3))


def test_aggressive_mode_by_address_is_not_disturbed_by_those_with_names():
    ha, mn = home_agent(AGGRESSIVE), node(config=AGGRESSIVE)
    ha.add_psk(PSK, peer=COA, home_address=HOA)
    ha.add_psk(b"of b", peer=COA, identity=B, home_address=HOA + 1)
    assert connect(ha, mn)


def test_the_realm_of_an_identity_has_no_case():
    ha, mn = home_agent(AGGRESSIVE), node(config=replace(AGGRESSIVE, identity="a@Home.Test"))
    ha.add_psk(PSK, peer=None, identity=A, home_address=HOA)
    assert connect(ha, mn)


@pytest.fixture
def two():
    """A and B behind one address, both with SAs, and what the home agent knows of each."""
    ha = home_agent()
    a, b = node(), node(b"of b", seed=5, home_address=HOA + 1)
    ha.add_psk(PSK, peer=COA, identity=A, home_address=HOA)
    ha.add_psk(b"of b", peer=COA, identity=B, home_address=HOA + 1)
    assert connect(ha, a)
    assert connect(ha, b, 0.0, Selectors(HOA + 1, HA))
    return ha, a, b


def test_what_is_up_for_one_is_not_for_the_other(two):
    """RFC 4877 section 4.4: a node must not have SAs for another's home address."""
    ha, _, b = two
    b.initiate(HA, SELECTORS, 1.0)
    settle(ha, {COA: b}, 1.0)
    assert f"whose home address is {HOA + 1}" in find(ha, Failed)[-1].reason
    assert len(find(ha, ChildEstablished)) == 2


def test_starting_afresh_drops_nobody_elses_sas(two):
    ha, *_ = two
    again = node(b"of b", seed=9, home_address=HOA + 1)
    assert connect(ha, again, 1.0, Selectors(HOA + 1, HA))
    assert [e.pair.inbound.source for e in find(ha, ChildDeleted)] == [HOA + 1]
    assert len(find(ha, Phase1Deleted)) == 1


def test_deletion_names_nobody_elses_sas(two):
    """The cookies of A's ISAKMP SA are on the wire for B to read, and A's SPIs too."""
    ha, a, b = two
    (pair,) = (e.pair for e in find(a, ChildEstablished))
    ((own,), (theirs,)) = (m._sas.of_peer(HA) for m in (b, a))
    cookies = theirs.n.initiator_cookie + theirs.n.responder_cookie
    for deletion in (
        Deletion(ProtocolId.ESP, (pair.inbound.spi.to_bytes(4),)),
        Deletion(ProtocolId.ISAKMP, (cookies,)),
    ):
        b._phase2._inform(own, Payload(PayloadType.DELETE, deletion.encode()))
    settle(ha, {COA: b}, 1.0)
    assert not find(ha, ChildDeleted)
    assert not find(ha, Phase1Deleted)
