"""A responder of IKEv2 whose owner is asked for each pre-shared key (`KeyWanted`)."""

import pytest

from agents.core.record import replace
from agents.ike.psk import PskEntry
from agents.ikev2 import Failed, IkeEstablished
from agents.ikev2.events import KeyWanted
from tests.ike import COA, HA, HOA, PSK, find
from tests.ikev2.peers import FAST, Peers, assert_up

NAME = "mn@home.test"
ENTRY = PskEntry(PSK, COA, NAME, HOA)


@pytest.fixture
def peers():
    return Peers(replace(FAST, identity=NAME), replace(FAST, asks_keys=True))


def test_ike_goes_on_with_the_key_that_is_given(peers):
    peers.connect(0.5)
    [wanted] = find(peers.ha, KeyWanted)
    assert (wanted.peer, wanted.identity.text) == (COA, NAME)
    assert not find(peers.ha, IkeEstablished)
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    peers.link.run(1.0)
    assert_up(peers)
    assert find(peers.ha, IkeEstablished)[0].identity == NAME


def test_what_comes_again_meanwhile_asks_for_nothing_more(peers):
    peers.connect(12.0)  # IKE_AUTH has been sent four times.
    assert len(peers.sent) > 5
    [wanted] = find(peers.ha, KeyWanted)
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    peers.link.run(13.0)
    assert_up(peers)


@pytest.mark.parametrize("entry", [None, replace(ENTRY, key=bytes([7]) * 32)])
def test_without_the_right_key_the_peer_is_refused(peers, entry):
    peers.connect(0.5)
    [wanted] = find(peers.ha, KeyWanted)
    peers.ha.give_key(wanted.spi, entry, peers.link.now)
    peers.link.run(1.0)
    assert "AUTHENTICATION_FAILED" in peers.reasons(peers.mn, Failed)[0]
    assert not find(peers.ha, IkeEstablished)
    # It is over: the right one changes nothing any more.
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    peers.link.run(2.0)
    assert not find(peers.ha, IkeEstablished)


def test_a_key_that_comes_too_late_is_not_used(peers):
    peers.connect(150.0)
    [wanted] = find(peers.ha, KeyWanted)
    assert find(peers.ha, Failed)
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    assert not find(peers.ha, IkeEstablished)


def test_nobody_waits_for_an_unknown_key(peers):
    peers.ha.give_key(bytes(8), ENTRY, 0.0)
    assert not peers.ha.events


def test_a_key_is_good_for_one_ike_sa(peers):
    peers.connect(0.5)
    [wanted] = find(peers.ha, KeyWanted)
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    peers.link.run(1.0)
    peers.mn.delete(HA, peers.link.now)
    peers.link.run(2.0)
    peers.connect(2.5)
    assert len(find(peers.ha, KeyWanted)) == 2
    assert len(find(peers.ha, IkeEstablished)) == 1
