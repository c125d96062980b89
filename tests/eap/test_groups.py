"""Groups of the key exchange (RFC 8446 section 4.2.7, RFC 8422 section 5.1.1)."""

from __future__ import annotations

import ssl

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.wire import Code, Packet, TlsData, Type
from tests.eap.conversation import IDENTITY, SERVER, Conversation

VERSIONS = ("1.2", "1.3")
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
SECP256R1, SECP384R1, SECP521R1, X25519 = 0x17, 0x18, 0x19, 0x1D


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("curve", CURVES)
def test_certificates_on_each_curve(authority, tmp_path, version, curve):
    def key():
        return ec.generate_private_key(CURVES[curve])

    client = authority.ca.issue_client(IDENTITY, key=key()).write(tmp_path, "client")
    server = authority.ca.issue_server(SERVER, key=key()).write(tmp_path, "server")
    Conversation(
        EapPeer(IDENTITY, authority.client_config(version, client)),
        EapServer(authority.server_config(version, server)),
    ).run().assert_success()


def extensions(hello: bytes) -> dict[int, bytes]:
    """Return the extensions of the ClientHello in a TLS record, in their order."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2])
    at += 1 + hello[at] + 2
    found = {}
    while at < len(hello):
        kind, length = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        found[kind] = hello[at + 4 : at + 4 + length]
        at += 4 + length
    return found


# A second key share, or a hybrid with ML-KEM, would make the ClientHello longer than it must be.
def test_a_client_offers_four_groups_and_a_share_of_the_first(authority):
    peer = EapPeer(IDENTITY, authority.client_config())
    response = peer.handle_request(
        Packet(Code.REQUEST, 1, Type.TLS, TlsData(start=True).encode()).encode()
    )
    found = extensions(TlsData.decode(Packet.decode(response).data).data)
    groups = [int.from_bytes(found[10][i : i + 2]) for i in range(2, len(found[10]), 2)]
    assert groups == [SECP256R1, X25519, SECP384R1, SECP521R1]
    shares = found[51]
    assert int.from_bytes(shares[2:4]) == SECP256R1
    assert int.from_bytes(shares[4:6]) == len(shares) - 6


# Peers of another TLS library, OpenSSL as Python's own ssl module binds it, that know one group.
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("group", ["prime256v1", "secp384r1", "secp521r1"])
@pytest.mark.parametrize("ours", ["client", "server"])
def test_a_peer_that_has_one_group_alone(rsa_authority, version, group, ours):
    authority = rsa_authority  # With TLS 1.2 an EC certificate's curve would have to be another.
    server = ours == "client"
    files = authority.server if server else authority.client
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_path)
    context.load_cert_chain(files.certificate, files.key)
    context.set_ecdh_curve(group)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    other = context.wrap_bio(incoming, outgoing, server_side=server)
    config = authority.client_config(version) if server else authority.server_config(version)
    engine = config.engine(server=not server, check_name=lambda _: None)
    done = False
    records = engine.feed(b"") if server else b""
    for _ in range(6):
        incoming.write(records)
        if not done:
            try:
                other.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
        records = engine.feed(outgoing.read())
        assert engine.failure is None
    assert (engine.finished, done) == (True, True)
    assert engine.version == version
