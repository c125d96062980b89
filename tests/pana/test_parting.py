"""PaC and PAA do not part in silence: what one believes open, the other has open, or says so."""

import pytest

from agents.pana.draft12 import DRAFT12
from agents.pana.events import Authenticated, Authorised, Failed, Rejected, Terminated
from agents.pana.paa_table import PaaState
from agents.pana.pac_table import PacState
from agents.pana.rfc5191 import RFC5191
from tests.pana.fakes import PAA, PAC, FakeAaa, FakePeer, World, reasons


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


class Line:
    """Loses everything between two times, in one direction or both; and datagrams by number."""

    world = None

    def __init__(self, since, until, *, back):
        self.since, self.until, self.back = since, until, back
        self.lost = set()

    def __call__(self, data):
        _, source, _ = self.world.link.sent[-1]
        if len(self.world.link.sent) - 1 in self.lost:
            return None
        lost = self.since <= self.world.link.now < self.until
        return None if lost and (self.back or source == PAC) else data


def interrupted(dialect, since, until, *, back=True, **settings):
    """A world whose link is down for a while."""
    line = Line(since, until, back=back)
    settings.setdefault("pac", {}).setdefault("renew_eap", FakePeer)
    line.world = world = World(dialect=dialect, tamper=line, **settings)
    world.line = line
    return world


def open_at_the_paa(world):
    return world.paa.may_pass(PAC[0])


@pytest.mark.parametrize("until", [5.0, 25.0, 40.0, 120.0])
def test_a_last_answer_that_is_lost_for_long_still_opens(dialect, until):
    # From 0.09 s on what the PaC sends is lost: its final answer, which it takes for granted.
    world = interrupted(dialect, 0.085, until, back=False).bootstrap(until)
    assert world.pac.state is PacState.OPEN
    assert open_at_the_paa(world)
    world.link.run(200)
    assert len(world.server.only(Authorised)) == len(world.pac_events(Authenticated)) == 1
    assert world.server.only(Failed) == world.server.only(Terminated) == []


def test_a_pac_whose_last_answer_never_came_is_told_when_it_is_heard(dialect):
    world = interrupted(dialect, 0.085, 250.0, back=False).bootstrap(250)
    assert world.pac.state is PacState.OPEN
    assert not open_at_the_paa(world)
    assert len(world.server.only(Failed)) == 1
    assert world.pac.ping(250.0)
    world.link.run(300)
    assert [event.cause for event in world.pac_events(Terminated)] == ["ADMINISTRATIVE"]
    assert world.pac.state is PacState.CLOSED
    assert world.server.only(Terminated) == []
    world.link.run(400)
    assert len(world.paa.sessions) == 0


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("what", ["ping", "reauthenticate", "update"])
@pytest.mark.parametrize("asked", ["ping", "terminate"])
def test_a_pac_that_was_silent_for_long_is_told(dialect, asked, what, back):
    world = interrupted(dialect, 5.0, 230.0, back=back).bootstrap(5)
    getattr(world.paa, asked)(world.session_id, 5.0)
    world.link.run(235)
    assert len(world.server.only(Terminated)) == 1
    assert not open_at_the_paa(world)
    if asked == "terminate" and not back:
        assert world.pac.state is PacState.CLOSED  # It heard of it.
        return
    assert world.pac.state is PacState.OPEN
    assert getattr(world.pac, what)(235.0)
    world.link.run(300)
    assert len(world.pac_events(Terminated)) == 1
    assert world.pac_events(Terminated)[0].at < 237
    assert len(world.server.only(Terminated)) == 1


@pytest.mark.parametrize("lost", range(8))
def test_telling_it_survives_loss(dialect, lost):
    world = interrupted(dialect, 5.0, 230.0).bootstrap(5)
    world.paa.ping(world.session_id, 5.0)
    world.link.run(235)
    world.line.lost.add(len(world.link.sent) + lost)
    world.pac.ping(235.0)
    world.link.run(300)
    assert len(world.pac_events(Terminated)) == 1


def test_a_renewal_that_the_pac_never_hears_of_ends_aloud(dialect):
    world = interrupted(dialect, 5.0, 45.0).bootstrap(5)
    world.paa.reauthenticate(world.session_id, 5.0)
    world.link.run(45)
    assert not open_at_the_paa(world)
    assert world.pac.state is PacState.OPEN
    assert world.pac.ping(45.0)
    world.link.run(120)
    assert len(world.pac_events(Terminated)) == 1


def test_a_pac_that_logs_out_late_is_answered(dialect):
    world = interrupted(dialect, 5.0, 230.0).bootstrap(5)
    world.paa.ping(world.session_id, 5.0)
    world.link.run(235)
    assert world.pac.terminate(235.0)
    world.link.run(237)
    assert [event.cause for event in world.pac_events(Terminated)] == ["LOGOUT"]
    assert len(world.server.only(Terminated)) == 1


def test_what_is_kept_of_a_lost_pac_ends_with_its_lifetime(dialect):
    world = interrupted(dialect, 5.0, 9999.0).bootstrap(5)
    session = world.session_id
    world.paa.ping(session, 5.0)
    world.link.run(300)
    assert world.paa.sessions.get(session).state is PaaState.LOST
    world.link.run(700)
    assert len(world.paa.sessions) == 0
    assert world.paa.next_timeout() is None


def test_a_lost_pac_may_begin_anew_and_the_old_session_goes(dialect):
    world = interrupted(dialect, 5.0, 230.0).bootstrap(5)
    world.paa.ping(world.session_id, 5.0)
    world.link.run(235)
    again = World(dialect=dialect, seed=5)
    again.link = type(again.link)(again.pac, PAC, world.server, PAA)
    again.link.now = 235.0
    again.pac.start(235.0)
    again.link.run(240)
    assert len(world.paa.sessions) == 1
    assert open_at_the_paa(world)


def test_a_refused_renewal_ends_the_access_at_once(dialect):
    aaa = FakeAaa()
    world = World(dialect=dialect, aaa=aaa, pac={"renew_eap": FakePeer}).bootstrap(5)
    aaa._code = 1
    assert world.pac.reauthenticate(5.0)
    while not world.server.only(Terminated):
        world.link.run(world.link.now + 0.005)
    assert not open_at_the_paa(world)
    assert world.pac_events(Rejected) == []  # It has yet to hear of it.
    world.link.run(20)
    assert len(world.pac_events(Rejected)) == len(world.server.only(Terminated)) == 1


def test_a_renewal_does_not_outlast_what_was_granted(dialect):
    aaa = FakeAaa(lifetime=50)
    world = World(dialect=dialect, aaa=aaa, pac={"renew_eap": FakePeer}).bootstrap(5)
    aaa._mute_after = 0
    world.link.run(49)
    world.link.now = 49.0
    assert world.pac.reauthenticate(49.0)
    world.link.run(90)
    (terminated,) = world.server.only(Terminated)
    assert terminated.at == pytest.approx(50.11)


def test_a_pac_that_keeps_watch_notices_a_paa_that_lost_its_sessions(dialect):
    world = World(dialect=dialect, pac={"liveness": 60.0}).bootstrap(5)
    other = World(dialect=dialect, seed=9)
    link = type(world.link)(world.pac, PAC, other.server, PAA)
    link.now = 5.0
    link.run(500)
    (terminated,) = world.pac_events(Terminated)
    assert "last retransmission" in terminated.cause
    assert terminated.at < 60 + 200
    assert "unknown session" in reasons(other.server.log)[0]


def test_a_pac_that_keeps_watch_is_quiet_while_it_hears_the_paa(dialect):
    world = World(dialect=dialect, pac={"liveness": 60.0, "renew_eap": FakePeer}).bootstrap(5)
    world.link.run(59)
    assert len(world.link.sent) == 11
    world.link.now = 59.0
    assert world.pac.reauthenticate(59.0)
    world.link.run(115)
    renewed = len(world.link.sent)
    world.link.run(125)
    assert len(world.link.sent) == renewed + 2  # A ping and its answer.
    assert world.pac_events(Terminated) == []
