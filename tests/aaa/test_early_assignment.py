"""The home AAA server's answers when a mobile node may begin IKE before EAP ends."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.aaa.events import (
    SubscriberAuthenticated,
    SubscriberRejected,
    SubscriberVerified,
    VerificationWithdrawn,
)
from agents.aaa.leases import Leases
from agents.bootstrap.assignment import Assignment, Wish
from agents.bootstrap.sealed import SealContext, SealError, unseal
from agents.core.record import replace
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.wire import Message
from agents.eap.peer import EapPeer
from agents.eap.wire import Code, Packet, TlsData, Type
from tests.aaa.server import home_aaa
from tests.aaa.test_home_agents_in_answers import CANDIDATE, FILE, HOME, request
from tests.eap.conversation import Authority

CARE_OF = IPv6Address("2001:db8:2::5")
IDENTITY_REQUEST = Packet(Code.REQUEST, 7, Type.IDENTITY).encode()
TLS_START = Packet(Code.REQUEST, 7, Type.TLS, TlsData(start=True).encode()).encode()
WHERE = Assignment(HOME.home_agent, HOME.prefix_length)
MULTI_ROUND, SUCCESS = 1001, 2001


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("early"))


class Lab:
    """A home AAA server and one mobile node, message by message."""

    def __init__(self, authority, leases, user="mn", version="1.3", **options):
        settings = {"early": True, "protection": "sealed", "psk_source": "emsk"} | options
        self.aaa = home_aaa(FILE, leases, authority.server_config(version), **settings)
        self.identity = f"{user}@home.test"
        files = authority.ca.issue_client(self.identity).write(authority.directory, user)
        self.peer = EapPeer(self.identity, authority.client_config(version, files=files))
        self.answers = []

    def answer(self, payload, wish=Wish.EITHER, candidate=None, now=0.0, session="b;1"):
        asked = request(payload, wish, candidate, session, care_of_address=CARE_OF)
        message = self.aaa.handle(asked, now).to_message().encode()
        self.answers.append(DiameterEapAnswer.from_message(Message.decode(message)))
        return self.answers[-1]

    def run(self, first=IDENTITY_REQUEST, until_early=False, **asked):
        """Go on to the end, or to the answer that comes early."""
        packet = first
        while (payload := self.peer.handle_request(packet)) is not None:
            packet = self.answer(payload, **asked).eap_payload
            if until_early and self.answers[-1].sealed_assignment:
                self.peer.handle_request(packet)
                break
        return self

    def unsealed(self, answer, keys):
        context = SealContext(self.identity, keys.session_id, Wish.EITHER)
        return unseal(answer.sealed_assignment, keys.emsk, context)

    def events(self, kind):
        return [event for event in self.aaa.events if type(event) is kind]


@pytest.fixture
def make(authority, tmp_path):
    with Leases(tmp_path / "leases.db") as leases:
        yield lambda **options: Lab(authority, leases, **options)


@pytest.mark.parametrize("start", [IDENTITY_REQUEST, TLS_START])
def test_the_answer_before_the_last_tells_what_the_last_one_does(make, start):
    lab = make(pick_up=True).run(start)
    *before, early, last = lab.answers
    assert all(a.sealed_assignment is None and a.assignment is None for a in before)
    assert (early.result_code, last.result_code) == (MULTI_ROUND, SUCCESS)
    assert early.sealed_assignment == last.sealed_assignment
    assert lab.unsealed(early, lab.peer.keys) == HOME
    assert len(lab.answers) == (3 if start is TLS_START else 4)


def test_the_network_is_told_the_home_agent_and_nothing_more(make):
    lab = make().run()
    early, last = lab.answers[-2:]
    assert early.assignment == WHERE
    assert last.assignment is None
    assert (early.msk, early.local_home_agent_key, early.user_name) == (None, None, None)


def test_the_mobile_node_can_unseal_it_before_success(make):
    lab = make().run(until_early=True)
    assert lab.peer.outcome is None
    assert lab.unsealed(lab.answers[-1], lab.peer.early_keys) == HOME


def test_another_runs_keys_do_not_unseal_it(make):
    first, second = make().run(), make().run()
    with pytest.raises(SealError):
        first.unsealed(first.answers[-2], second.peer.keys)


def test_the_home_agent_is_told_before_the_answer_leaves(make):
    lab = make().run(until_early=True)
    (verified,) = lab.events(SubscriberVerified)
    assert (verified.identity, verified.assignment) == (lab.identity, HOME)
    assert verified.care_of_address == CARE_OF
    assert not lab.events(SubscriberAuthenticated)
    assert verified.ike_root.hex() not in repr(verified)


def test_one_choice_a_conversation(make):
    lab = make(user="free").run()
    (verified,) = lab.events(SubscriberVerified)
    (authenticated,) = lab.events(SubscriberAuthenticated)
    assert verified.assignment == authenticated.assignment
    assert verified.ike_root == authenticated.ike_root
    assert not lab.events(VerificationWithdrawn)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"early": False}, {}),
        ({"protection": "none"}, {}),
        ({"version": "1.2"}, {}),
        ({"user": "net"}, {}),
        ({}, {"wish": None}),
        ({"user": "roamer"}, {"candidate": CANDIDATE}),
    ],
)
def test_nothing_comes_early_unless_it_can(make, options, asked):
    lab = make(**options).run(**asked)
    assert lab.answers[-1].result_code == SUCCESS
    for answer in lab.answers[:-1]:
        assert (answer.sealed_assignment, answer.assignment) == (None, None)
    assert not lab.events(SubscriberVerified)


def test_nothing_comes_early_for_who_is_refused(make, authority):
    lab = make()
    stranger = authority.ca.issue_client("x@home.test").write(authority.directory, "x")
    lab.peer = EapPeer(lab.identity, authority.client_config(files=stranger))
    lab.run()
    assert all(answer.sealed_assignment is None for answer in lab.answers)
    assert not lab.events(SubscriberVerified)
    assert not lab.events(VerificationWithdrawn)


def test_a_duplicate_gets_the_same_early_answer(make):
    lab = make()
    payload = lab.peer.handle_request(IDENTITY_REQUEST)
    while not (answer := lab.answer(payload)).sealed_assignment:
        payload = lab.peer.handle_request(answer.eap_payload)
    assert lab.answer(payload) == answer
    assert len(lab.events(SubscriberVerified)) == 1


def test_who_does_not_come_to_the_end_is_withdrawn(make):
    lab = make().run(until_early=True)
    deadline = lab.aaa.next_timeout()
    lab.aaa.handle_timeout(deadline)
    (verified,) = lab.events(SubscriberVerified)
    (withdrawn,) = lab.events(VerificationWithdrawn)
    (rejected,) = lab.events(SubscriberRejected)
    assert (withdrawn.identity, withdrawn.assignment) == (verified.identity, HOME)
    assert withdrawn.ike_root == verified.ike_root
    assert "not finished in time" in rejected.reason


def test_rubbish_after_the_early_answer_withdraws_it(make):
    lab = make().run(until_early=True)
    for number in range(10):
        lab.answer(b"\2\7\0\6\15" + bytes([number]))
    assert lab.answers[-1].result_code not in (MULTI_ROUND, SUCCESS)
    assert len(lab.events(VerificationWithdrawn)) == 1
    assert not lab.events(SubscriberAuthenticated)


def test_a_picked_up_conversation_has_its_identity_from_the_certificate(make):
    lab = make(pick_up=True).run(TLS_START)
    (authenticated,) = lab.events(SubscriberAuthenticated)
    assert authenticated.identity == lab.identity
    assert lab.answers[-1].user_name == lab.identity


def test_tls_is_not_picked_up_unless_that_is_wanted(make):
    lab = make().run(TLS_START)
    assert [answer.result_code for answer in lab.answers] == [5002]


@pytest.mark.parametrize("data", [b"", TlsData().encode(), b"\x80", b"\x80\0\0"])
def test_an_acknowledgement_of_nothing_starts_no_conversation(make, data):
    lab = make(pick_up=True)
    answer = lab.answer(Packet(Code.RESPONSE, 7, Type.TLS, data).encode())
    assert answer.result_code == 5002


def test_a_picked_up_peer_that_wants_another_method_is_refused(make):
    lab = make(pick_up=True)
    answer = lab.answer(Packet(Code.RESPONSE, 7, Type.NAK, bytes([25])).encode())
    assert answer.result_code not in (MULTI_ROUND, SUCCESS)
    assert answer.eap_payload[0] == Code.FAILURE


def test_the_fields_are_those_of_the_last_answer_without_early(make):
    early, plain = make(pick_up=True).run().answers[-1], make(early=False).run().answers[-1]
    blank = {"eap_payload": None, "msk": None, "sealed_assignment": None}
    assert replace(early, **blank) == replace(plain, **blank)
