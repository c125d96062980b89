from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agents.eap.ca import Validity
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsConfigError
from tests.eap.conversation import IDENTITY, SERVER, Conversation

VERSIONS = ("1.2", "1.3")
LONG_AGO = Validity(datetime.now(UTC) - timedelta(days=30), datetime.now(UTC) - timedelta(days=2))
NOT_YET = Validity(datetime.now(UTC) + timedelta(days=2), datetime.now(UTC) + timedelta(days=9))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "case",
    [(LONG_AGO, "expired on ", "certificate expired"), (NOT_YET, "not valid yet", "bad cert")],
)
def test_a_client_certificate_out_of_date(authority, tmp_path, version, case):
    validity, reason, alert = case
    files = authority.ca.issue_client(IDENTITY, validity=validity).write(tmp_path, "late")
    conversation = Conversation(
        EapPeer(IDENTITY, authority.client_config(version, files)),
        EapServer(authority.server_config(version)),
    ).run()
    conversation.assert_failure()
    assert f"CN={IDENTITY} refused" in conversation.server.reason
    assert reason in conversation.server.reason
    assert alert in conversation.peer.reason
    assert conversation.peer.refused == (version == "1.3")  # In 1.2 anybody may say so.
    assert conversation.server.peer_name is None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_certificate_out_of_date(authority, tmp_path, version):
    files = authority.ca.issue_server(SERVER, validity=LONG_AGO).write(tmp_path, "late")
    conversation = Conversation(
        EapPeer(IDENTITY, authority.client_config(version)),
        EapServer(authority.server_config(version, files)),
    ).run()
    conversation.assert_failure()
    assert "expired on " in conversation.peer.reason
    assert not conversation.peer.refused  # Another server may do.
    assert "certificate expired" in conversation.server.reason


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_of_another_ca(authority, other_authority, version):
    conversation = Conversation(
        EapPeer(IDENTITY, other_authority.client_config(version, ca=authority.ca_path)),
        EapServer(authority.server_config(version)),
    ).run()
    conversation.assert_failure()
    assert "unknown CA" in conversation.server.reason
    assert "unknown ca" in conversation.peer.reason
    assert conversation.peer.refused == (version == "1.3")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_of_another_ca(authority, other_authority, version):
    conversation = Conversation(
        EapPeer(IDENTITY, authority.client_config(version)),
        EapServer(other_authority.server_config(version)),
    ).run()
    conversation.assert_failure()
    assert "unknown CA" in conversation.peer.reason
    assert "unknown ca" in conversation.server.reason


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_for_another_use(authority, version):
    conversation = Conversation(
        EapPeer(IDENTITY, authority.client_config(version, authority.server)),
        EapServer(authority.server_config(version)),
    ).run()
    conversation.assert_failure()
    assert "not meant for this use" in conversation.server.reason


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_of_another_identity(authority, version):
    conversation = Conversation(
        EapPeer("other@home.test", authority.client_config(version)),
        EapServer(authority.server_config(version)),
    ).run()
    conversation.assert_failure()
    assert conversation.server.reason == ("the certificate names mn@home.test, not other@home.test")


def test_the_identity_check_can_be_switched_off(authority):
    server = EapServer(authority.server_config(match_identity=False))
    Conversation(EapPeer("x@y", authority.client_config()), server).run().assert_success()
    assert (server.identity, server.peer_name) == ("x@y", IDENTITY)


@pytest.mark.parametrize("identity", ["@home.test", "anonymous@HOME.test"])
def test_an_anonymous_identity_is_named_by_the_certificate(authority, identity):
    asked: list[str] = []
    server = EapServer(authority.server_config(), authorise=asked.append)
    Conversation(EapPeer(identity, authority.client_config()), server).run().assert_success()
    assert server.peer_name == IDENTITY
    assert asked == [IDENTITY]


def test_an_anonymous_identity_of_another_realm_is_refused(authority):
    conversation = Conversation(
        EapPeer("@other.test", authority.client_config()), EapServer(authority.server_config())
    ).run()
    conversation.assert_failure()
    assert "not @other.test" in conversation.server.reason


def test_the_realm_is_compared_without_case(authority):
    conversation = Conversation(
        EapPeer("mn@HOME.Test", authority.client_config()), EapServer(authority.server_config())
    )
    conversation.run().assert_success()


def test_an_identity_that_is_not_authorised_is_refused_at_once(authority):
    conversation = Conversation(
        EapPeer(IDENTITY, authority.client_config()),
        EapServer(authority.server_config(), authorise=lambda name: f"{name} is unknown"),
    ).run()
    conversation.assert_failure()
    assert conversation.server.reason == "mn@home.test is unknown"
    assert len(conversation.requests) == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_the_peer_checks_the_servers_name(authority, version):
    good = authority.client_config(version, server_names=("x.test", "AAA.home.test"))
    server = authority.server_config(version)
    Conversation(EapPeer(IDENTITY, good), EapServer(server)).run().assert_success()
    bad = authority.client_config(version, server_names=("aaa.evil.test",))
    conversation = Conversation(EapPeer(IDENTITY, bad), EapServer(server)).run()
    conversation.assert_failure()
    assert conversation.peer.reason == (
        "the server's certificate names aaa.home.test, not aaa.evil.test"
    )


@pytest.mark.parametrize("what", ["ca", "certificate", "key"])
def test_a_file_that_cannot_be_used_is_named(authority, tmp_path, what):
    config = replace(authority.client_config(), **{what: tmp_path / "none.pem"})
    with pytest.raises(TlsConfigError, match=r"none\.pem: there is no such"):
        EapServer(config)
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing of use")
    config = replace(authority.client_config(), **{what: bad})
    with pytest.raises(TlsConfigError, match=r"bad\.pem: cannot be used"):
        EapServer(config)


def test_a_key_of_another_certificate_is_refused(authority):
    config = replace(authority.client_config(), key=authority.server.key)
    with pytest.raises(TlsConfigError, match=r"server\.key"):
        EapServer(config)
