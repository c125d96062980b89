from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.aaa.events import MobilityRefused, SubscriberAuthenticated, SubscriberRejected
from agents.aaa.leases import Leases
from agents.aaa.policy import Place
from agents.bootstrap.assignment import Assignment
from agents.bootstrap.keys import ike_root
from agents.core.record import replace
from agents.diameter.dictionary import AuthSessionState, ReAuthRequestType
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.wire import Message
from agents.eap.peer import EapPeer
from agents.eap.wire import Code, Packet, TlsData, Type
from tests.aaa.server import home_aaa
from tests.eap.conversation import IDENTITY, Authority
from tests.eap.test_certificates import LONG_AGO

FILE = """
[[home_agents]]
name = "ha1"
address = "2001:db8:100::1"
prefix = "2001:db8:100::/64"
pool = "2001:db8:100::1000-2001:db8:100::1000"

[[subscribers]]
identity = "mn@home.test"
home_address = "2001:db8:100::1234"

[[subscribers]]
identity = "pool@home.test"

[[subscribers]]
identity = "late@home.test"

[[subscribers]]
identity = "net@home.test"
mobility = false
"""
CARE_OF = IPv6Address("2001:db8:2::5")
HOME_AGENT = IPv6Address("2001:db8:100::1")
FIXED = Assignment(HOME_AGENT, 64, IPv6Address("2001:db8:100::1234"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("aaa"))


@pytest.fixture
def aaa(authority, tmp_path):
    with Leases(tmp_path / "leases.db") as leases:
        yield make(authority, leases)


def make(authority, leases, **more):
    return home_aaa(FILE, leases, authority.server_config(), **more)


def ask(payload: bytes, session: str = "b;1", **more) -> DiameterEapRequest:
    more.setdefault("feature_vector", 1)
    return DiameterEapRequest(
        session_id=session,
        origin_host="b.visited.test",
        origin_realm="visited.test",
        destination_realm="home.test",
        eap_payload=payload,
        user_name=IDENTITY,
        care_of_address=CARE_OF,
        **more,
    )


def peer_of(authority: Authority, identity: str = IDENTITY, files=None) -> EapPeer:
    files = files or authority.ca.issue_client(identity).write(authority.directory, identity)
    return EapPeer(identity, authority.client_config(files=files))


def identity_response(peer: EapPeer) -> bytes:
    """What the PAA gets for the Identity request that it sends itself."""
    return peer.handle_request(Packet(Code.REQUEST, 77, Type.IDENTITY).encode())


def over_the_wire(answer: DiameterEapAnswer) -> DiameterEapAnswer:
    return DiameterEapAnswer.from_message(Message.decode(answer.to_message().encode()))


def authenticate(aaa, peer, now=0.0, response=None, **more) -> DiameterEapAnswer:
    response = response or identity_response(peer)
    for _ in range(50):
        answer = over_the_wire(aaa.handle(ask(response, **more), now))
        if answer.result_code != 1001:
            if answer.eap_payload:
                peer.handle_request(answer.eap_payload)
            return answer
        response = peer.handle_request(answer.eap_payload)
        assert response is not None
    raise AssertionError("the conversation does not end")


def test_a_subscriber_gets_key_home_agent_and_home_address(aaa, authority):
    peer = peer_of(authority)
    answer = authenticate(aaa, peer, now=5.0)
    assert answer.result_code == 2001
    assert peer.outcome == "success"
    assert answer.msk == peer.keys.msk
    assert answer.assignment == FIXED
    assert (answer.session_timeout, answer.feature_vector) == (3600.0, 1)
    assert (answer.user_name, answer.origin_host) == (IDENTITY, "aaa.home.test")
    root = ike_root(peer.keys.emsk)
    assert list(aaa.events) == [
        SubscriberAuthenticated(
            5.0,
            IDENTITY,
            FIXED,
            CARE_OF,
            peer.keys.msk,
            root,
            Place.HOME,
            ("b.visited.test", "b;1"),
            "visited.test",
        )
    ]
    assert repr(peer.keys.msk) not in repr(aaa.events)
    assert repr(root) not in repr(aaa.events)


def test_nobody_is_asked_to_tell_the_end_of_a_session(aaa, authority):
    answer = authenticate(aaa, peer_of(authority))
    assert answer.auth_session_state == AuthSessionState.NO_STATE_MAINTAINED


@pytest.mark.parametrize(("longest", "granted"), [(60.0, 60.0), (7200.0, 3600.0)])
def test_a_router_may_bound_the_lifetime(aaa, authority, longest, granted):
    answer = authenticate(aaa, peer_of(authority), authorization_lifetime=longest)
    assert (answer.authorization_lifetime, answer.session_timeout) == (granted, 3600.0)
    assert answer.re_auth_request_type == ReAuthRequestType.AUTHORIZE_AUTHENTICATE


@pytest.mark.parametrize("longest", [64, 500, 5000])
def test_no_packet_is_longer_than_a_router_can_pass_on(aaa, authority, longest):
    peer = peer_of(authority)
    response, lengths = identity_response(peer), []
    while response is not None:
        packet = aaa.handle(ask(response, framed_mtu=longest), 0.0).eap_payload
        lengths.append(len(packet))
        response = peer.handle_request(packet)
    assert peer.outcome == "success"
    assert longest - 4 <= max(lengths) <= longest if longest < 1010 else max(lengths) <= 1010


def test_an_empty_payload_asks_for_the_identity_request(aaa, authority):
    peer = peer_of(authority)
    answer = aaa.handle(ask(b""), 0.0)
    assert Packet.decode(answer.eap_payload).type == Type.IDENTITY
    response = peer.handle_request(answer.eap_payload)
    assert authenticate(aaa, peer, response=response).result_code == 2001


def test_mobility_is_assigned_only_to_who_asks_and_may(aaa, authority):
    answer = authenticate(aaa, peer_of(authority), feature_vector=None)
    assert (answer.result_code, answer.assignment, answer.feature_vector) == (2001, None, None)
    answer = authenticate(aaa, peer_of(authority), session="b;2", feature_vector=2)
    assert (answer.result_code, answer.assignment, answer.feature_vector) == (2001, None, 0)
    answer = authenticate(aaa, peer_of(authority), session="b;3", auth_request_type=1)
    assert (answer.result_code, answer.assignment) == (2001, None)
    assert all(isinstance(event, SubscriberAuthenticated) for event in aaa.events)
    aaa.events.clear()
    answer = authenticate(aaa, peer_of(authority, "net@home.test"), session="b;4")
    assert (answer.result_code, answer.assignment, answer.feature_vector) == (2001, None, 0)
    refused, authenticated = aaa.events
    assert refused == MobilityRefused(
        0.0, "net@home.test", "the subscription has no mobility service"
    )
    assert authenticated.assignment is None


def test_an_exhausted_pool_is_reported_and_the_address_stays_with_its_owner(aaa, authority):
    pooled = Assignment(HOME_AGENT, 64, IPv6Address("2001:db8:100::1000"))
    peer = peer_of(authority, "pool@home.test")
    assert authenticate(aaa, peer, session="b;1").assignment == pooled
    answer = authenticate(aaa, peer_of(authority, "late@home.test"), session="b;2")
    assert (answer.result_code, answer.assignment) == (2001, None)
    reasons = [event.reason for event in aaa.events if isinstance(event, MobilityRefused)]
    assert reasons == ["home address 2001:db8:100::1000 belongs to pool@home.test"]
    again = authenticate(aaa, peer_of(authority, "pool@home.test"), session="b;3")
    assert again.assignment == pooled


def rejected(aaa, answer) -> str:
    assert answer.result_code == 4001
    assert Packet.decode(answer.eap_payload).code is Code.FAILURE
    assert (answer.msk, answer.assignment, answer.feature_vector) == (None, None, None)
    (event,) = aaa.events
    assert isinstance(event, SubscriberRejected)
    return event.reason


def test_an_unknown_subscriber(aaa, authority):
    peer = peer_of(authority, "x@home.test")
    answer = authenticate(aaa, peer)
    assert rejected(aaa, answer) == "x@home.test is no subscriber"
    assert aaa.events[0].identity == "x@home.test"
    assert peer.outcome == "failure"


def test_an_expired_certificate(aaa, authority, tmp_path):
    files = authority.ca.issue_client(IDENTITY, validity=LONG_AGO).write(tmp_path, "late")
    peer = peer_of(authority, files=files)
    assert "expired on" in rejected(aaa, authenticate(aaa, peer))
    assert "certificate expired" in peer.reason


def test_a_certificate_of_another_ca(aaa, authority, tmp_path):
    other = Authority.make(tmp_path / "other")
    peer = EapPeer(IDENTITY, other.client_config(ca=authority.ca_path))
    assert "unknown CA" in rejected(aaa, authenticate(aaa, peer))


def test_a_certificate_of_another_subscriber(aaa, authority):
    files = authority.ca.issue_client("pool@home.test").write(authority.directory, "p")
    peer = peer_of(authority, files=files)
    reason = rejected(aaa, authenticate(aaa, peer))
    assert reason == "the certificate names pool@home.test, not mn@home.test"


def test_an_anonymous_identity_becomes_the_certificates(aaa, authority):
    peer = EapPeer("@home.test", authority.client_config())
    assert authenticate(aaa, peer).assignment == FIXED
    assert aaa.events[0].identity == IDENTITY


def test_an_anonymous_identity_with_a_strangers_certificate(aaa, authority):
    files = authority.ca.issue_client("x@home.test").write(authority.directory, "x")
    peer = EapPeer("@home.test", authority.client_config(files=files))
    assert rejected(aaa, authenticate(aaa, peer)) == "x@home.test is no subscriber"


# A relay that fails over sends the request again, with the T flag.
def test_every_request_twice_gets_the_same_answer(aaa, authority):
    peer = peer_of(authority)
    response = identity_response(peer)
    while True:
        answer = aaa.handle(ask(response), 0.0)
        assert aaa.handle(ask(response), 1.0) == answer
        if answer.result_code != 1001:
            break
        response = peer.handle_request(answer.eap_payload)
    assert answer.result_code == 2001
    assert answer.msk is not None
    assert len(aaa.events) == 1
    assert aaa.handle(ask(b"\x02\x09\x00\x06\x0d\x00"), 2.0).result_code == 5002
    assert aaa.handle(ask(response), 119.9) == answer
    assert aaa.handle(ask(response), 122.0).result_code == 5002


def test_an_invalid_packet_is_answered_with_the_request_again(aaa, authority):
    peer = peer_of(authority)
    first = aaa.handle(ask(identity_response(peer)), 0.0)
    for payload in (b"", b"\x02", b"\x02\x01\x00\x06\x0d\x00", b"\x01\x4e\x00\x05\x01"):
        answer = over_the_wire(aaa.handle(ask(payload), 0.0))
        assert answer.result_code == 1001
        assert answer.eap_payload is None
        assert answer.reissued_payload == first.eap_payload
    response = peer.handle_request(first.eap_payload)
    assert authenticate(aaa, peer, response=response).result_code == 2001


def test_too_many_invalid_packets_end_the_conversation(aaa, authority):
    aaa.handle(ask(identity_response(peer_of(authority))), 0.0)
    answers = [aaa.handle(ask(bytes([2, n, 0, 6, 13, 0])), 0.0) for n in range(6)]
    assert [answer.result_code for answer in answers] == [1001] * 5 + [4001]
    assert "invalid EAP packets, at last: response 5 to request 78" in rejected(aaa, answers[-1])


@pytest.mark.parametrize(
    "payload", [b"\x01", b"\x01\x01\x00\x05\x01", b"\x03\x01\x00\x04", b"\x02\x01\x00\x06\x01\xff"]
)
def test_a_bad_first_packet_is_refused(aaa, payload):
    assert rejected(aaa, aaa.handle(ask(payload), 0.0))


def test_a_response_to_a_forgotten_conversation_is_refused(aaa):
    tls = Packet(Code.RESPONSE, 9, Type.TLS, TlsData(b"x").encode()).encode()
    answer = aaa.handle(ask(tls), 0.0)
    assert answer.result_code == 5002
    assert Packet.decode(answer.eap_payload) == Packet(Code.FAILURE, 9)


def test_another_access_router_cannot_take_a_session(aaa, authority):
    peer = peer_of(authority)
    answer = aaa.handle(ask(identity_response(peer)), 0.0)
    response = peer.handle_request(answer.eap_payload)
    stolen = replace(ask(response), origin_host="evil.visited.test")
    assert aaa.handle(stolen, 0.0).result_code == 5002
    assert authenticate(aaa, peer, response=response).result_code == 2001


def test_a_conversation_that_stops_is_forgotten(aaa, authority):
    peer = peer_of(authority)
    answer = aaa.handle(ask(identity_response(peer)), 10.0)
    assert aaa.next_timeout() == 130.0
    aaa.handle_timeout(130.0)
    assert aaa.next_timeout() is None
    assert list(aaa.events) == [
        SubscriberRejected(130.0, IDENTITY, "the conversation was not finished in time")
    ]
    response = peer.handle_request(answer.eap_payload)
    assert aaa.handle(ask(response), 41.0).result_code == 5002


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=30), max_size=8), st.booleans())
def test_random_payloads_are_answered(authority, tmp_path_factory, payloads, opened):
    with Leases(tmp_path_factory.mktemp("random") / "leases.db") as leases:
        aaa = make(authority, leases)
        if opened:
            aaa.handle(ask(b""), 0.0)
        for payload in payloads:
            answer = aaa.handle(ask(payload), 0.0)
            assert answer.result_code in {1001, 4001, 5002}
            assert answer.to_message().encode()
