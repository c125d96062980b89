"""Mobility sessions: who gets whose key, until when, and what ends a lease."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.aaa.events import (
    KeyDelivered,
    KeyRefused,
    SessionEnded,
    SubscriberAuthenticated,
    SubscriberVerified,
    VerificationWithdrawn,
)
from agents.aaa.leases import Leases
from agents.aaa.policy import Place
from agents.aaa.sessions import MAXIMUM_WAITING, Sessions
from agents.aaa.subscribers import AddressRange
from agents.bootstrap.assignment import Assignment
from agents.bootstrap.keys import ike_psk
from agents.core.later import Later
from agents.diameter.dictionary import (
    APPLICATION_EAP,
    APPLICATION_IKE_SK,
    Command,
    ReAuthRequestType,
)
from agents.diameter.errors import ResultCode
from agents.diameter.sessions import KeyRequest, SessionRequest
from agents.ike.identities import Identity

MN, OTHER = "mn@home.test", "other@home.test"
HA1, HA2, LOCAL = (IPv6Address(f"2001:db8:{n}::1") for n in (100, 200, 300))
COA, ELSEWHERE = IPv6Address("2001:db8:a::2"), IPv6Address("2001:db8:a::3")
HOSTS = {HA1: "ha1.home.test", HA2: "ha2.home.test"}
NAS, REALM = "ar.visited.test", "visited.example"
LIFETIME = 100.0
ANEW = ReAuthRequestType.AUTHORIZE_AUTHENTICATE
BY_EAP = "ha9.home.test"
"""A home agent that carries EAP."""


class World:
    """The sessions, with their leases, and a clock."""

    def __init__(self, leases):
        self.now = 1000.0
        self.leases = leases
        self.sessions = Sessions(
            "aaa.home.test",
            "home.test",
            hosts=HOSTS.get,
            leases=leases,
            psk_source="msk",
            by_eap={BY_EAP},
        )
        self._number = 0

    def admit(self, assignment=None, place=None, client=NAS):
        """Let a subscriber in without a home agent of the home network; return its session."""
        self._number += 1
        session = client, f"{client};{self._number}"
        event = SubscriberAuthenticated(
            self.now, MN, assignment, COA, bytes(64), place=place, client=session
        )
        self.sessions.admit(event, LIFETIME)
        return session[1]

    def authenticate(self, who=MN, agent=HA1, care_of=COA, client=NAS, root=1):
        """Authenticate a subscriber; return its key and its session with the NAS."""
        addresses = AddressRange(agent + 1, agent + 0xFFFF)
        lease = self.leases.lease(who, str(agent), addresses, lifetime=LIFETIME + 300)
        assignment = Assignment(agent, 64, lease.address)
        self._number += 1
        session = client, f"{client};{self._number}"
        msk = bytes([root]) * 64
        self.sessions.authorise(
            SubscriberAuthenticated(
                self.now,
                who,
                assignment,
                care_of,
                msk,
                place=Place.HOME,
                client=session,
                realm=REALM,
            ),
            LIFETIME,
        )
        return ike_psk(msk, assignment), session[1]

    def ask(self, who=MN, host="ha1.home.test", session="s1", renews=False):
        identity = Identity.of(str(who))
        request = KeyRequest(
            session_id=session,
            origin_host=host,
            origin_realm="home.test",
            destination_realm="home.test",
            identity=identity,
            renews=renews,
        )
        return self.sessions.handle_key(request, self.now)

    def end(self, session, host=NAS):
        return self.sessions.handle_end(
            SessionRequest(
                command=Command.SESSION_TERMINATION,
                session_id=session,
                application=APPLICATION_IKE_SK,
                origin_host=host,
                origin_realm=host.partition(".")[2],
                destination_realm="home.test",
            ),
            self.now,
        )

    def held(self, who=MN):
        return self.leases.find(who) is not None

    def orders(self):
        """Return what home agents are told to do, and forget what anybody was told."""
        orders = [(o.command, o.session_id, o.destination_host) for o in self.all_orders()]
        return [order for order in orders if order[2] != NAS]

    def all_orders(self):
        """Return what clients are told to do, once."""
        assert {o.user_name for o in self.sessions.outbox} <= {MN}
        orders = list(self.sessions.outbox)
        self.sessions.outbox.clear()
        return orders

    def told(self, kind):
        return [event for event in self.sessions.events if isinstance(event, kind)]


@pytest.fixture
def leases(tmp_path):
    with Leases(tmp_path / "leases.db", lambda: 1e9) as leases:
        yield leases


@pytest.fixture
def world(leases):
    return World(leases)


def test_the_assigned_home_agent_gets_the_key_and_what_it_is_good_for(world):
    key, _ = world.authenticate()
    world.now += 10.0
    answer = world.ask(host="HA1.home.test")
    assert answer.result_code == ResultCode.SUCCESS
    assert (answer.key, answer.identity, answer.lifetime) == (key, MN, 90.0)
    assert answer.assignment.home_agent == HA1
    assert world.told(KeyDelivered) == [KeyDelivered(world.now, MN, "HA1.home.test")]


def test_main_mode_asks_by_the_care_of_address_and_the_latest_there_counts(world):
    world.authenticate(OTHER, root=2)
    key, _ = world.authenticate()
    assert world.ask(COA).identity == MN
    assert world.ask(COA).key == key
    assert world.ask(ELSEWHERE).key is None
    world.authenticate(OTHER, root=3)
    assert world.ask(COA).identity == OTHER


@pytest.mark.parametrize("host", ["ha2.home.test", NAS, "ha1.home.test.evil.test"])
def test_nobody_else_gets_it(world, host):
    world.authenticate()
    answer = world.ask(host=host)
    assert (answer.result_code, answer.key) == (ResultCode.AUTHORIZATION_REJECTED, None)
    assert (answer.assignment, answer.identity) == (None, None)
    assert world.told(KeyRefused) == [KeyRefused(world.now, MN, host)]


def test_a_refusal_does_not_tell_whether_there_is_a_session_elsewhere(world):
    world.authenticate(agent=HA2)
    assert world.ask(MN) == world.ask(OTHER)


def test_a_home_agent_whose_keys_are_not_asked_for_gets_none(world):
    world.authenticate(agent=LOCAL)
    assert world.ask().key is None


def test_every_question_gets_the_key_of_the_last_authentication(world):
    world.authenticate(root=1)
    key, _ = world.authenticate(root=2)
    assert world.ask().key == key


def test_a_subscriber_that_has_moved_has_no_key_at_its_old_home_agent(world):
    world.authenticate()
    assert world.ask().key
    world.authenticate(agent=HA2)
    assert world.ask().key is None
    assert world.ask(session="s1", renews=True).result_code != ResultCode.SUCCESS
    assert world.ask(host="ha2.home.test").key
    # What it has to say of the old session changes nothing any more.
    assert world.end("s1", "ha1.home.test") == ResultCode.UNKNOWN_SESSION_ID
    assert world.held()


def test_there_is_no_key_when_the_time_is_over(world):
    world.authenticate()
    world.now += LIFETIME
    assert world.ask().key is None
    assert world.told(SessionEnded) == [SessionEnded(world.now, MN, "expired")]
    assert not world.held()


def test_there_is_no_key_when_the_nas_has_ended_the_session(world):
    _, access = world.authenticate()
    assert world.ask().key
    assert world.end(access) == ResultCode.SUCCESS
    assert world.held()  # The home agent serves it still.
    assert world.ask(session="s2").key is None
    assert world.ask(session="s1", renews=True).result_code != ResultCode.SUCCESS
    assert world.end("s1", "ha1.home.test") == ResultCode.SUCCESS
    assert not world.held()
    assert world.told(SessionEnded) == [SessionEnded(world.now, MN, "terminated")]


def test_a_session_that_no_home_agent_has_asked_for_ends_with_the_nas(world):
    _, access = world.authenticate()
    assert world.end(access) == ResultCode.SUCCESS
    assert not world.held()
    assert len(world.sessions) == 0


def test_a_session_at_a_home_agent_with_its_own_keys_ends_with_its_time(world):
    _, access = world.authenticate(agent=LOCAL)
    assert world.end(access) == ResultCode.SUCCESS
    assert world.held()
    world.now += LIFETIME
    world.sessions.handle_timeout(world.now)
    assert not world.held()


def test_a_home_agent_that_has_ended_its_session_may_ask_again(world):
    world.authenticate()
    world.ask()
    assert world.end("s1", "ha1.home.test") == ResultCode.SUCCESS
    assert world.held()
    assert world.ask(session="s2").key


@pytest.mark.parametrize("host", ["ha2.home.test", "ar2.visited.test"])
def test_nobody_ends_the_session_of_another(world, host):
    _, access = world.authenticate()
    world.ask()
    assert world.end(access, host) == ResultCode.UNKNOWN_SESSION_ID
    assert world.end("s1", host) == ResultCode.UNKNOWN_SESSION_ID
    assert world.ask().key


def test_the_word_of_a_nas_that_the_mobile_node_has_left_does_not_count(world):
    _, access = world.authenticate()
    world.authenticate(client="ar2.visited.test")
    assert world.end(access) == ResultCode.UNKNOWN_SESSION_ID
    assert world.ask().key


def test_the_word_about_an_authentication_that_another_has_replaced_does_not_count(world):
    _, before = world.authenticate()
    _, after = world.authenticate()
    assert world.end(before) == ResultCode.UNKNOWN_SESSION_ID
    assert world.held()
    assert world.end(after) == ResultCode.SUCCESS


def test_only_the_home_agent_that_has_a_session_can_renew_it(world):
    world.authenticate()
    world.ask(session="s1")
    answer = world.ask(host="ha2.home.test", session="s1", renews=True)
    assert answer.result_code != ResultCode.SUCCESS
    world.now += 80.0
    world.authenticate()
    world.now += 10.0
    answer = world.ask(session="s1", renews=True)
    assert (answer.result_code, answer.key, answer.lifetime) == (ResultCode.SUCCESS, None, 90.0)


def test_the_session_that_a_home_agent_renews_is_the_one_that_counts(world):
    """The answer about a later one was lost, or its question has given way to others."""
    world.authenticate()
    world.ask(session="s1")
    world.ask(session="lost")
    world.authenticate()
    assert world.ask(session="s1", renews=True).result_code == ResultCode.SUCCESS
    assert world.end("lost", "ha1.home.test") == ResultCode.UNKNOWN_SESSION_ID
    world.orders()
    world.sessions.withdraw_subscriber(MN, world.now)
    assert world.orders() == [(Command.ABORT_SESSION, "s1", "ha1.home.test")]


def test_a_home_agent_renews_what_the_server_has_forgotten_and_authorised_again(world):
    world.authenticate()
    world.ask(session="s1")
    restarted = World(world.leases)
    assert restarted.ask(session="s1", renews=True).result_code != ResultCode.SUCCESS
    restarted.authenticate()
    assert restarted.ask(session="s1", renews=True).result_code == ResultCode.SUCCESS


def test_a_withdrawn_subscriber_that_had_moved_loses_what_it_had_before_too(world):
    world.authenticate()
    world.ask(session="s1")
    world.authenticate(agent=HA2)
    world.ask(session="t1", host="ha2.home.test")
    world.orders()
    world.sessions.withdraw_subscriber(MN, world.now)
    assert sorted(world.orders()) == [
        (Command.ABORT_SESSION, "s1", "ha1.home.test"),
        (Command.ABORT_SESSION, "t1", "ha2.home.test"),
    ]


def test_a_lease_without_a_session_is_withdrawn_too(world):
    world.authenticate()
    restarted = World(world.leases)
    assert restarted.sessions.withdraw_subscriber("mn@HOME.test", restarted.now)
    assert not restarted.held()
    assert restarted.told(SessionEnded) == [SessionEnded(restarted.now, MN, "withdrawn")]
    assert not restarted.sessions.withdraw_subscriber(MN, restarted.now)


def test_a_withdrawn_subscriber_has_neither_key_nor_lease_and_its_home_agent_is_told(world):
    world.authenticate()
    world.ask()
    world.sessions.withdraw_subscriber("mn@HOME.test", world.now)
    assert world.orders() == [(Command.ABORT_SESSION, "s1", "ha1.home.test")]
    assert not world.held()
    assert world.ask().key is None
    world.sessions.withdraw_subscriber(MN, world.now)
    assert world.orders() == []


def test_its_nas_is_told_too(world):
    _, session = world.authenticate()
    world.sessions.withdraw_subscriber(MN, world.now)
    (order,) = world.all_orders()
    assert (order.command, order.session_id) == (Command.ABORT_SESSION, session)
    assert (order.destination_host, order.destination_realm) == (NAS, REALM)
    assert order.application == APPLICATION_EAP
    assert world.end(session) == ResultCode.UNKNOWN_SESSION_ID  # It has been ended here.


def test_a_nas_that_it_has_moved_away_from_is_told_too(world):
    world.authenticate()
    _, before = world.authenticate()
    _, after = world.authenticate(client="ar2.visited.test")
    world.sessions.withdraw_subscriber(MN, world.now)
    orders = [(order.session_id, order.destination_host) for order in world.all_orders()]
    assert orders == [(before, NAS), (after, "ar2.visited.test")]
    world.authenticate(client="ar2.visited.test")
    world.authenticate()
    world.authenticate(client="ar2.visited.test")
    world.authenticate()
    world.sessions.withdraw_subscriber(MN, world.now)
    assert len(world.all_orders()) == 2


def test_a_nas_that_has_ended_its_session_is_told_nothing(world):
    _, session = world.authenticate()
    world.ask()
    assert world.end(session) == ResultCode.SUCCESS
    assert not world.sessions.reauthenticate(MN)
    world.sessions.withdraw_subscriber(MN, world.now)
    assert [order.destination_host for order in world.all_orders()] == ["ha1.home.test"]


def test_a_nas_is_told_to_authenticate_its_subscriber_anew(world):
    assert not world.sessions.reauthenticate(MN)
    world.authenticate()
    _, session = world.authenticate()
    world.all_orders()
    assert world.sessions.reauthenticate("mn@HOME.test")
    (order,) = world.all_orders()
    assert (order.command, order.session_id) == (Command.RE_AUTH, session)
    assert (order.destination_host, order.re_auth) == (NAS, ANEW)
    assert world.held()


@pytest.mark.parametrize(
    ("assignment", "place"), [(None, None), (Assignment(LOCAL, 64, LOCAL + 1), Place.LOCAL)]
)
def test_a_nas_is_told_of_who_has_no_home_agent_at_home(world, assignment, place):
    session = world.admit(assignment, place)
    assert world.ask().key is None
    assert world.sessions.reauthenticate(MN)
    assert world.sessions.withdraw_subscriber(MN, world.now)
    orders = [(order.command, order.session_id) for order in world.all_orders()]
    assert orders == [(Command.RE_AUTH, session), (Command.ABORT_SESSION, session)]
    assert len(world.sessions) == 0


def test_access_alone_ends_with_its_nas_word_or_its_time(world):
    session = world.admit()
    assert world.end(session) == ResultCode.SUCCESS
    assert len(world.sessions) == 0
    world.admit()
    world.now += LIFETIME
    world.sessions.handle_timeout(world.now)
    assert len(world.sessions) == 0


def test_access_alone_leaves_what_a_home_agent_serves_as_it_is(world):
    world.authenticate()
    world.ask()
    session = world.admit()
    assert world.held()
    assert world.end(session) == ResultCode.SUCCESS
    assert world.held()
    restarted = World(world.leases)
    session = restarted.admit()
    assert restarted.end(session) == ResultCode.SUCCESS
    assert restarted.held()


def test_a_home_agent_that_carries_eap_is_no_nas(world):
    world.admit(client=BY_EAP)
    assert len(world.sessions) == 0


def test_a_home_agent_hears_that_its_subscriber_is_authorised_for_longer(world):
    world.authenticate()
    assert world.orders() == []
    world.ask()
    world.authenticate()
    assert world.orders() == [(Command.RE_AUTH, "s1", "ha1.home.test")]
    world.authenticate(agent=HA2)
    assert world.orders() == []


def test_an_address_is_nobody_elses_until_the_last_authorisation_for_it_ends(world):
    world.authenticate()
    address = world.leases.find(MN).address
    world.sessions.withdraw_subscriber(MN, world.now)
    only = AddressRange(address, address)
    with pytest.raises(Exception, match="whose authorisation has not ended"):
        world.leases.lease(OTHER, str(HA1), only)


# IKE that begins before EAP ends

ROOT = bytes(64)
ASSIGNED = Assignment(HA1, 64, HA1 + 0x1234)


def verify(world):
    world.sessions.expect(SubscriberVerified(world.now, MN, ASSIGNED, COA, ROOT))


def test_who_asks_before_the_end_of_eap_waits_for_it(world):
    verify(world)
    answers = []
    answer = world.ask()
    assert isinstance(answer, Later)
    answer.then(answers.append)
    assert answers == []
    key, _ = world.authenticate()
    assert [a.key for a in answers] == [key]


def test_who_waits_for_the_end_of_eap_is_refused_if_that_is_a_failure(world):
    verify(world)
    answers = []
    world.ask().then(answers.append)
    world.sessions.withdraw(VerificationWithdrawn(world.now, MN, ASSIGNED, ROOT))
    assert [a.result_code for a in answers] == [ResultCode.AUTHORIZATION_REJECTED]
    assert len(world.sessions) == 0


def test_nobody_who_asks_in_a_subscribers_name_keeps_it_from_its_key(world):
    verify(world)
    first, second = [], []
    world.ask(session="s1").then(first.append)
    world.ask(session="s2").then(second.append)
    assert first == second == []
    key, _ = world.authenticate()
    assert [a.key for a in first + second] == [key, key]


def test_no_more_wait_than_a_home_agent_asks_at_once(world):
    verify(world)
    answers = []
    for number in range(MAXIMUM_WAITING + 1):
        world.ask(session=f"s{number}").then(answers.append)
    assert [a.session_id for a in answers] == ["s0"]
    world.authenticate()
    assert len(answers) == MAXIMUM_WAITING + 1


def test_a_home_agent_to_which_nobody_comes_is_refused_at_once(world):
    verify(world)
    assert world.ask(host="ha2.home.test") == world.ask(OTHER, host="ha2.home.test")


def test_a_session_that_ends_meanwhile_leaves_nobody_waiting(world):
    world.authenticate()
    verify(world)
    answers = []
    world.ask().then(answers.append)
    world.sessions.withdraw_subscriber(MN, world.now)
    assert [a.result_code for a in answers] == [ResultCode.AUTHORIZATION_REJECTED]


@pytest.mark.parametrize("client", [BY_EAP, "ha1.home.test"])
def test_a_home_agent_that_carries_eap_is_told_to_end_its_session_too(world, client):
    world.authenticate()
    _, session = world.authenticate(client=client)
    assert world.sessions.withdraw_subscriber(MN, world.now)
    applications = {one.application for one in world.sessions.outbox}
    assert world.orders() == [(Command.ABORT_SESSION, session, client)]
    assert applications == {APPLICATION_EAP}
    assert not world.held()


def test_its_last_word_ends_the_session_at_the_home_agent_alone(world):
    _, access = world.authenticate()
    _, session = world.authenticate(client="ha1.home.test")
    assert world.end(session, "ha1.home.test") == ResultCode.SUCCESS
    assert world.held()
    assert world.end(access) == ResultCode.SUCCESS
    assert not world.held()


def test_a_home_agent_that_carried_eap_is_told_after_the_subscriber_has_moved(world):
    _, first = world.authenticate(client="ha1.home.test")
    _, second = world.authenticate(agent=HA2, client="ha2.home.test")
    assert world.sessions.withdraw_subscriber(MN, world.now)
    assert set(world.orders()) == {
        (Command.ABORT_SESSION, first, "ha1.home.test"),
        (Command.ABORT_SESSION, second, "ha2.home.test"),
    }


def test_a_nas_that_is_started_again_has_no_session_any_more(world):
    world.authenticate()
    world.authenticate(OTHER, care_of=ELSEWHERE, client="other.visited.test", root=2)
    world.sessions.handle_restart(NAS, world.now)
    assert not world.held()
    assert world.held(OTHER)
    (ended,) = world.told(SessionEnded)
    assert (ended.identity, ended.reason) == (MN, f"{NAS} has been started again")
    assert world.sessions.nas_of(OTHER) == "other.visited.test"


def test_what_its_subscribers_have_at_a_home_agent_goes_on(world):
    world.authenticate()
    world.ask()
    world.sessions.handle_restart(NAS, world.now)
    assert world.held()
    assert world.told(SessionEnded) == []
    assert world.end("s1", "ha1.home.test") == ResultCode.SUCCESS
    assert not world.held()


def test_a_home_agent_that_is_started_again_may_ask_again(world):
    key, _ = world.authenticate()
    world.ask()
    world.sessions.handle_restart("ha1.home.test", world.now)
    assert world.held()
    assert world.ask(session="s2").key == key


def test_the_sessions_of_a_home_agent_with_its_own_keys_end_with_their_time(world):
    world.authenticate(agent=LOCAL)
    world.sessions.handle_restart(NAS, world.now)
    assert world.held()
