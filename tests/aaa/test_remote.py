"""Another EAP server authenticates in the home AAA server's place."""

from __future__ import annotations

from dataclasses import replace as replace_fields

import pytest

from agents.aaa.conversations import Limits
from agents.aaa.events import SubscriberAuthenticated, SubscriberRejected
from agents.aaa.home_aaa import HomeAaa
from agents.aaa.leases import Leases
from agents.aaa.remote import Reply
from agents.core.later import Later
from agents.core.record import replace
from agents.diameter.errors import ResultCode
from agents.eap.server import EapServer
from tests.aaa.server import home_aaa
from tests.aaa.test_home_aaa import FILE, FIXED, ask, identity_response, peer_of
from tests.eap.conversation import IDENTITY, Authority

OTHER = "pool@home.test"
STRANGER = "stranger@home.test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("remote"))


class World:
    """A home AAA server, and another EAP server that answers when it is told to."""

    def __init__(self, authority, folder, **more):
        self.authority = authority
        leases = Leases(folder / "leases.db")
        config = authority.server_config()
        self.aaa = home_aaa(FILE, leases, config, kind=HomeAaa, **more)
        self.aaa.ask_eap_server = self._ask
        self.questions = []
        self.changes = {}
        # It lets in whoever has a certificate, as a server does that knows no more.
        self._server = EapServer(replace_fields(config, match_identity=False))
        self._waiting = []

    def _ask(self, question):
        later = Later()
        self.questions.append(question)
        self._waiting.append((question, later))
        return later

    def reply(self, now=0.0):
        question, later = self._waiting.pop(0)
        packet = self._server.handle_response(question.packet)
        keys, kind = self._server.keys, self._server.outcome or "request"
        reply = Reply(kind, packet, (b"state",) if kind == "request" else ())
        if keys:
            reply = replace(reply, msk=keys.msk, name=self._server.peer_name)
        if kind in self.changes:
            reply = replace(reply, **self.changes[kind])
        later.settle((reply, now))
        self.aaa.commit(now)

    def put(self, payload, name=IDENTITY, **more):
        """Put a request; return where its answer will be found."""
        answers = []
        answer = self.aaa.handle(replace(ask(payload, **more), user_name=name), 0.0)
        if isinstance(answer, Later):
            answer.then(answers.append)
        else:
            answers.append(answer)
        return answers

    def authenticate(self, peer, name=IDENTITY):
        """Carry a conversation out; return the last answer."""
        payload = identity_response(peer)
        for _ in range(20):
            answers = self.put(payload, name)
            while self._waiting:
                assert not answers
                self.reply()
            self.aaa.commit(0.0)
            (answer,) = answers
            payload = peer.handle_request(answer.eap_payload)
            if answer.result_code != ResultCode.MULTI_ROUND_AUTH:
                return answer
        raise AssertionError("the conversation does not end")

    def told(self, kind):
        return [event for event in self.aaa.events if isinstance(event, kind)]


@pytest.fixture
def world(authority, tmp_path):
    return World(authority, tmp_path)


def test_a_subscriber_gets_what_it_gets_of_this_servers_own(world, authority, tmp_path):
    peer = peer_of(authority)
    answer = world.authenticate(peer)
    assert (answer.result_code, answer.assignment) == (ResultCode.SUCCESS, FIXED)
    assert answer.msk == peer.keys.msk
    (event,) = world.told(SubscriberAuthenticated)
    assert (event.identity, event.msk, event.ike_root) == (IDENTITY, peer.keys.msk, b"")

    (tmp_path / "own").mkdir()
    own = World(authority, tmp_path / "own")
    own.aaa.ask_eap_server = None
    other = own.authenticate(peer_of(authority))
    assert replace(answer, msk=b"") == replace(other, msk=b"")


def test_the_other_server_is_asked_with_its_state_and_the_name(world, authority):
    world.authenticate(peer_of(authority))
    first, *others = world.questions
    assert (first.state, first.user_name, first.longest) == ((), IDENTITY, 1010)
    assert {one.state for one in others} == {(b"state",)}
    assert {one.user_name for one in world.questions} == {IDENTITY}


def test_who_claims_to_be_nobody_gets_what_the_certificate_says(world, authority):
    answer = world.authenticate(peer_of(authority, "@home.test", files(authority, IDENTITY)))
    assert (answer.result_code, answer.user_name) == (ResultCode.SUCCESS, IDENTITY)


def files(authority, name):
    return authority.ca.issue_client(name).write(authority.directory, f"of-{name}")


@pytest.mark.parametrize(
    ("claim", "name", "reason"),
    [
        (IDENTITY, OTHER, f"the certificate names {OTHER}, not {IDENTITY}"),
        ("@home.test", STRANGER, f"{STRANGER} is no subscriber"),
    ],
)
def test_a_certificate_of_another_is_refused(world, authority, claim, name, reason):
    answer = world.authenticate(peer_of(authority, claim, files(authority, name)), claim)
    assert answer.result_code == ResultCode.AUTHENTICATION_REJECTED
    assert answer.eap_payload[0] == 4
    assert [event.reason for event in world.told(SubscriberRejected)] == [reason]
    assert answer.msk is None


def test_who_is_no_subscriber_is_not_asked_about(world, authority):
    answer = world.authenticate(peer_of(authority, STRANGER), STRANGER)
    assert answer.result_code == ResultCode.AUTHENTICATION_REJECTED
    assert world.questions == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"msk": b""}, "the EAP server gave a key of 0 octets, not 64"),
        ({"msk": bytes(32)}, "the EAP server gave a key of 32 octets, not 64"),
        ({"name": None}, f"the certificate names nobody, not {IDENTITY}"),
        ({"name": ""}, f"the certificate names nobody, not {IDENTITY}"),
        ({"kind": "failure"}, "the EAP server refuses the peer"),
        ({"kind": "failure", "reason": "it is gone"}, "it is gone"),
    ],
)
def test_a_success_that_is_none(world, authority, changes, reason):
    world.changes["success"] = changes
    answer = world.authenticate(peer_of(authority))
    assert answer.result_code == ResultCode.AUTHENTICATION_REJECTED
    assert [event.reason for event in world.told(SubscriberRejected)] == [reason]
    assert world.told(SubscriberAuthenticated) == []


def test_what_comes_before_the_answer_is_refused_and_the_answer_comes_all_the_same(
    world, authority
):
    payload = identity_response(peer_of(authority))
    first = world.put(payload)
    (second,) = world.put(payload)
    assert second.result_code == ResultCode.TOO_BUSY
    assert first == []
    world.reply()
    assert first[0].result_code == ResultCode.MULTI_ROUND_AUTH
    assert world.put(payload) == first  # A duplicate.


def test_who_has_given_way_meanwhile_is_told_to_start_again(authority, tmp_path):
    world = World(authority, tmp_path, limits=Limits(total=1, nas=1, identity=1))
    first = world.put(identity_response(peer_of(authority)), session="b;1")
    second = world.put(identity_response(peer_of(authority)), session="b;2")
    world.reply()
    assert first[0].result_code == ResultCode.UNKNOWN_SESSION_ID
    assert second == []


def test_an_answer_that_comes_too_late_is_to_nobody(world, authority):
    first = world.put(identity_response(peer_of(authority)))
    world.aaa.handle_timeout(1000.0)
    world.reply(1000.0)
    assert first[0].result_code == ResultCode.UNKNOWN_SESSION_ID


def test_a_response_that_is_none_is_discarded(world, authority):
    world.put(identity_response(peer_of(authority)))
    world.reply()
    (answer,) = world.put(b"\2\1\0\1")
    assert answer.reissued_payload is not None
    assert len(world.questions) == 1
