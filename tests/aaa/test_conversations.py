"""How many conversations the home AAA server has, and who gives way to whom."""

from __future__ import annotations

import random

import pytest

from agents.aaa.conversations import Limits
from agents.aaa.events import SubscriberRejected
from agents.aaa.leases import Leases
from agents.core.record import replace
from agents.eap import tls as eap_tls
from agents.eap.peer import EapPeer
from agents.eap.wire import Code, Packet, TlsData, Type
from tests.aaa.server import home_aaa
from tests.aaa.test_home_aaa import (
    FILE,
    ask,
    authenticate,
    identity_response,
    make,
    peer_of,
)
from tests.eap.conversation import IDENTITY, Authority

OTHER = "pool@home.test"
SMALL = Limits(total=20, nas=10, identity=4)
START = Packet(Code.REQUEST, 5, Type.TLS, TlsData(start=True).encode()).encode()
MULTI_ROUND, SUCCESS, UNKNOWN_SESSION, TOO_BUSY = 1001, 2001, 5002, 3004


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("conversations"))


@pytest.fixture
def leases(tmp_path):
    with Leases(tmp_path / "leases.db") as leases:
        yield leases


def claim(identity: str) -> bytes:
    """What a stranger says who claims to be a subscriber."""
    return Packet(Code.RESPONSE, 9, Type.IDENTITY, identity.encode()).encode()


def flood(aaa, number, identity=IDENTITY, nas="ha.home.test", first=0, now=0.0):
    """Begin conversations by way of a NAS, and go on with none; return the result codes."""
    return [
        aaa.handle(replace(ask(claim(identity), f"flood;{n}"), origin_host=nas), now).result_code
        for n in range(first, first + number)
    ]


def make_pick_up(authority, leases, tls=None, **more):
    """A server that goes on with an EAP-TLS that the NAS has started."""
    return home_aaa(FILE, leases, tls or authority.server_config(), pick_up=True, **more)


def tls_only(payload: bytes, session: str):
    """What a NAS asks that has started EAP-TLS itself: it knows no name."""
    return replace(ask(payload, session), user_name=None)


def anonymous(authority, identity):
    """A peer that hides its name."""
    files = authority.ca.issue_client(identity).write(authority.directory, identity)
    return EapPeer("anonymous@home.test", authority.client_config(files=files))


def go_on(aaa, peer, session, response, steps):
    """Take some steps of a conversation; return the last answer."""
    for _ in range(steps):
        answer = aaa.handle(tls_only(response, session), 0.0)
        assert answer.result_code == MULTI_ROUND
        response = peer.handle_request(answer.eap_payload)
    return answer


# A stranger can begin as many as it likes: IKE_SA_INIT and one IKE_AUTH each.
def test_a_flood_through_one_nas_leaves_others_served(authority, leases):
    aaa = make(authority, leases)
    flood(aaa, 1030)
    assert authenticate(aaa, peer_of(authority), session="b;1").result_code == SUCCESS


def test_a_flood_through_every_nas_but_one_leaves_that_one_served(authority, leases):
    aaa = make(authority, leases, limits=SMALL)
    for name in ("ha.home.test", "c.visited.test", "d.visited.test"):
        for identity in (IDENTITY, OTHER, "late@home.test"):
            flood(aaa, 30, identity, name)
    assert authenticate(aaa, peer_of(authority), session="b;1").result_code == SUCCESS


@pytest.mark.parametrize("identity", [OTHER, IDENTITY])
def test_a_subscriber_gets_in_through_the_nas_that_is_flooded(authority, leases, identity):
    aaa = make(authority, leases, limits=SMALL)
    flood(aaa, 100, identity, "b.visited.test")
    assert authenticate(aaa, peer_of(authority), session="b;1").result_code == SUCCESS


def test_a_flood_under_one_name_does_not_touch_the_conversations_of_others(authority, leases):
    aaa = make(authority, leases, limits=SMALL)
    peer = peer_of(authority)
    first = aaa.handle(ask(identity_response(peer)), 0.0)
    flood(aaa, 100, OTHER, "b.visited.test")
    response = peer.handle_request(first.eap_payload)
    assert authenticate(aaa, peer, response=response).result_code == SUCCESS


def test_who_has_proved_its_name_does_not_give_way(authority, leases):
    aaa = make(authority, leases, limits=Limits(total=1, nas=1, identity=1))
    peer = peer_of(authority)
    answer = aaa.handle(ask(identity_response(peer)), 0.0)
    for _ in range(2):  # ClientHello; certificate and Finished.
        answer = aaa.handle(ask(peer.handle_request(answer.eap_payload)), 0.0)
    assert answer.result_code == MULTI_ROUND
    assert flood(aaa, 5) == [TOO_BUSY] * 5
    last = aaa.handle(ask(peer.handle_request(answer.eap_payload)), 0.0)
    assert last.result_code == SUCCESS
    assert flood(aaa, 1) == [MULTI_ROUND]  # What has ended gives way at once.


def test_an_anonymous_name_is_nobodys_to_fill(authority, leases):
    aaa = make(authority, leases, limits=SMALL)
    for n in range(9):
        peer = anonymous(authority, OTHER)
        go_on(aaa, peer, f"m;{n}", identity_response(peer), 3)
    peer = anonymous(authority, IDENTITY)
    answer = authenticate(aaa, peer, response=identity_response(peer))
    assert answer.result_code == SUCCESS


def test_who_proves_itself_where_no_name_is_claimed_leaves_others_served(authority, leases):
    aaa = make_pick_up(authority, leases, limits=SMALL)
    for n in range(9):
        peer = peer_of(authority, OTHER)
        go_on(aaa, peer, f"m;{n}", peer.handle_request(START), 2)
    peer = peer_of(authority)
    answer = go_on(aaa, peer, "b;1", peer.handle_request(START), 2)
    last = aaa.handle(tls_only(peer.handle_request(answer.eap_payload), "b;1"), 0.0)
    assert last.result_code == SUCCESS


def test_the_oldest_of_a_subscribers_own_gives_way_to_its_newest(authority, leases):
    aaa = make(authority, leases)
    peers = [peer_of(authority) for _ in range(5)]
    last = [go_on(aaa, p, f"b;{n}", identity_response(p), 3) for n, p in enumerate(peers)]
    (event,) = aaa.events
    assert event == SubscriberRejected(0.0, IDENTITY, "the conversation gave way to a newer one")
    codes = [
        aaa.handle(ask(p.handle_request(a.eap_payload), f"b;{n}"), 0.0).result_code
        for n, (p, a) in enumerate(zip(peers, last, strict=True))
    ]
    assert codes == [UNKNOWN_SESSION] + [SUCCESS] * 4
    # What has ended does not count.
    assert authenticate(aaa, peer_of(authority), session="b;9").result_code == SUCCESS


@pytest.mark.parametrize("size", [1000, 300])
@pytest.mark.parametrize("steps", [2, 3])
def test_claims_do_not_displace_who_is_in_the_middle_of_tls(authority, leases, steps, size):
    aaa = make(authority, leases, limits=SMALL)
    peer = EapPeer(IDENTITY, authority.client_config(), fragment_size=size)
    answer = go_on(aaa, peer, "b;1", identity_response(peer), steps)
    flood(aaa, 100, IDENTITY, "b.visited.test")
    flood(aaa, 100, "anonymous@home.test", "b.visited.test", first=100)
    response = peer.handle_request(answer.eap_payload)
    assert authenticate(aaa, peer, response=response).result_code == SUCCESS


# Strangers can send a ClientHello, too; that costs them a packet more each.
def test_many_who_stop_in_tls_leave_others_served(authority, leases):
    limits = Limits(total=100, nas=50, identity=20)
    aaa = make(authority, leases, limits=limits, rng=random.Random(1))
    for n in range(30):
        stranger = peer_of(authority)
        first = aaa.handle(ask(identity_response(stranger), f"flood;{n}"), 0.0)
        aaa.handle(ask(stranger.handle_request(first.eap_payload), f"flood;{n}"), 0.0)
    peer = peer_of(authority)
    answer = go_on(aaa, peer, "b;1", identity_response(peer), 1)
    flood(aaa, 4, IDENTITY, "b.visited.test", first=1000)
    response = peer.handle_request(answer.eap_payload)
    assert authenticate(aaa, peer, response=response).result_code == SUCCESS


def test_one_that_has_proved_nothing_gives_way_and_is_reported(authority, leases):
    aaa = make(authority, leases, limits=Limits(total=1, nas=1, identity=1))
    peer = peer_of(authority)
    answer = aaa.handle(ask(identity_response(peer)), 0.0)
    answer = aaa.handle(ask(peer.handle_request(answer.eap_payload)), 0.0)
    assert flood(aaa, 1) == [MULTI_ROUND]
    (event,) = aaa.events
    assert event == SubscriberRejected(0.0, IDENTITY, "the conversation gave way to a newer one")
    tls = peer.handle_request(answer.eap_payload)
    assert aaa.handle(ask(tls), 0.0).result_code == UNKNOWN_SESSION


@pytest.mark.parametrize(("version", "size"), [("1.2", 1000), ("1.3", 1000), ("1.3", 100)])
def test_what_continues_a_tls_session_begins_no_conversation(authority, leases, version, size):
    config = authority.server_config(version)
    aaa = make_pick_up(authority, leases, tls=config, limits=Limits(total=1, nas=1, identity=1))
    peer = EapPeer(IDENTITY, authority.client_config(version), fragment_size=size)
    answer = aaa.handle(tls_only(peer.handle_request(START), "b;1"), 0.0)
    assert answer.result_code == MULTI_ROUND
    flood(aaa, 1)
    response = peer.handle_request(answer.eap_payload)
    assert aaa.handle(tls_only(response, "b;1"), 0.0).result_code == UNKNOWN_SESSION


def test_places_are_free_again_after_the_time_of_a_conversation(authority, leases):
    aaa = make(authority, leases, limits=SMALL)
    flood(aaa, 30)
    assert len([e for e in aaa.events if "gave way" in e.reason]) == 26
    aaa.events.clear()
    assert aaa.next_timeout() == 120.0
    flood(aaa, 4, first=100, now=120.0)
    assert [e.reason for e in aaa.events] == ["the conversation was not finished in time"] * 4


def test_a_session_id_belongs_to_the_nas_that_uses_it(authority, leases):
    aaa, peer = make(authority, leases), peer_of(authority)
    squatter = replace(ask(claim(OTHER), "b;1"), origin_host="evil.visited.test")
    assert aaa.handle(squatter, 0.0).result_code == MULTI_ROUND
    assert authenticate(aaa, peer, session="b;1").result_code == SUCCESS
    tls = Packet(Code.RESPONSE, 9, Type.TLS, TlsData(b"x").encode()).encode()
    stolen = replace(ask(tls, "b;1"), origin_host="third.visited.test")
    assert aaa.handle(stolen, 0.0).result_code == UNKNOWN_SESSION


def test_there_is_no_tls_before_the_client_hello(authority, leases, monkeypatch):
    engines = []
    engine = eap_tls.TlsEngine

    def begin(*given, server):
        engines.append("server" if server else "peer")
        return engine(*given, server=server)

    monkeypatch.setattr(eap_tls, "TlsEngine", begin)
    aaa = make(authority, leases)
    flood(aaa, 10)
    assert not engines
    assert authenticate(aaa, peer_of(authority)).result_code == SUCCESS
    assert sorted(engines) == ["peer", "server"]
