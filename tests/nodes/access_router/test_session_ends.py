"""Whose session is over, the AAA server hears; and what it wants of a session is done."""

from __future__ import annotations

import pytest

from agents.diameter import dictionary as d
from agents.diameter.dictionary import APPLICATION_EAP, AuthSessionState, Command
from agents.diameter.errors import ResultCode
from agents.diameter.sessions import SessionRequest
from agents.pana.events import Authenticated
from agents.pana.pac_table import PacState
from tests.nodes.aaa import SERVER
from tests.nodes.access_router.world import World
from tests.nodes.net import COA, OTHER_COA

ALICE, BOB = (str(COA), 716), (str(OTHER_COA), 716)
ANEW = d.ReAuthRequestType.AUTHORIZE_AUTHENTICATE


class Keeping(World):
    """The AAA server wants to hear of ends."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.aaa.granted = {"auth_session_state": AuthSessionState.STATE_MAINTAINED}

    def sessions(self):
        """Return the sessions that were asked for, in their order."""
        return list(dict.fromkeys(request.session_id for request in self.aaa.asked))

    def order(self, command, session_id, server=SERVER.host):
        """Have the server order something; return what the answer says, if one comes."""
        before = len(self.aaa.heard)
        self.aaa.order(
            SessionRequest(
                command=command,
                session_id=session_id,
                application=APPLICATION_EAP,
                origin_host=server,
                origin_realm=SERVER.realm,
                destination_realm="test",
                destination_host="b.test",
                re_auth=ANEW,
            )
        )
        self.net.run(2.0)
        said = [message for message in self.aaa.heard[before:] if not message.request]
        return d.RESULT_CODE.need(said[0].avps) if said else None


@pytest.fixture
def world():
    return Keeping(reauth_at=0.0, session_lifetime=1000.0)


def gone(world, alice):
    alice.vanish()
    assert world.router.commands()["ping"]()


def silent(world, alice):
    alice.vanish()
    world.net.run(1000.0)


def terminated(_, alice):
    assert alice.do("terminate")


def put_out(world, _):
    assert world.router.commands()["terminate"]()


def refused(world, alice):
    world.aaa.granted = {"result_code": ResultCode.AUTHENTICATION_REJECTED}
    assert alice.do("reauthenticate")


def stopped(world, _):
    world.router.stop(lambda: None)


@pytest.mark.parametrize("ends", [terminated, put_out, gone, silent, refused, stopped])
def test_however_a_session_ends_the_aaa_server_hears_it_once(world, ends):
    alice = world.bootstrap(ALICE)
    session = world.sessions()[0]
    assert world.aaa.ended() == []
    ends(world, alice)
    world.net.run(400.0)
    assert world.open() == set()
    assert world.aaa.ended() == [session]


def test_of_a_session_that_was_renewed_the_last_one_ends(world):
    alice = world.bootstrap(ALICE)
    alice.do("reauthenticate")
    world.net.run(1.0)
    alice.do("terminate")
    world.net.run(1.0)
    assert world.aaa.ended() == world.sessions()[1:]


def test_what_is_granted_and_cannot_be_kept_is_ended(world):
    world.aaa.granted |= {"unknown": (d.IDLE_TIMEOUT.avp(60),)}
    world.bootstrap(ALICE)
    world.net.run(1.0)
    assert world.open() == set()
    assert world.aaa.ended() == world.sessions()


def test_a_server_that_keeps_no_state_hears_nothing():
    world = World()
    alice = world.bootstrap(ALICE)
    alice.do("terminate")
    world.net.run(1.0)
    assert world.aaa.ended() == []


def test_who_is_let_in_is_told_when_the_access_router_stops(world):
    alice = world.bootstrap(ALICE)
    ended = []
    world.router.stop(lambda: ended.append(True))
    assert world.net.run(10.0, lambda: ended)
    world.net.run(1.0)
    assert alice.pac.state is PacState.CLOSED
    assert world.open() == set()
    assert not world.net.stacks["B"].sockets


@pytest.mark.parametrize("busy", ["reauthenticate", "ping"])
def test_who_is_busy_then_loses_access_all_the_same(world, busy):
    world.bootstrap(ALICE)
    assert world.router.commands()[busy]()
    world.router.stop(lambda: None)
    world.net.run(1.0)
    assert world.open() == set()
    assert world.aaa.ended() == world.sessions()[:1]


def test_the_server_aborts_a_session(world):
    alice = world.bootstrap(ALICE)
    world.bootstrap(BOB)
    session = world.sessions()[0]
    assert world.order(Command.ABORT_SESSION, session) == ResultCode.SUCCESS
    assert world.open() == {BOB[0]}
    assert alice.pac.state is PacState.CLOSED
    answer, request = world.aaa.heard
    assert (answer.command, answer.request) == (Command.ABORT_SESSION, False)
    assert (request.command, request.request) == (Command.SESSION_TERMINATION, True)
    assert world.aaa.ended() == [session]


def test_nobody_else_does(world):
    world.bootstrap(ALICE)
    unknown = ResultCode.UNKNOWN_SESSION_ID
    session = world.sessions()[0]
    assert world.order(Command.ABORT_SESSION, session, server="other.home.test") != 2001
    assert world.order(Command.ABORT_SESSION, "another") == unknown
    assert world.order(Command.RE_AUTH, "another") == unknown
    assert world.order(Command.SESSION_TERMINATION, session) != 2001
    assert world.open() == {ALICE[0]}


def test_a_session_that_is_over_is_not_ended_again(world):
    alice = world.bootstrap(ALICE)
    alice.do("terminate")
    world.net.run(1.0)
    session = world.sessions()[0]
    assert world.order(Command.ABORT_SESSION, session) == ResultCode.UNKNOWN_SESSION_ID
    assert world.aaa.ended() == [session]


def test_what_is_aborted_before_it_is_granted_is_not_granted(world):
    world.aaa.holds = lambda request: not world.aaa.asks(request)
    world.bootstrap(ALICE)
    session = world.sessions()[0]
    assert world.order(Command.ABORT_SESSION, session) == ResultCode.SUCCESS
    world.aaa.release()
    world.net.run(1.0)
    assert world.open() == set()
    assert world.aaa.ended() == [session]


def test_what_is_aborted_while_it_is_renewed_ends_when_that_is_over(world):
    alice = world.bootstrap(ALICE)
    world.aaa.holds = lambda request: not world.aaa.asks(request)
    alice.do("reauthenticate")
    world.net.run(1.0)
    before, renewed = world.sessions()
    assert world.order(Command.ABORT_SESSION, before) == ResultCode.SUCCESS
    world.aaa.release()
    world.net.run(1.0)
    assert world.open() == set()
    assert world.aaa.ended() == [renewed]


def test_the_server_has_a_mobile_node_authenticate_anew(world):
    alice = world.bootstrap(ALICE)
    session = world.sessions()[0]
    assert world.order(Command.RE_AUTH, session) == ResultCode.SUCCESS
    assert len(alice.only(Authenticated)) == 2
    assert world.open() == {ALICE[0]}
    assert world.aaa.ended() == []
    assert world.order(Command.RE_AUTH, session) == ResultCode.UNKNOWN_SESSION_ID
    assert world.order(Command.RE_AUTH, world.sessions()[1]) == ResultCode.SUCCESS
    assert len(alice.only(Authenticated)) == 3


@pytest.mark.parametrize("busy", ["reauthenticate", "ping"])
def test_once_when_it_is_about_to_or_behind_a_ping(world, busy):
    alice = world.bootstrap(ALICE)
    assert world.router.commands()[busy]()
    assert world.order(Command.RE_AUTH, world.sessions()[0]) == ResultCode.SUCCESS
    assert len(alice.only(Authenticated)) == 2
