"""The session's life in both dialects: lifetime, renewal, new addresses, many PaCs, many timers."""

import random

import pytest

from agents.bootstrap.assignment import Assignment
from agents.pana.config import PaaConfig, PacConfig
from agents.pana.draft12 import DRAFT12
from agents.pana.events import (
    AddressChanged,
    Authenticated,
    Authorised,
    ErrorReported,
    Failed,
    PingAnswered,
    Terminated,
    Updated,
)
from agents.pana.mobility import MobilityCapability
from agents.pana.paa import Paa
from agents.pana.paa_table import PaaState
from agents.pana.pac import Pac
from agents.pana.pac_table import PacState
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import Kind, TerminationCause
from tests.pana.fakes import ASSIGNMENT, MSK, PAA, PAC, FakeAaa, FakePeer, World, reasons, send


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


@pytest.fixture
def opened(dialect):
    def make(**settings):
        settings.setdefault("pac", {}).setdefault("renew_eap", FakePeer)
        return World(dialect=dialect, **settings).bootstrap(5)

    return make


def test_the_session_ends_with_its_lifetime_on_both_sides(opened):
    world = opened(aaa=FakeAaa(lifetime=50))
    world.link.run(200)
    (mine,), (theirs,) = world.pac_events(Terminated), world.server.only(Terminated)
    assert mine.cause == theirs.cause == "SESSION_TIMEOUT"
    assert (mine.at, theirs.at) == (pytest.approx(50.1), pytest.approx(50.11))
    assert not world.paa.may_pass(PAC[0])
    assert world.pac.next_timeout() is world.paa.next_timeout() is None
    assert len(world.paa.sessions) == 0


@pytest.mark.parametrize(
    "cause", [TerminationCause.ADMINISTRATIVE, TerminationCause.SESSION_TIMEOUT]
)
def test_the_paas_causes(opened, cause):
    world = opened()
    assert world.paa.terminate(world.session_id, 5.0, cause)
    world.link.run(20)
    assert [event.cause for event in world.pac_events(Terminated)] == [cause.name]
    assert [event.cause for event in world.server.only(Terminated)] == [cause.name]


def test_a_renewal_renews_the_lifetime_and_may_change_the_home_agent(opened):
    aaa = FakeAaa(lifetime=50)
    world = opened(aaa=aaa)
    other = Assignment(ASSIGNMENT.home_agent, 64, None, "ha2.example.org")
    aaa._lifetime, aaa._assignment = 100, other
    assert world.pac.reauthenticate(20.0)
    world.link.now = 20.0
    world.link.run(60)
    assert world.pac.state is PacState.OPEN
    again = world.pac_events(Authenticated)[1]
    assert (again.lifetime, again.assignment) == (100, other)
    world.link.run(200)
    assert world.pac_events(Terminated)[0].at == pytest.approx(120.1, abs=0.1)


def test_the_old_key_holds_until_the_final_exchange(opened):
    aaa, new = FakeAaa(), b"another key " * 5
    world = opened(aaa=aaa, pac={"renew_eap": lambda: FakePeer(msk=new)})
    aaa._msk = new
    old = world.session().transactions.sa
    world.paa.reauthenticate(world.session_id, 5.0)
    world.link.run(20)
    new_sa = world.session().transactions.sa
    assert new_sa.key != old.key
    for (_, _, data), message in zip(world.link.sent[11:], world.messages(11), strict=True):
        key = new_sa if message.kind is Kind.RESULT else old
        assert key.verify(data, message)


def test_both_sides_renew_at_once(opened):
    world = opened()
    assert world.pac.reauthenticate(5.0)
    assert world.paa.reauthenticate(world.session_id, 5.0)
    world.link.run(60)
    assert world.pac.state is PacState.OPEN
    assert world.session().state is PaaState.OPEN


@pytest.mark.parametrize("lost", [(), (11,), (12,), (11, 12), (11, 12, 13)])
@pytest.mark.parametrize("what", ["ping", "update"])
def test_the_paa_renews_while_the_pac_waits(opened, what, lost):
    world = opened(drop=lost)
    assert getattr(world.pac, what)(5.0)
    assert world.paa.reauthenticate(world.session_id, 5.0)
    world.link.run(60)
    answered = Updated if what == "update" else PingAnswered
    assert len(world.pac_events(answered)) == 1
    assert len(world.server.only(Authorised)) == 2
    # Both still agree on the sequence numbers.
    assert world.pac.terminate(60.0)
    world.link.run(80)
    assert len(world.server.only(Terminated)) == 1


@pytest.mark.parametrize("lost", [(), (11,), (12,), (11, 12), (11, 12, 13)])
def test_the_pac_renews_while_the_paa_waits(opened, lost):
    world = opened(drop=lost)
    assert world.paa.ping(world.session_id, 5.0)
    assert world.pac.reauthenticate(5.0)
    world.link.run(60)
    assert len(world.server.only(PingAnswered)) == 1
    assert len(world.server.only(Authorised)) == 2
    assert world.paa.terminate(world.session_id, 60.0)
    world.link.run(80)
    assert len(world.pac_events(Terminated)) == 1


@pytest.mark.parametrize("lost", range(11, 30))
def test_renewal_survives_any_loss_while_both_begin_it(opened, lost):
    world = opened(drop={lost})
    world.pac.reauthenticate(5.0)
    world.paa.reauthenticate(world.session_id, 5.0)
    world.link.run(90)
    assert len(world.server.only(Authorised)) >= 2
    assert world.pac.state is PacState.OPEN
    assert world.session().state is PaaState.OPEN


def test_a_sealed_assignment_and_a_name_are_handed_on(dialect):
    named = Assignment(ASSIGNMENT.home_agent, 64, ASSIGNMENT.home_address, "ha.example.org")

    class Aaa(FakeAaa):
        def handle(self, paa, response):
            sealed, accept = b"sealed for the mobile node", paa.accept
            paa.accept = lambda *args: accept(*args, sealed=sealed)
            super().handle(paa, response)
            paa.accept = accept

    world = World(dialect=dialect, aaa=Aaa(assignment=named)).bootstrap(5)
    (authenticated,) = world.pac_events(Authenticated)
    assert authenticated.sealed == b"sealed for the mobile node"
    assert authenticated.assignment == named
    assert "sealed" not in repr(authenticated)
    deaf = World(dialect=dialect, aaa=Aaa(), pac={"mobility": MobilityCapability(0)}).bootstrap(5)
    assert deaf.pac_events(Authenticated)[0].sealed is None


# A new address.


class Roamer:
    """A PaC whose messages come from an address that changes on the way."""

    def __init__(self, world):
        self.world, self.address, self.now = world, PAC, 5.0

    def talk(self):
        """Carry messages until nobody has any."""
        pac, server = self.world.pac, self.world.server
        while pac.outbox or server.outbox:
            while pac.outbox:
                server.handle_message(pac.outbox.popleft()[0], self.address, self.now)
            while server.outbox:
                data, to = server.outbox.popleft()
                if to == self.address:
                    pac.handle_message(data, PAA, self.now)


def test_a_pac_moves_and_moves_on(opened):
    world = opened()
    roamer = Roamer(world)
    places = [(f"2001:db8:1::{n:x}", 716) for n in (0x20, 0x21, 0x22)]
    for place in places:
        roamer.address = place
        assert world.pac.update(roamer.now)
        roamer.talk()
    changes = world.server.only(AddressChanged)
    assert [(event.old, event.pac) for event in changes] == [
        (PAC, places[0]),
        (places[0], places[1]),
        (places[1], places[2]),
    ]
    assert len(world.pac_events(Updated)) == 3
    assert world.pac_events(PingAnswered) == []
    assert [world.paa.may_pass(host) for host, _ in (PAC, *places)] == [False] * 3 + [True]
    # The session is the same, and works from there.
    assert world.pac.reauthenticate(roamer.now)
    roamer.talk()
    assert len(world.server.only(Authorised)) == 2
    assert world.server.only(Authorised)[1].pac == places[2]
    assert world.pac.terminate(roamer.now)
    roamer.talk()
    assert world.server.only(Terminated)[0].pac == places[2]


@pytest.mark.parametrize("lost", [(11,), (12,), (11, 12)])
def test_a_lost_update_is_made_good(opened, lost):
    world = opened(drop=lost)
    assert world.pac.update(5.0)
    world.link.run(20)
    assert len(world.pac_events(Updated)) == 1
    assert world.pac.state is PacState.OPEN


def test_an_update_is_refused_outside_the_access_phase(dialect):
    world = World(dialect=dialect)
    assert not world.pac.update(0.0)
    world = world.bootstrap(5)
    assert world.pac.ping(5.0)
    assert not world.pac.update(5.0)
    world.link.run(6)
    assert len(world.pac_events(PingAnswered)) == 1


def test_an_update_that_nobody_answers_ends_the_session(opened):
    world = opened(drop=range(11, 99))
    assert world.pac.update(5.0)
    world.link.run(500)
    assert "last retransmission" in world.pac_events(Terminated)[0].cause


# An AAA that does not answer.


def test_an_unreachable_aaa_ends_the_authentication(dialect):
    class Aaa(FakeAaa):
        def handle(self, paa, response):
            self.responses.append(response)
            if len(self.responses) < 3:
                super().handle(paa, response)
            else:
                paa.eap_timeout(response.session_id, response.at)

    world = World(dialect=dialect, aaa=Aaa()).bootstrap(100)
    (failed,) = world.server.only(Failed)
    assert failed.reason == "the AAA server cannot be reached"
    assert failed.at < 1
    assert len(world.pac_events(Failed)) == 1
    assert bool(world.pac_events(ErrorReported)) is (dialect is DRAFT12)
    assert len(world.paa.sessions) == 0


def test_a_late_word_of_a_dead_aaa_is_an_event(opened):
    world = opened()
    world.paa.eap_timeout(world.session_id, 6.0)
    world.paa.eap_timeout(12345, 6.0)
    assert len(reasons(world.paa.events)) == 2
    assert world.session().state is PaaState.OPEN


def test_a_renewal_that_the_aaa_does_not_answer_ends_the_session(opened):
    aaa = FakeAaa()
    world = opened(aaa=aaa)
    aaa.handle = lambda paa, response: paa.eap_timeout(response.session_id, response.at)
    world.pac.reauthenticate(5.0)
    world.link.run(60)
    assert len(world.server.only(Terminated)) == len(world.pac_events(Terminated)) == 1


# Many.


def crowd(dialect, size, **settings):
    """A PAA with this many open sessions, and its PaCs with their addresses."""
    server = World(dialect=dialect, paa={"max_half_open": size, **settings}).server
    config = PacConfig(dialect=dialect)
    pacs = [
        (Pac(PAA, FakePeer(), config, rng=random.Random(n)), (f"2001:db8:1::{n:x}", 716))
        for n in range(1, size + 1)
    ]
    places = {place: pac for pac, place in pacs}
    for pac, _ in pacs:
        pac.start(0.0)
    moving = True
    while moving:
        moving = False
        for pac, place in pacs:
            while pac.outbox:
                moving = True
                server.handle_message(pac.outbox.popleft()[0], place, 0.1)
        while server.outbox:
            data, to = server.outbox.popleft()
            places[to].handle_message(data, PAA, 0.1)
    return server, pacs


def test_many_pacs_keep_apart(dialect):
    server, pacs = crowd(dialect, 60)
    assert {event.pac for event in server.only(Authorised)} == {place for _, place in pacs}
    assert all(pac.state is PacState.OPEN for pac, _ in pacs)
    assert {
        event.msk for pac, _ in pacs for event in pac.events if type(event) is Authenticated
    } == {MSK}
    # One logs out, and the others stay.
    pac, place = pacs[7]
    pac.terminate(1.0)
    assert len(send(server, pac.outbox.popleft()[0], place, 1.0)) == 1
    assert [server.paa.may_pass(host) for _, (host, _) in pacs].count(False) == 1
    # All end with their lifetime, in one go.
    server.handle_timeout(700.0)
    server.handle_message(b"", PAC, 700.0)
    assert len(server.only(Terminated)) == 60
    assert server.paa.next_timeout() is None
    assert len(server.paa.sessions) == 0
    assert not server.paa.sessions.hosts


def test_the_next_timeout_is_looked_up_and_not_searched_for(dialect):
    server, _ = crowd(dialect, 40)
    looked_at = []
    for session in server.paa.sessions:
        session.next_timeout = lambda: looked_at.append(1)
    for _ in range(100):
        assert server.paa.next_timeout() == pytest.approx(600.1)
        server.paa.handle_timeout(300.0)
    assert looked_at == []


def test_a_paa_without_sessions_has_no_timer():
    assert Paa(PaaConfig(), rng=random.Random(1)).next_timeout() is None
