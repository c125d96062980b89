"""After authentication: liveness tests, termination, re-authentication."""

import pytest

from agents.core.machine import Discarded
from agents.pana.draft12 import DRAFT12
from agents.pana.events import (
    Authenticated,
    Authorised,
    Failed,
    PingAnswered,
    Rejected,
    Terminated,
)
from agents.pana.paa_table import PaaState
from agents.pana.pac_table import PacState
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import AvpName, Kind
from tests.pana.fakes import FakeAaa, FakePeer, World


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def opened(request):
    """Makes a world in the access phase; `labels` then holds only what comes after."""

    def make(**settings):
        drop = settings.pop("drop_after", ())
        settings.setdefault("pac", {}).setdefault("renew_eap", FakePeer)
        lost = {11 + index for index in drop}
        world = World(dialect=request.param, drop=lost, **settings).bootstrap(5)
        assert len(world.link.sent) == 11
        return world

    return make


def labels(world):
    return world.labels(11)


def name(world, *kinds):
    """The dialect's names of requests and answers."""
    return {world.dialect.grammar[kind, way].label for kind in kinds for way in (True, False)}


def protected(world):
    return all(message.has(AvpName.AUTH) for message in world.messages(11))


def reasons(events):
    return [event.reason for event in events if type(event) is Discarded]


@pytest.mark.parametrize("lost", [(), (0,), (1,), (0, 1)])
def test_the_pac_pings(opened, lost):
    world = opened(drop_after=lost)
    assert world.pac.ping(5.0)
    assert world.pac.state is PacState.WAIT_PNA_PING
    world.link.run(20)
    assert len(world.pac_events(PingAnswered)) == 1
    assert world.pac.state is PacState.OPEN
    assert set(labels(world)) <= name(world, Kind.PING)
    assert protected(world)


@pytest.mark.parametrize("lost", [(), (0,), (1,)])
def test_the_paa_pings(opened, lost):
    world = opened(drop_after=lost)
    assert world.paa.ping(world.session_id, 5.0)
    world.link.run(20)
    assert len(world.server.only(PingAnswered)) == 1


def test_pings_are_limited_in_rate_and_to_the_access_phase(opened):
    world = opened()
    assert world.pac.ping(5.0)
    world.link.run(5.5)
    assert not world.pac.ping(5.6)
    assert world.pac.ping(6.1)
    assert not World().pac.ping(0.0)
    assert not world.paa.ping(1, 0.0)


def test_an_unanswered_ping_ends_the_session(opened):
    world = opened(drop_after=range(100))
    world.pac.ping(5.0)
    world.link.run(500)
    (terminated,) = world.pac_events(Terminated)
    assert "last retransmission" in terminated.cause
    assert world.pac.state is PacState.CLOSED


@pytest.mark.parametrize("lost", [(), (0,), (1,), (0, 1, 2)])
def test_the_pac_logs_out(opened, lost):
    world = opened(drop_after=lost)
    assert world.pac.terminate(5.0)
    world.link.run(59)
    assert [event.cause for event in world.pac_events(Terminated)] == ["LOGOUT"]
    assert [event.cause for event in world.server.only(Terminated)] == ["LOGOUT"]
    assert set(labels(world)) == name(world, Kind.TERMINATION)
    assert world.pac.next_timeout() is None
    world.link.run(500)
    assert len(world.paa.sessions) == 0
    assert world.paa.next_timeout() is None


@pytest.mark.parametrize("lost", [(), (0,), (1,)])
def test_the_paa_revokes(opened, lost):
    world = opened(drop_after=lost)
    assert world.paa.terminate(world.session_id, 5.0)
    world.link.run(59)
    assert [event.cause for event in world.pac_events(Terminated)] == ["ADMINISTRATIVE"]
    assert [event.cause for event in world.server.only(Terminated)] == ["ADMINISTRATIVE"]


def test_both_sides_terminate_at_once(opened):
    world = opened()
    world.paa.terminate(world.session_id, 5.0)
    world.pac.terminate(5.0)
    world.link.run(59)
    assert len(world.pac_events(Terminated)) == len(world.server.only(Terminated)) == 1


def test_a_logout_that_nobody_answers_ends_too(opened):
    world = opened(drop_after=range(100))
    world.pac.terminate(5.0)
    world.link.run(500)
    assert [event.cause for event in world.pac_events(Terminated)] == ["LOGOUT"]
    # The PAA hears nothing and keeps the session for its lifetime.
    world.link.run(1000)
    assert [event.cause for event in world.server.only(Terminated)] == ["SESSION_TIMEOUT"]


def test_termination_is_refused_during_authentication():
    world = World(drop={5})
    world.bootstrap(0.5)
    assert not world.pac.terminate(0.5)
    assert not world.paa.terminate(world.session_id, 0.5)


def test_requests_without_auth_are_discarded_once_there_is_a_key(opened):
    world = opened()
    world.pac.ping(5.0)
    data, _ = world.pac.outbox.popleft()
    message = world.dialect.decode(data)
    bare = type(message)(message.kind, True, message.session, message.sequence)
    world.server.handle_message(world.dialect.encode(bare), ("2001:db8:1::a", 716), 5.0)
    assert reasons(world.server.log) == [f"{world.dialect.label(message)} without AUTH"]
    assert not world.server.outbox


@pytest.mark.parametrize("lost", [(), *((n,) for n in range(10))])
@pytest.mark.parametrize("starter", ["pac", "paa"])
def test_reauthentication_makes_a_new_key(opened, starter, lost):
    aaa, new = FakeAaa(), b"another key " * 5
    world = opened(drop_after=lost, aaa=aaa, pac={"renew_eap": lambda: FakePeer(msk=new)})
    aaa._msk = new
    first = world.session().transactions.sa
    if starter == "pac":
        assert world.pac.reauthenticate(5.0)
        expected = [world.dialect.grammar[Kind.REAUTH, way].label for way in (True, False)]
    else:
        assert world.paa.reauthenticate(world.session_id, 5.0)
        expected = []
    world.link.run(40)
    second = world.session().transactions.sa
    assert (first.key_id, second.key_id) == (1, 2)
    assert first.key != second.key
    assert second == world.pac.session.transactions.sa
    assert len(world.pac_events(Authenticated)) == 2
    assert len(world.server.only(Authorised)) == 2
    assert world.session().state is PaaState.OPEN
    assert protected(world)
    if not lost:
        final = [world.dialect.grammar[Kind.RESULT, way].label for way in (True, False)]
        assert labels(world) == expected + ["PAR", "PAN"] * 3 + final


def test_reauthentication_without_piggybacking():
    world = World(pac={"piggyback": False, "renew_eap": FakePeer}).bootstrap(5)
    world.pac.reauthenticate(5.0)
    world.link.run(20)
    assert len(world.pac_events(Authenticated)) == 2


def test_reauthentication_needs_another_eap_peer():
    world = World().bootstrap(5)
    with pytest.raises(ValueError, match="renew_eap"):
        world.pac.reauthenticate(5.0)
    world.paa.reauthenticate(world.session_id, 5.0)
    world.link.run(6)
    assert "PAR is not expected in state OPEN" in reasons(world.pac.events)


def test_a_failed_reauthentication_ends_the_session(opened):
    aaa = FakeAaa()
    world = opened(aaa=aaa)
    aaa._code = 1
    world.pac.reauthenticate(5.0)
    world.link.run(40)
    assert len(world.pac_events(Rejected)) == len(world.pac_events(Terminated)) == 1
    assert len(world.server.only(Terminated)) == 1
    assert world.server.only(Failed) == []
    # The old key protects the refusal.
    assert world.messages()[-1].has(AvpName.AUTH)


def test_a_stalled_reauthentication_ends_the_session(opened):
    aaa = FakeAaa()
    world = opened(aaa=aaa)
    aaa._mute_after = 0
    world.pac.reauthenticate(5.0)
    world.link.run(100)
    assert "deadline" in world.pac_events(Terminated)[0].cause
    assert "deadline" in world.server.only(Terminated)[0].cause
