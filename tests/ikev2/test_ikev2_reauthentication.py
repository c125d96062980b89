"""Repeated authentication (RFC 4478): the responder tells how long one lasts."""

from __future__ import annotations

import pytest

from agents.ikev2 import ChildDeleted, IkeDeleted, IkeEstablished, Selectors
from agents.ikev2.events import ReauthenticationDue
from tests.ike import HA, HOA, find
from tests.ikev2.peers import ASSIGN, assert_same_sas, pairs
from tests.ikev2.people import HA_NAME, Aaa, between, eap_peer

LIFETIME = 1000.0


def authenticated(people, authority, *, lifetime=LIFETIME, **options):
    """Return both ends with SAs that EAP has brought for so many seconds, and the AAA server."""
    peers = between(people, **options)
    aaa = Aaa(peers, authority)
    aaa.lifetime = lifetime
    peers.connect(10.0, ASSIGN, eap=eap_peer(authority), remote_identity=HA_NAME)
    return peers, aaa


def until_due(peers):
    """Let time pass until the mobile node is to authenticate anew; return when that is."""
    while not find(peers.mn, ReauthenticationDue):
        assert peers.link.step()
    return peers.link.now


def test_it_is_due_in_good_time_before_the_end(people, authority):
    peers, _ = authenticated(people, authority)
    assert 0.5 * LIFETIME < until_due(peers) < 0.9 * LIFETIME
    (due,) = find(peers.mn, ReauthenticationDue)
    assert (due.peer, due.identity) == (HA, HA_NAME)
    assert find(peers.ha, ReauthenticationDue) == []


def test_another_ike_sa_replaces_the_one_that_ends_and_at_no_time_there_is_none(people, authority):
    peers, aaa = authenticated(people, authority)
    until_due(peers)
    assert not peers.mn.secured(HA)
    (before,) = pairs(peers.mn)
    aaa.restart()
    selectors = Selectors(HOA, HA)
    peers.mn.initiate(
        HA, selectors, peers.link.now, eap=eap_peer(authority), remote_identity=HA_NAME
    )
    held = []
    while len(find(peers.mn, IkeDeleted)) < 1:
        assert peers.link.step()
        held.append((len(pairs(peers.mn)), len(pairs(peers.ha))))
    peers.link.run(peers.link.now + 1.0)
    assert min(mine for mine, _ in held) >= 1
    assert min(its for _, its in held) >= 1
    assert_same_sas(peers)
    assert pairs(peers.mn) != [before]
    assert [one.reason for one in find(peers.mn, IkeDeleted)] == ["replaced by another one"]
    peers.link.run(LIFETIME + 10.0)
    assert len(pairs(peers.mn)) == 1


def test_nobody_obeys_and_it_ends(people, authority):
    peers, _ = authenticated(people, authority)
    until_due(peers)
    peers.link.run(LIFETIME + 30.0)
    assert pairs(peers.mn) == pairs(peers.ha) == []


def test_an_ike_sa_that_was_rekeyed_is_as_old_as_the_one_before(people, authority):
    peers, _ = authenticated(people, authority)
    peers.link.run(400.0)
    for machine, peer in ((peers.mn, HA), (peers.ha, find(peers.ha, IkeEstablished)[0].peer)):
        assert machine.rekey_ike(peer, peers.link.now)
        peers.link.run(peers.link.now + 1.0)
    assert len(find(peers.mn, IkeEstablished)) == 3
    assert until_due(peers) < 0.9 * LIFETIME
    assert len(find(peers.mn, ReauthenticationDue)) == 1


def test_without_an_end_nothing_is_told(people, authority):
    peers, _ = authenticated(people, authority, lifetime=None)
    peers.link.run(3000.0)
    assert find(peers.mn, ReauthenticationDue) == []


@pytest.mark.parametrize("lifetime", [0.4, 1.0, 2.0])
def test_a_lifetime_that_is_next_to_none_has_nobody_hurry(people, authority, lifetime):
    peers, _ = authenticated(people, authority, lifetime=lifetime)
    times = [event.time for event in find(peers.mn, ReauthenticationDue)]
    assert all(time >= 2.0 for time in times)
    assert find(peers.mn, ChildDeleted)
