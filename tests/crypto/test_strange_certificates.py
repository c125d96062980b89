"""Whatever stands in a certificate, EAP-TLS and IKEv2 take it or refuse it, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from ssl import DER_cert_to_PEM_cert

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.machine import PeerError
from agents.crypto.certificates import Certificate, CertificateError, Purpose, verify
from agents.eap.ca import CertificateAuthority, read_certificates
from agents.eap.names import peer_names, server_names
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.wire import Code, Packet
from agents.ikev2.certificates import decode_certificates, names, verify_chain
from agents.ikev2.config import Credentials
from agents.ikev2.constants import X509_SIGNATURE
from agents.ikev2.payloads import Tagged
from tests.eap.conversation import IDENTITY, Authority
from tests.pki import DOMAIN, MAIL, sign, tlv

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # Of cryptography, about strange DER.

CA = CertificateAuthority.generate()
LEAVES = [CA.issue_client(MAIL), CA.issue_server(DOMAIN)]
TAGS = (
    b"\x01\x02\x03\x04\x05\x06\x0c\x13\x14\x16\x17\x18\x1c\x1e\x30\x31\x80\x81\x82\x86\x87\xa0\xa4"
)
CHANGES = st.lists(
    st.tuples(st.integers(4, 10_000), st.sampled_from(TAGS) | st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def altered(tbs: bytes, changes: list[tuple[int, int]]) -> bytes:
    data = bytearray(tbs)
    for position, octet in changes:
        data[4 + position % (len(data) - 4)] = octet
    return bytes(data)


@settings(max_examples=600)
@given(st.sampled_from(LEAVES), CHANGES)
def test_anything_that_a_trusted_ca_has_signed(leaf, changes):
    der = sign(altered(leaf.certificate.tbs_certificate_bytes, changes), CA.identity.key)
    trusted = [CA.identity.certificate]
    try:
        parsed = Certificate.decode(der).parsed
        certificate = verify([parsed], trusted, Purpose.IKE, datetime.now(UTC))
    except CertificateError:
        return
    for found in (peer_names(certificate), server_names(certificate), names(certificate)):
        assert all(isinstance(name, str) for name in found)


# Seen with the library of today: it raises these where it says that it raises ValueError.
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"),  # InvalidVersion
        (b"\x55\x04\x03\x0c\x0c", b"\x55\x04\x03\x03\x0c"),  # TypeError, a name in a BIT STRING
        (b"\x03\x01\x07\x03\x42", b"\x03\x01\x06\x03\x42"),  # UnsupportedAlgorithm, of a curve
        (b"\x55\x1d\x0e", b"\x55\x1d\x11"),  # An extension twice
    ],
)
def test_what_cannot_be_read_is_refused(old, new):
    tbs = LEAVES[0].certificate.tbs_certificate_bytes
    assert tbs.count(old) == 1
    body = Tagged(X509_SIGNATURE, sign(tbs.replace(old, new), CA.identity.key)).encode()
    with pytest.raises(PeerError, match="a certificate"):
        verify_chain(Credentials((CA.identity.certificate,)), decode_certificates([body]))


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    authority = Authority.make(tmp_path_factory.mktemp("tls"))
    return authority, authority.client_config("1.2"), authority.server_config("1.2")


# TLS 1.2 sends certificates in clear: what they say can be altered on the way, and is judged
# before anything shows that.
@settings(max_examples=300)
@given(changes=CHANGES, client=st.booleans())
def test_any_certificate_in_the_handshake(ends, changes, client):
    authority, client_config, server_config = ends
    holder = authority.client if client else authority.server
    (good,) = read_certificates(holder.certificate)
    tbs = altered(good.tbs_certificate_bytes, changes)
    old = good.public_bytes(Encoding.DER)
    if tbs == good.tbs_certificate_bytes:
        return
    while len(new := sign(tbs, authority.ca.identity.key)) != len(old):
        pass
    peer = EapPeer(IDENTITY, client_config, fragment_size=60_000)
    server = EapServer(server_config, fragment_size=60_000)
    packet, seen = server.start(), 0
    while packet:
        seen += old in packet
        response = peer.handle_request(packet if client else packet.replace(old, new))
        if response is None:
            break
        seen += old in response
        packet = server.handle_response(response.replace(old, new) if client else response)
    assert seen == 1
    assert (server.outcome, peer.outcome) == ("failure", "failure")
    assert server.reason
    assert peer.reason


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_certificate_of_another_version(ends, tmp_path, version, number):
    authority = ends[0]
    stranger = CertificateAuthority.generate("a stranger").issue_client(IDENTITY)
    tbs = stranger.certificate.tbs_certificate_bytes
    tbs = tbs.replace(b"\xa0\x03\x02\x01\x02", bytes((0xA0, 3, 2, 1, number)))
    files = stranger.write(tmp_path, "stranger")
    files.certificate.write_text(DER_cert_to_PEM_cert(sign(tbs, stranger.key)))
    peer = EapPeer(IDENTITY, authority.client_config(version, files))
    server = EapServer(authority.server_config(version))
    packet = server.start()
    while response := peer.handle_request(packet):
        packet = server.handle_response(response)
    assert Packet.decode(packet).code is Code.FAILURE
    assert server.reason == f"a certificate is of X.509 version {number + 1} instead of 3"
    assert "refused with the TLS alert" in peer.reason


def test_the_helper_writes_der():
    assert tlv(0x04, b"x" * 300)[:4] == b"\x04\x82\x01\x2c"
