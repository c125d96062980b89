"""EAP-TLS inside IKE_AUTH: agents.eap's peer at the initiator, its server behind the responder."""

import pytest

from agents.core.machine import Discarded
from agents.core.record import replace
from agents.ikev2 import EapEnded, EapResponse, Failed, Grant, IkeDeleted, IkeEstablished
from agents.ikev2.constants import ExchangeType, PayloadType
from agents.ikev2.wire import Header, Payload
from tests.ike import COA, ENDS, HA, HOA, find
from tests.ikev2.peers import ASSIGN, assert_up, pairs
from tests.ikev2.people import HA_NAME, MN_NAME, Aaa, between, eap_peer
from tests.link import Link


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_eap_tls(people, authority, version):
    peers = between(people)
    Aaa(peers, authority, version=version)
    peers.connect(10.0, ASSIGN, eap=eap_peer(authority, version=version), remote_identity=HA_NAME)
    assert_up(peers)
    (mn,), (ha,) = find(peers.mn, IkeEstablished), find(peers.ha, IkeEstablished)
    assert (mn.identity, mn.method) == (HA_NAME, "eap")
    assert (ha.identity, ha.method) == (MN_NAME, "eap")
    first = find(peers.ha, EapResponse)[0]
    assert first.packet == b"\2\0\0\x11\1" + MN_NAME.encode()
    assert (first.ike_spi, first.peer, first.identity) == (ha.spi_r, COA, MN_NAME)
    assert "EAP" not in repr(first).replace("EapResponse", "")


@pytest.mark.parametrize("called", [str(HA), HA_NAME, "ha2.home.test"])
def test_the_responder_answers_by_the_name_of_its_own_that_it_is_called(people, authority, called):
    both = people.ca.issue_server(HA_NAME, "ha2.home.test", addresses=(HA,))
    ha = replace(people.ha, certificate=both.certificate, key=both.key)
    peers = between(people, ha_credentials=ha)
    Aaa(peers, authority)
    peers.connect(10.0, ASSIGN, eap=eap_peer(authority), remote_identity=called)
    assert_up(peers)
    assert find(peers.mn, IkeEstablished)[0].identity == called


def test_a_peer_is_whom_the_aaa_has_authenticated(people, authority):
    """RFC 7296 section 2.16: IDi may be anonymous, and is nobody's claim on others' SAs."""
    anonymous = "@home.test"
    peers = between(people, identity=anonymous, allocate=None)
    aaa = Aaa(peers, authority, grant=Grant(HOA + 1))
    aaa.identity = "another@home.test"
    peers.connect(10.0, ASSIGN, eap=eap_peer(authority), remote_identity=HA_NAME)
    aaa.restart()
    aaa.identity, aaa.grant = MN_NAME, Grant(HOA)
    second = between(people, identity=anonymous).mn
    link = Link(second, (str(COA + 1), 500), peers.ha, ENDS[1])
    second.initiate(HA, ASSIGN, 0.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    link.run(10.0)
    assert find(second, IkeEstablished)
    up = [(e.identity, e.home_address) for e in find(peers.ha, IkeEstablished)]
    assert up == [("another@home.test", HOA + 1), (MN_NAME, HOA)]
    assert not find(peers.ha, IkeDeleted)


def messages_of_eap(people, authority) -> int:
    peers = between(people)
    Aaa(peers, authority)
    peers.connect(10.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    return len(peers.sent)


def test_any_one_message_may_be_lost(people, authority):
    count = messages_of_eap(people, authority)
    assert count >= 10
    for lost in range(count):
        peers = between(people, drop={lost})
        Aaa(peers, authority)
        peers.connect(20.0, eap=eap_peer(authority), remote_identity=HA_NAME)
        assert_up(peers)


def test_the_aaa_assigns_the_home_address(people, authority):
    peers = between(people, allocate=None)
    Aaa(peers, authority, grant=Grant(HOA))
    peers.connect(10.0, ASSIGN, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert_up(peers)


def test_the_ike_sa_is_up_though_its_child_is_refused(people, authority):
    """RFC 7296 section 2.21.2: an error of the CHILD SA says nothing of the authentication."""
    peers = between(people, allocate=None)
    Aaa(peers, authority)
    peers.connect(10.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert peers.reasons(peers.mn, Failed) == ["CHILD SA: the peer says TS_UNACCEPTABLE"]
    assert len(find(peers.mn, IkeEstablished)) == len(find(peers.ha, IkeEstablished)) == 1
    assert not find(peers.mn, IkeDeleted)


def test_the_aaa_refuses(people, authority, tmp_path_factory):
    from tests.eap.conversation import Authority

    stranger = Authority.make(tmp_path_factory.mktemp("stranger"))
    peers = between(people)
    Aaa(peers, authority)
    eap = eap_peer(stranger, ca=authority.ca_path)
    peers.connect(10.0, eap=eap, remote_identity=HA_NAME)
    (reason,) = peers.reasons(peers.ha, Failed)
    assert "unknown CA" in reason
    (failed,) = find(peers.mn, Failed)
    assert failed.reason.startswith("IKE_AUTH: EAP failed: ")
    assert "unknown ca" in failed.reason
    assert failed.at < 2.0


def test_the_aaa_refuses_without_a_packet(people, authority):
    peers = between(people)
    aaa = Aaa(peers, authority)
    aaa.answer = lambda event, now: peers.ha.eap_failure(event.ike_spi, None, now, "no such user")
    peers.connect(10.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert peers.reasons(peers.ha, Failed) == ["IKE_AUTH: no such user"]
    assert "AUTHENTICATION_FAILED" in peers.reasons(peers.mn, Failed)[0]


def test_the_aaa_never_answers(people, authority):
    peers = between(people)
    Aaa(peers, authority, mute=True)
    peers.connect(5.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert [peers.ha.awaits_eap(e.ike_spi) for e in find(peers.ha, EapResponse)] == [True]
    peers.link.run(150.0)
    assert [peers.ha.awaits_eap(e.ike_spi) for e in find(peers.ha, EapResponse)] == [False]
    assert peers.reasons(peers.ha, Failed) == ["IKE_AUTH: the negotiation has taken too long"]
    assert peers.reasons(peers.mn, Failed) == ["IKE_AUTH: the peer does not answer"]
    (event,) = find(peers.ha, EapResponse)  # Retransmissions are not passed on.
    assert [e.ike_spi for e in find(peers.ha, EapEnded)] == [event.ike_spi]
    peers.ha.eap_request(event.ike_spi, b"\1\1\0\5\1", 60.0)
    peers.ha.eap_success(event.ike_spi, b"\3\1\0\4", b"m" * 64, 60.0, identity=MN_NAME)
    peers.ha.eap_failure(event.ike_spi, None, 60.0)
    late = peers.reasons(peers.ha, Discarded)
    assert [r.rsplit(" ", 5)[-1] for r in late] == ["packet"] * 3


def test_a_peer_that_does_not_wait_for_answers_asks_for_nothing(people, authority):
    """RFC 7296 section 2.3: the window is 1."""
    peers = between(people)
    Aaa(peers, authority, mute=True)
    peers.connect(3.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    (mn,) = peers.mn.sas.table.values()
    for number in range(2, 20):
        header = Header(*mn.spis, ExchangeType.IKE_AUTH, number, initiator=True, response=False)
        packet = Payload(PayloadType.EAP, bytes((2, number, 0, 6, 13, 0)))
        peers.ha.handle_message(mn.keymat.sealer.seal(header, [packet]), ENDS[0], 3.0)
    assert len(find(peers.ha, EapResponse)) == 1
    reasons = peers.reasons(peers.ha, Discarded)
    assert reasons.count("a request before the last one is answered") == 18


def test_an_authorisation_ends_though_the_ike_sa_is_rekeyed(people, authority):
    """RFC 7296 section 2.8.3: rekeying is no reauthentication."""
    peers = between(people)
    Aaa(peers, authority).lifetime = 100.0
    peers.connect(50.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    peers.mn.rekey_ike(HA, 50.0)
    peers.link.run(99.0)
    assert len(pairs(peers.ha)) == 1
    peers.link.run(110.0)
    assert peers.reasons(peers.ha, IkeDeleted) == ["deleted by the peer", "expired"]
    assert find(peers.ha, IkeDeleted)[-1].at == pytest.approx(100.1, abs=0.1)
    assert not pairs(peers.mn)
    assert not pairs(peers.ha)


def test_an_msk_that_differs(people, authority):
    peers = between(people)
    aaa = Aaa(peers, authority)
    original = peers.ha.eap_success
    peers.ha.eap_success = lambda spi, packet, _, now, **more: original(
        spi, packet, bytes(64), now, **more
    )
    peers.connect(10.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert aaa.server.outcome == "success"
    assert peers.reasons(peers.ha, Failed) == ["IKE_AUTH: AUTH by the MSK is wrong"]
    assert "AUTHENTICATION_FAILED" in peers.reasons(peers.mn, Failed)[0]


def test_eap_is_not_offered(people, authority):
    peers = between(people, accept_eap=False)
    peers.connect(10.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert "wants EAP, which is not offered here" in peers.reasons(peers.ha, Failed)[0]
    assert "AUTHENTICATION_FAILED" in peers.reasons(peers.mn, Failed)[0]


def test_a_responder_without_a_certificate_cannot_do_eap(people, authority):
    peers = between(people, ha_credentials=replace(people.ha, certificate=None, key=None))
    peers.connect(10.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert "no certificate to answer with" in peers.reasons(peers.ha, Failed)[0]


def test_the_home_agent_proves_itself_before_eap(people, authority):
    """A home agent with another name gets no EAP packet."""
    peers = between(people)
    Aaa(peers, authority)
    eap = eap_peer(authority)
    peers.connect(10.0, eap=eap, remote_identity="another.home.test")
    assert "does not name another.home.test" in peers.reasons(peers.mn, Failed)[0]
    assert eap.outcome is None
    assert not find(peers.mn, IkeDeleted)
    (failed,) = find(peers.ha, Failed)
    assert failed.reason == "IKE_AUTH: the peer has given up: AUTHENTICATION_FAILED"
    assert failed.at < 1.0


@pytest.mark.parametrize(("packet", "msk"), [(b"\3\1\0\4", b""), (b"\1\1\0\5\1", b"m" * 64)])
def test_a_success_without_a_key_or_packet_is_a_failure(people, authority, packet, msk):
    peers = between(people)
    aaa = Aaa(peers, authority)
    aaa.answer = lambda event, now: peers.ha.eap_success(
        event.ike_spi, packet, msk, now, identity=MN_NAME
    )
    peers.connect(10.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert "lacks EAP-Success or the MSK" in peers.reasons(peers.ha, Failed)[0]
    assert "AUTHENTICATION_FAILED" in peers.reasons(peers.mn, Failed)[0]


def test_peers_in_eap_count_as_half_open(people, authority):
    peers = between(people)
    Aaa(peers, authority, mute=True)
    peers.connect(1.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    assert len(peers.ha.sas.half_open) == 1
    peers.link.run(150.0)
    assert not peers.ha.sas.half_open
