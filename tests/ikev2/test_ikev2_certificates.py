"""Certificates: both kinds of keys, both kinds of AUTH; names, CAs and dates that are refused."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agents.core.machine import PeerError
from agents.core.record import replace
from agents.eap.ca import CertificateAuthority
from agents.ikev2 import Credentials, Failed, Grant, IkeDeleted, IkeEstablished
from agents.ikev2.certificates import decode_certificates, verify_chain
from agents.ikev2.constants import X509_SIGNATURE, NotifyType
from agents.ikev2.payloads import Tagged
from tests.ike import HA, HOA, find
from tests.ikev2.peers import ASSIGN, FAST, Peers, assert_up
from tests.ikev2.people import HA_NAME, MN_NAME, People, grant


def between(mn: Credentials, ha: Credentials, *, names=(MN_NAME, HA_NAME), **more) -> Peers:
    allocate, ha_config = more.pop("allocate", grant), more.pop("ha_config", {})
    return Peers(
        replace(FAST, identity=names[0]),
        replace(FAST, identity=names[1], **ha_config),
        psk=None,
        credentials=mn,
        ha_credentials=ha,
        allocate=allocate,
        **more,
    )


@pytest.mark.parametrize("kind", ["people", "rsa_people"])
@pytest.mark.parametrize("classic", [False, True])
def test_certificates(request, kind, classic, monkeypatch):
    people: People = request.getfixturevalue(kind)
    if classic:
        monkeypatch.setattr("agents.ikev2.ike_init.announced", lambda _: frozenset())
    peers = between(people.mn, people.ha)
    peers.connect(5.0, ASSIGN, remote_identity=HA_NAME)
    assert_up(peers)
    (mn,), (ha,) = find(peers.mn, IkeEstablished), find(peers.ha, IkeEstablished)
    assert (mn.identity, mn.method) == (HA_NAME, "certificate")
    assert (ha.identity, ha.method) == (MN_NAME, "certificate")


def test_certificates_are_not_accepted_where_others_decide(people):
    peers = between(people.mn, people.ha, ha_config={"accept_certificates": False})
    peers.connect(5.0, remote_identity=HA_NAME)
    assert "which is not enough here" in peers.reasons(peers.ha, Failed)[0]
    assert "AUTHENTICATION_FAILED" in peers.reasons(peers.mn, Failed)[0]


def test_mixed_keys(people, rsa_people):
    both = (people.ca.identity.certificate, rsa_people.ca.identity.certificate)
    peers = between(replace(people.mn, trusted=both), replace(rsa_people.ha, trusted=both))
    peers.connect(5.0, remote_identity=HA_NAME)
    assert_up(peers)


@pytest.mark.parametrize("lost", range(4))
def test_any_one_message_may_be_lost(people, lost):
    peers = between(people.mn, people.ha, drop={lost})
    peers.connect(20.0, remote_identity=HA_NAME)
    assert_up(peers)


def test_a_distinguished_name_serves_as_identity(people):
    subject = people.mn.certificate.subject.rfc4514_string()
    peers = between(people.mn, people.ha, names=(subject, HA_NAME), allocate=lambda *_: Grant(HOA))
    peers.connect(5.0, remote_identity=HA_NAME)
    assert_up(peers)
    assert find(peers.ha, IkeEstablished)[0].identity == subject


def test_the_responder_must_be_whom_we_called(people):
    peers = between(people.mn, people.ha)
    peers.connect(5.0, remote_identity="another.home.test")
    (reason,) = peers.reasons(peers.mn, Failed)
    assert reason == "IKE_AUTH: the peer's certificate does not name another.home.test"
    assert peers.reasons(peers.ha, IkeDeleted) == ["the peer says AUTHENTICATION_FAILED"]


def test_without_a_name_the_certificate_must_name_the_address(people):
    peers = between(people.mn, people.ha)
    peers.connect(5.0)
    assert f"does not name {HA}" in peers.reasons(peers.mn, Failed)[0]


def test_another_clients_certificate_is_no_home_agent(people):
    evil = people.ca.issue_client("evil@home.test")
    credentials = replace(people.ha, certificate=evil.certificate, key=evil.key)
    for name in ("evil@home.test", HA_NAME):
        peers = between(people.mn, credentials, names=(MN_NAME, name))
        peers.connect(5.0, remote_identity=HA_NAME)
        assert f"does not name {HA_NAME}" in peers.reasons(peers.mn, Failed)[0]


def test_an_identity_that_is_not_in_the_certificate(people):
    peers = between(people.mn, people.ha, names=("other@home.test", HA_NAME))
    peers.connect(5.0, remote_identity=HA_NAME)
    assert "does not name other@home.test" in peers.reasons(peers.ha, Failed)[0]
    assert "AUTHENTICATION_FAILED" in peers.reasons(peers.mn, Failed)[0]


def test_a_certificate_of_another_ca(people):
    other = CertificateAuthority.generate().issue_client(MN_NAME)
    stranger = replace(people.mn, certificate=other.certificate, key=other.key)
    peers = between(stranger, people.ha)
    peers.connect(5.0, remote_identity=HA_NAME)
    assert f"certificate CN={MN_NAME} refused" in peers.reasons(peers.ha, Failed)[0]


@pytest.mark.parametrize("days", [-30, 4000])
def test_a_certificate_out_of_date(people, days):
    later = datetime.now(UTC) + timedelta(days=days)
    peers = between(people.mn, replace(people.ha, clock=lambda: later))
    peers.connect(5.0, remote_identity=HA_NAME)
    assert "refused" in peers.reasons(peers.ha, Failed)[0]


def test_a_key_that_is_not_the_certificates(people):
    impostor = people.ca.issue_client("evil@home.test")
    peers = between(replace(people.mn, key=impostor.key), people.ha)
    peers.connect(5.0, remote_identity=HA_NAME)
    assert peers.reasons(peers.ha, Failed) == ["IKE_AUTH: the signature in AUTH is wrong"]


def test_a_certificate_that_is_issued_by_no_ca(people):
    """A client's certificate may not vouch for others."""
    client = people.ca.issue_client("evil@home.test")
    forged = CertificateAuthority(client).issue_client(MN_NAME)
    mn = Credentials(
        people.mn.trusted, forged.certificate, forged.key, intermediates=(client.certificate,)
    )
    peers = between(mn, people.ha)
    peers.connect(5.0, remote_identity=HA_NAME)
    assert "refused" in peers.reasons(peers.ha, Failed)[0]


def test_nobody_is_trusted(people):
    peers = between(people.mn, replace(people.ha, trusted=()))
    peers.connect(5.0, remote_identity=HA_NAME)
    assert "no CA is trusted here" in peers.reasons(peers.ha, Failed)[0]


def test_a_subscriber_without_a_home_address(people):
    peers = between(people.mn, people.ha, allocate=lambda *_: None)
    peers.connect(5.0, ASSIGN, remote_identity=HA_NAME)
    assert "INTERNAL_ADDRESS_FAILURE" in peers.reasons(peers.mn, Failed)[0]
    assert len(find(peers.mn, IkeEstablished)) == 1


def test_the_allocator_is_asked_for_authenticated_identities_alone(people):
    asked = []
    peers = between(
        people.mn,
        people.ha,
        names=("other@home.test", HA_NAME),
        allocate=lambda who, _: asked.append(who),
    )
    peers.connect(5.0, remote_identity=HA_NAME)
    assert asked == []


def test_a_certificate_without_its_key_is_no_credential(people):
    with pytest.raises(ValueError, match="private key"):
        Credentials((), people.mn.certificate)


def test_hash_algorithms_are_announced(people):
    peers = between(people.mn, people.ha)
    peers.connect(5.0, remote_identity=HA_NAME)
    for data in peers.sent[:2]:
        assert NotifyType.SIGNATURE_HASH_ALGORITHMS.to_bytes(2) + b"\0\2\0\3\0\4" in data


@pytest.mark.filterwarnings("ignore")  # Of cryptography, about what is not quite DER.
def test_a_certificate_with_any_octet_altered_is_refused_and_nothing_else(people):
    good = people.mn.certificate.public_bytes(Encoding.DER)
    stranger = replace(people.ha, trusted=(CertificateAuthority.generate().identity.certificate,))
    for position, octet in product(range(len(good)), (0x00, 0x07, 0xFF)):
        altered = bytearray(good)
        altered[position] = octet
        body = Tagged(X509_SIGNATURE, bytes(altered)).encode()
        with pytest.raises(PeerError):
            verify_chain(stranger, decode_certificates([body]))


def test_domains_have_no_case(people):
    peers = between(people.mn, people.ha, names=("mn@HOME.test", "HA.home.test"))
    peers.connect(5.0, ASSIGN, remote_identity="ha.HOME.test")
    assert_up(peers)
    assert find(peers.ha, IkeEstablished)[0].identity == MN_NAME
