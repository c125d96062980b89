"""A responder of IKEv1 whose owner is asked for each pre-shared key (`KeyWanted`)."""

import pytest

from agents.core.record import replace
from agents.ike.psk import PskEntry
from agents.ikev1 import Failed, Mode, Phase1Established
from agents.ikev1.events import KeyWanted
from tests.ike import COA, ENDS, HOA, PSK, find
from tests.ikev1.peers import FAST, Peers

NAME = "mn@home.test"
ENTRY = PskEntry(PSK, COA, NAME, HOA)


def peers_in(mode):
    config = replace(FAST, mode=mode)
    named = replace(config, identity=NAME) if mode is Mode.AGGRESSIVE else config
    return Peers(named, replace(config, asks_keys=True))


@pytest.fixture(params=Mode)
def peers(request):
    return peers_in(request.param)


def test_ike_goes_on_with_the_key_that_is_given(peers):
    peers.connect(0.5)
    [wanted] = find(peers.ha, KeyWanted)
    assert wanted.peer == COA
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    peers.link.run(1.0)
    assert find(peers.mn, Phase1Established)
    assert find(peers.ha, Phase1Established)
    assert peers.ha.serves("mn@HOME.test")


def test_main_mode_asks_when_the_peer_has_shown_where_it_is():
    peers = peers_in(Mode.MAIN)
    peers.connect(0.035)
    assert not find(peers.ha, KeyWanted)  # Messages 1 to 3 are there.
    peers.link.run(0.5)
    [wanted] = find(peers.ha, KeyWanted)
    assert wanted.identity.address == COA


def test_aggressive_mode_asks_by_name_and_answers_nothing_before():
    peers = peers_in(Mode.AGGRESSIVE)
    peers.connect(0.5)
    [wanted] = find(peers.ha, KeyWanted)
    assert wanted.identity.text == NAME
    assert all(address == ENDS[0] for _, address, _ in peers.link.sent)


def test_what_comes_again_meanwhile_asks_for_nothing_more(peers):
    peers.connect(12.0)
    [wanted] = find(peers.ha, KeyWanted)
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    peers.link.run(20.0)
    assert find(peers.mn, Phase1Established)


@pytest.mark.parametrize("entry", [None, replace(ENTRY, key=bytes([7]) * 32)])
def test_without_the_right_key_there_is_no_sa(peers, entry):
    peers.connect(0.5)
    [wanted] = find(peers.ha, KeyWanted)
    peers.ha.give_key(wanted.spi, entry, peers.link.now)
    peers.link.run(60.0)
    assert not find(peers.ha, Phase1Established)
    assert find(peers.mn, Failed)
    assert not peers.ha.serves(NAME)


def test_a_key_that_comes_too_late_is_not_used(peers):
    peers.connect(60.0)
    [wanted] = find(peers.ha, KeyWanted)
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    peers.link.run(61.0)
    assert not find(peers.ha, Phase1Established)


def test_anothers_identity_in_main_mode_is_refused_in_spite_of_the_key():
    peers = Peers(replace(FAST, identity="other@home.test"), replace(FAST, asks_keys=True))
    peers.connect(0.5)
    [wanted] = find(peers.ha, KeyWanted)
    peers.ha.give_key(wanted.spi, ENTRY, peers.link.now)
    peers.link.run(1.0)
    assert not find(peers.ha, Phase1Established)


def test_nobody_waits_for_an_unknown_key(peers):
    peers.ha.give_key(bytes(8), ENTRY, 0.0)
    assert not peers.ha.events
