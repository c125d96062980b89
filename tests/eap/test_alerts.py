"""Whose a TLS alert is, and what it says (RFC 5246 section 7.2, RFC 8446 section 6)."""

from __future__ import annotations

import pytest

from agents.eap.alerts import Alert
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.wire import Code, Packet, TlsData, Type
from tests.eap.conversation import IDENTITY, converse

WARNING, FATAL = 1, 2
OTHER_END = "the other end refused with the TLS alert: "


def alert(level: int, code: int) -> bytes:
    return TlsData(bytes((21, 3, 3, 0, 2, level, code))).encode()


def peer_with_hello(authority, version) -> EapPeer:
    peer = EapPeer(IDENTITY, authority.client_config(version))
    peer.handle_request(Packet(Code.REQUEST, 1, Type.TLS, TlsData(start=True).encode()).encode())
    return peer


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("code", [*Alert, 200])
def test_a_fatal_alert_is_told_as_the_peers_by_its_name(authority, version, code):
    peer = peer_with_hello(authority, version)
    response = peer.handle_request(Packet(Code.REQUEST, 2, Type.TLS, alert(FATAL, code)).encode())
    assert Packet.decode(response).data == TlsData().encode()
    name = code.name.lower().replace("_", " ") if isinstance(code, Alert) else "number 200"
    assert peer.reason == OTHER_END + name


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("code", [Alert.UNRECOGNIZED_NAME, Alert.BAD_CERTIFICATE_STATUS_RESPONSE])
def test_a_server_ends_at_once_with_the_clients_alert(authority, version, code):
    server = EapServer(authority.server_config(version), identity=IDENTITY)
    peer = EapPeer(IDENTITY, authority.client_config(version))
    packet = server.handle_response(peer.handle_request(server.start()))
    identifier = Packet.decode(packet).identifier
    answer = server.handle_response(
        Packet(Code.RESPONSE, identifier, Type.TLS, alert(FATAL, code)).encode()
    )
    assert Packet.decode(answer).code is Code.FAILURE
    assert server.reason == OTHER_END + code.name.lower().replace("_", " ")


def test_a_warning_does_not_make_the_next_failure_the_peers(authority):
    peer = peer_with_hello(authority, "1.2")
    warning = alert(WARNING, Alert.UNRECOGNIZED_NAME)
    peer.handle_request(Packet(Code.REQUEST, 2, Type.TLS, warning).encode())
    assert peer.reason == ""
    nonsense = TlsData(b"\x16\x03\x03\x00\x04\x63\x00\x00\x00").encode()
    response = peer.handle_request(Packet(Code.REQUEST, 3, Type.TLS, nonsense).encode())
    assert peer.reason.startswith("the TLS handshake failed: ")
    ours = TlsData.decode(Packet.decode(response).data).data
    assert ours[0] == 21
    assert ours[-1] == Alert.UNEXPECTED_MESSAGE


@pytest.mark.parametrize(("ours", "theirs"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_each_end_tells_a_failure_as_whose_it_is(authority, ours, theirs):
    conversation = converse(authority, ours)
    conversation.server = EapServer(authority.server_config(theirs))
    conversation.run().assert_failure()
    assert conversation.server.reason.startswith("the TLS handshake failed: ")
    assert conversation.peer.reason == OTHER_END + "protocol version"
