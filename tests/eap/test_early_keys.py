"""Keys before EAP-Success, and EAP-TLS that the authenticator has started."""

from __future__ import annotations

import pytest

from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.wire import Code, Packet, TlsData, Type
from tests.eap.conversation import IDENTITY, Conversation, converse

START = Packet(Code.REQUEST, 77, Type.TLS, TlsData(start=True).encode()).encode()


def step(conversation, packet):
    """Carry one request to the peer and its response to the server."""
    response = conversation.peer.handle_request(packet)
    return None if response is None else conversation.server.handle_response(response)


@pytest.mark.parametrize("fragment", [1000, 83])
def test_keys_are_there_with_the_protected_success(authority, fragment):
    conversation = converse(authority, peer=fragment, server=fragment)
    peer, server = conversation.peer, conversation.server
    packet, seen = server.start(), []
    while packet is not None:
        seen.append((server.early_keys is not None, peer.early_keys is not None))
        packet = step(conversation, packet)
    conversation.assert_success()
    # The server has them when it sends the protected success, the peer when it has received it.
    assert seen == [(False, False)] * (len(seen) - 2) + [(True, False), (False, True)]
    assert peer.early_keys == peer.keys == server.keys


def test_nothing_has_succeeded_when_the_early_keys_are_there(authority):
    conversation = converse(authority)
    peer, server = conversation.peer, conversation.server
    packet = server.start()
    while server.early_keys is None:
        packet = step(conversation, packet)
    early = server.early_keys
    response = peer.handle_request(packet)
    assert peer.early_keys == early
    assert (peer.keys, peer.outcome) == (None, None)
    peer.handle_request(server.handle_response(response))
    assert peer.keys == early


def assert_no_early_keys(conversation):
    """Run a conversation to its end, which alone may bring keys."""
    packet = conversation.server.start()
    while packet is not None:
        assert conversation.server.early_keys is None
        packet = step(conversation, packet)
        assert conversation.peer.early_keys is None


def test_tls_1_2_announces_nothing(authority):
    conversation = converse(authority, "1.2")
    assert_no_early_keys(conversation)
    conversation.assert_success()


def test_no_early_keys_for_whom_the_server_refuses(authority):
    stranger = authority.ca.issue_client("x@home.test").write(authority.directory, "x")
    conversation = Conversation(
        EapPeer(IDENTITY, authority.client_config(files=stranger)),
        EapServer(authority.server_config()),
    )
    assert_no_early_keys(conversation)
    conversation.assert_failure()


def test_a_start_from_elsewhere_is_picked_up(authority):
    server = EapServer(authority.server_config(), pick_up=True)
    conversation = Conversation(EapPeer(IDENTITY, authority.client_config()), server).run(START)
    conversation.assert_success()
    # Start, flight, protected success, EAP-Success: one request less, and no identity in clear.
    assert len(conversation.requests) == 4
    assert (server.identity, server.peer_name) == (None, IDENTITY)
    assert not any(IDENTITY.encode() in packet for packet in conversation.responses)


def test_nothing_is_picked_up_unless_that_is_wanted(authority):
    server = EapServer(authority.server_config())
    response = EapPeer(IDENTITY, authority.client_config()).handle_request(START)
    assert server.handle_response(response) is None
    assert "no request" in server.discarded


def test_who_was_picked_up_is_authorised_by_its_certificate(authority):
    asked = []

    def authorise(name):
        asked.append(name)
        return f"{name} is no subscriber"

    server = EapServer(authority.server_config(), pick_up=True, authorise=authorise)
    conversation = Conversation(EapPeer(IDENTITY, authority.client_config()), server).run(START)
    conversation.assert_failure()
    assert asked == [IDENTITY]
    assert "no subscriber" in server.reason


def test_a_peer_that_wants_another_method_ends_what_was_picked_up(authority):
    server = EapServer(authority.server_config(), pick_up=True)
    nak = Packet(Code.RESPONSE, 77, Type.NAK, bytes([13])).encode()
    assert server.handle_response(nak)[0] == Code.FAILURE


def test_an_identity_is_still_taken_where_starts_are_picked_up(authority):
    server = EapServer(authority.server_config(), pick_up=True)
    peer = EapPeer(IDENTITY, authority.client_config())
    request = Packet(Code.REQUEST, 9, Type.IDENTITY).encode()
    Conversation(peer, server).run(request).assert_success()
    assert server.identity == IDENTITY
