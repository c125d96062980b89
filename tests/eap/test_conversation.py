from __future__ import annotations

import gc
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.crypto.prf import HMAC_SHA2_256, HMAC_SHA2_384
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsEngine
from agents.eap.wire import Code, Packet, TlsData, Type
from tests.eap.conversation import IDENTITY, SERVER, Conversation, converse

VERSIONS = ("1.2", "1.3")


@pytest.mark.parametrize("version", VERSIONS)
def test_both_ends_have_the_same_keys(authority, version):
    conversation = converse(authority, version).run()
    conversation.assert_success()
    server, peer = conversation.server, conversation.peer
    assert (server.identity, server.peer_name) == (IDENTITY, IDENTITY)
    assert peer.keys.session_id[0] == Type.TLS
    assert len(peer.keys.session_id) == 65
    assert peer.keys.msk != peer.keys.emsk
    assert peer.keys.msk.hex() not in repr(peer.keys)


# Identity, Start, flight, Finished or protected success, EAP-Success; a fragment more with RSA.
@pytest.mark.parametrize(("fixture", "requests"), [("authority", 5), ("rsa_authority", 7)])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_conversation_is_no_longer_than_it_must_be(request, fixture, requests, version):
    conversation = converse(request.getfixturevalue(fixture), version).run()
    conversation.assert_success()
    assert len(conversation.requests) == requests
    assert all(len(packet) <= 1010 for packet in conversation.requests + conversation.responses)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("peer", "server"), [(60, 1000), (1000, 60), (97, 83), (5000, 5000)])
@pytest.mark.parametrize("fixture", ["authority", "rsa_authority"])
def test_fragments_of_any_size(request, fixture, version, peer, server):
    conversation = converse(request.getfixturevalue(fixture), version, peer=peer, server=server)
    conversation.run().assert_success()
    for packet in map(Packet.decode, conversation.requests):
        if packet.type == Type.TLS:
            part = TlsData.decode(packet.data)
            assert len(part.data) <= server
            assert part.length is None or part.more


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [SERVER, "elsewhere.test"])
def test_a_conversation_that_is_over_holds_no_tls_session(authority, version, name):
    """Nor does one wait for the garbage collector: each has tens of kilobytes outside Python."""
    gc.collect()
    gc.disable()
    try:
        peer = EapPeer(IDENTITY, authority.client_config(version, server_names=(name,)))
        conversation = Conversation(peer, EapServer(authority.server_config(version))).run()
        assert peer.outcome == conversation.server.outcome
        assert (peer.outcome == "success") is (name == SERVER)
        assert not [one for one in gc.get_objects() if isinstance(one, TlsEngine)]
    finally:
        gc.enable()


def test_a_conversation_that_nobody_ends_goes_with_its_last_reference(authority):
    gc.collect()
    gc.disable()
    try:
        conversation = converse(authority)
        packet = conversation.server.start()
        while not isinstance(conversation.server._engine, TlsEngine):
            response = conversation.peer.handle_request(packet)
            packet = conversation.server.handle_response(response)
        conversation.peer.handle_request(packet)
        del conversation
        assert not [one for one in gc.get_objects() if isinstance(one, TlsEngine)]
    finally:
        gc.enable()


def test_a_conversation_that_never_ends_is_ended(rsa_authority):
    conversation = converse(rsa_authority, peer=5, server=5).run()
    conversation.assert_failure()
    assert "no result after 300 requests" in conversation.server.reason


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_are_those_that_the_key_log_gives(authority, version):
    lines: list[str] = []
    conversation = Conversation(
        EapPeer(IDENTITY, authority.client_config(version)),
        EapServer(authority.server_config(version, keylog=lines.append)),
    ).run()
    conversation.assert_success()
    log = {line.split()[0]: line.split()[1:] for line in lines}
    if version == "1.2":
        # RFC 5216 section 2.3: TLS-PRF-128(master_secret, label, client.random | server.random)
        master_secret = bytes.fromhex(log["CLIENT_RANDOM"][1])
        session_id = conversation.peer.keys.session_id
        assert session_id[1:33] == bytes.fromhex(log["CLIENT_RANDOM"][0])
        seed = b"client EAP encryption" + session_id[1:]
        expected = tls12_prf(master_secret, seed, 128)
    else:
        secret = bytes.fromhex(log["EXPORTER_SECRET"][1])
        expected = tls13_exporter(secret, b"EXPORTER_EAP_TLS_Key_Material", b"\x0d", 128)
        method_id = tls13_exporter(secret, b"EXPORTER_EAP_TLS_Method-Id", b"\x0d", 64)
        assert conversation.peer.keys.session_id == b"\x0d" + method_id
    keys = conversation.server.keys
    assert keys.msk + keys.emsk == expected


def tls12_prf(secret: bytes, seed: bytes, length: int) -> bytes:
    """P_SHA384 of RFC 5246 section 5, the hash of AES-256-GCM-SHA384."""
    output, a = b"", seed
    while len(output) < length:
        a = HMAC_SHA2_384(secret, a)
        output += HMAC_SHA2_384(secret, a + seed)
    return output[:length]


def tls13_exporter(secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """RFC 8446 section 7.5; the hash is the cipher suite's."""
    algorithm = hashes.SHA384() if len(secret) == 48 else hashes.SHA256()

    def digest(data: bytes) -> bytes:
        h = hashes.Hash(algorithm)
        h.update(data)
        return h.finalize()

    def expand(key: bytes, name: bytes, data: bytes, n: int) -> bytes:
        name = b"tls13 " + name
        info = n.to_bytes(2) + bytes([len(name)]) + name + bytes([len(data)]) + data
        return HKDFExpand(algorithm, n, info).derive(key)

    derived = expand(secret, label, digest(b""), algorithm.digest_size)
    return expand(derived, b"exporter", digest(context), length)


def test_the_helper_for_hmac_is_the_rfcs():
    # RFC 4231 section 4.3, the hashes that the two derivations above stand on.
    tag = HMAC_SHA2_256(b"Jefe", b"what do ya want for nothing?")
    assert tag.hex().startswith("5bdcc146bf60754e6a042426089575c7")


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_are_negotiated(authority, version):
    both = replace(authority.server_config("1.2"), maximum_version="1.3")
    peer = EapPeer(IDENTITY, authority.client_config(version))
    Conversation(peer, EapServer(both)).run().assert_success()


def test_versions_that_do_not_meet_fail_with_a_reason(authority):
    conversation = Conversation(
        EapPeer(IDENTITY, authority.client_config("1.2")),
        EapServer(authority.server_config("1.3")),
    ).run()
    conversation.assert_failure()
    assert "version" in conversation.peer.reason
    assert "protocol" in conversation.server.reason


# RFC 4137 6.2: the authenticator sent the Identity request itself.
def test_an_identity_response_is_picked_up(authority):
    conversation = converse(authority)
    response = conversation.peer.handle_request(Packet(Code.REQUEST, 255, 1).encode())
    request = conversation.server.handle_response(response)
    assert Packet.decode(request).identifier == 0
    conversation.run(request).assert_success()


def test_a_known_identity_is_not_asked_for(authority):
    server = EapServer(authority.server_config(), identity=IDENTITY, identifier=41)
    peer = EapPeer(IDENTITY, authority.client_config())
    conversation = Conversation(peer, server).run()
    conversation.assert_success()
    assert Packet.decode(conversation.requests[0]) == Packet(Code.REQUEST, 42, Type.TLS, b"\x20")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_packet_twice_makes_no_difference(rsa_authority, version):
    conversation = converse(rsa_authority, version, peer=300, server=300)
    peer, server = conversation.peer, conversation.server
    packet = server.start()
    for _ in range(100):
        response = peer.handle_request(packet)
        if response is None:
            break
        assert peer.handle_request(packet) == response
        answer = server.handle_response(response)
        assert server.handle_response(response) is None
        packet = answer
    assert peer.handle_request(packet) is None
    conversation.assert_success()


def test_another_method_is_refused_with_a_nak(authority):
    peer = EapPeer(IDENTITY, authority.client_config())
    for kind in (4, 21, 254):
        response = Packet.decode(peer.handle_request(Packet(Code.REQUEST, kind, kind).encode()))
        assert response == Packet(Code.RESPONSE, kind, Type.NAK, bytes([Type.TLS]))
    Conversation(peer, EapServer(authority.server_config(), identifier=60)).run().assert_success()


def test_a_nak_to_the_server_ends_the_conversation(authority):
    server = EapServer(authority.server_config(), identity=IDENTITY)
    server.start()
    answer = server.handle_response(Packet(Code.RESPONSE, 1, Type.NAK, b"\x15\x19").encode())
    assert Packet.decode(answer) == Packet(Code.FAILURE, 1)
    assert "21, 25" in server.reason


def test_a_notification_is_acknowledged(authority):
    conversation = converse(authority)
    note = Packet(Code.REQUEST, 200, Type.NOTIFICATION, b"Hello").encode()
    response = conversation.peer.handle_request(note)
    assert Packet.decode(response) == Packet(Code.RESPONSE, 200, Type.NOTIFICATION)
    assert conversation.peer.notification == "Hello"
    conversation.run().assert_success()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_forged_success_is_not_taken_at_any_time(authority, version):
    conversation = converse(authority, version)
    peer, server = conversation.peer, conversation.server
    packet = server.start()
    while server.outcome is None:
        response = peer.handle_request(packet)
        identifier = Packet.decode(response).identifier
        last = identifier == 4  # The server's Finished or protected success has arrived.
        if not last:
            peer.handle_request(Packet(Code.SUCCESS, identifier).encode())
            assert peer.outcome is None
            assert peer.keys is None
        peer.handle_request(Packet(Code.SUCCESS, identifier + 1).encode())
        assert peer.outcome is None
        packet = server.handle_response(response)
    assert peer.handle_request(packet) is None
    conversation.assert_success()


def test_a_forged_failure_does_not_undo_the_protected_success(authority):
    conversation = converse(authority, "1.3")
    peer, server = conversation.peer, conversation.server
    packet = server.start()
    while server.outcome is None:
        packet = server.handle_response(peer.handle_request(packet))
    peer.handle_request(Packet(Code.FAILURE, Packet.decode(packet).identifier).encode())
    assert peer.outcome is None
    peer.handle_request(packet)
    conversation.assert_success()


def test_tls_1_3_without_the_protected_success_is_no_success(authority, monkeypatch):
    monkeypatch.setattr("agents.eap.server.PROTECTED_SUCCESS", b"\1")
    conversation = converse(authority, "1.3").run()
    assert conversation.peer.outcome is None
    assert conversation.peer.keys is None
    assert "application data" in conversation.peer.reason


@pytest.mark.parametrize("version", VERSIONS)
def test_truncated_and_altered_packets_do_no_harm(authority, version):
    sample = converse(authority, version).run()
    for index in range(len(sample.requests)):
        for end in (0, 1, 4, 5, 6, 20):
            conversation = converse(authority, version)
            packet = conversation.server.start()
            for step in range(index + 1):
                if step == index:
                    conversation.peer.handle_request(packet[: min(end, len(packet) - 1)])
                response = conversation.peer.handle_request(packet)
                if response is None:
                    break
                if step == index:
                    assert (
                        conversation.server.handle_response(response[: min(end, len(response) - 1)])
                        is None
                    )
                packet = conversation.server.handle_response(response)
            if response is not None:
                conversation.run(packet)
            conversation.assert_success()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("position", [12, 60, 120, -3])
def test_an_altered_handshake_fails_on_both_ends(authority, version, position):
    conversation = converse(authority, version)
    packet = conversation.server.start()
    for _ in range(20):
        response = conversation.peer.handle_request(packet)
        if response is None:
            break
        if Packet.decode(response).identifier == 3:
            response = bytearray(response)
            response[position] ^= 1
            response = bytes(response)
        packet = conversation.server.handle_response(response)
        if packet is None:
            break
    assert conversation.server.outcome != "success"
    assert conversation.peer.outcome != "success"
    assert not conversation.peer.refused


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 4]), st.binary(max_size=40)), max_size=6))
def test_random_packets_to_both_ends(authority, packets):
    peer = EapPeer(IDENTITY, authority.client_config())
    server = EapServer(authority.server_config())
    server.start()
    for identifier, (code, body) in enumerate(packets, 1):
        packet = bytes([code, identifier % 4]) + (4 + len(body)).to_bytes(2) + body
        peer.handle_request(packet)
        server.handle_response(packet)
        peer.handle_request(body)
        server.handle_response(body)
    assert peer.outcome != "success"
    assert server.outcome != "success"


@settings(max_examples=100)
@given(st.binary(min_size=1, max_size=80))
def test_random_tls_records_to_both_ends(authority, data):
    peer = EapPeer(IDENTITY, authority.client_config())
    peer.handle_request(Packet(Code.REQUEST, 1, Type.TLS, b"\x20").encode())
    peer.handle_request(Packet(Code.REQUEST, 2, Type.TLS, b"\0" + data).encode())
    server = EapServer(authority.server_config(), identity=IDENTITY)
    server.start()
    server.handle_response(Packet(Code.RESPONSE, 1, Type.TLS, b"\0" + data).encode())
    assert peer.keys is None
    assert server.keys is None


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\nb", b"\0", b"x" * 254])
def test_a_bad_identity_is_discarded(authority, data):
    server = EapServer(authority.server_config())
    server.start()
    assert server.handle_response(Packet(Code.RESPONSE, 1, 1, data).encode()) is None
    assert server.outcome is None


# RFC 3748 section 5.1: who has no identity to tell sends none; the certificate says who it is.
@pytest.mark.parametrize("known", [None, IDENTITY])
def test_an_empty_identity_claims_nothing(authority, known):
    asked: list[str] = []
    server = EapServer(authority.server_config(), identity=known, authorise=asked.append)
    conversation = Conversation(EapPeer("", authority.client_config()), server)
    request = Packet(Code.REQUEST, 7, Type.IDENTITY).encode()
    packet = server.handle_response(conversation.peer.handle_request(request))
    conversation.run(packet).assert_success()
    assert (server.identity, server.peer_name) == (known, IDENTITY)
    assert set(asked) == {IDENTITY}


def test_an_empty_identity_does_not_hide_who_is_not_authorised(authority):
    server = EapServer(authority.server_config(), authorise=lambda name: f"{name} is unknown")
    conversation = Conversation(EapPeer("", authority.client_config()), server).run()
    conversation.assert_failure()
    assert server.reason == f"{IDENTITY} is unknown"
