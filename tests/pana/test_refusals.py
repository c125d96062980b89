"""Who is refused after EAP's success: both sides have a key, and it protects the last exchange."""

from __future__ import annotations

import pytest

from agents.core.record import replace
from agents.pana.draft12 import DRAFT12
from agents.pana.events import Authenticated, Authorised, Failed, Rejected, Terminated
from agents.pana.pac_table import PacState
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import Avp, AvpName, Kind, Message, Result
from tests.pana.fakes import PAA, PAC, FakeAaa, FakePeer, Keys, World, eap, reasons, send

PROOF = {AvpName.KEY_ID, AvpName.AUTH}
LAST_REQUEST = 9
"""Its index among the messages of an authentication."""


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


def refused(dialect, **settings):
    aaa = FakeAaa(refused=Result.AUTHORIZATION_REJECTED)
    return World(dialect=dialect, aaa=aaa, **settings)


def names(message):
    return {avp.name for avp in message.avps}


def test_the_last_exchange_is_protected(dialect):
    """RFC 5191 section 4.1: Key-Id and AUTH if there is an MSK; the session ends."""
    world = refused(dialect).bootstrap(20)
    request, answer = world.messages()[LAST_REQUEST:]
    assert (request.kind, answer.kind) == (Kind.RESULT, Kind.RESULT)
    assert names(request) >= PROOF | {AvpName.EAP_PAYLOAD}
    assert names(answer) >= PROOF
    (rejected,) = world.pac_events(Rejected)
    assert rejected.code is Result.AUTHORIZATION_REJECTED
    assert len(world.server.only(Failed)) == 1
    assert world.server.only(Authorised) == []
    assert not world.paa.may_pass(PAC[0])
    assert len(world.paa.sessions) == 0


@pytest.mark.parametrize("removed", [PROOF, {AvpName.KEY_ID}, {AvpName.AUTH}])
@pytest.mark.parametrize("with_eap", [True, False])
def test_a_pac_with_a_key_takes_no_other_refusal(dialect, removed, with_eap):
    world = refused(dialect, drop={LAST_REQUEST}).bootstrap(0.5)
    data = world.link.sent[LAST_REQUEST][2]
    message = dialect.decode(data)
    gone = removed if with_eap else removed | {AvpName.EAP_PAYLOAD}
    if not with_eap:
        world.peer.early_keys = Keys(b"announced under protection")
    avps = tuple(avp for avp in message.avps if avp.name not in gone)
    assert send(world.pac, dialect.encode(replace(message, avps=avps)), PAA, 0.5) == []
    assert len(reasons(world.pac.events)) == 1
    assert world.pac_events(Rejected) == []
    # The right one, sent again, is taken.
    assert len(send(world.pac, data, PAA, 0.6)) == 1
    assert len(world.pac_events(Rejected)) == 1


def test_nor_does_the_paa_take_an_unprotected_answer(dialect):
    world = refused(dialect, drop={LAST_REQUEST + 1}).bootstrap(0.5)
    message = dialect.decode(world.link.sent[LAST_REQUEST + 1][2])
    bare = replace(message, avps=())
    world.server.handle_message(dialect.encode(bare), PAC, 0.5)
    assert len(reasons(world.server.log)) == 1
    world.link.run(20)
    assert world.labels()[LAST_REQUEST:] == [dialect.label(m) for m in world.messages()[9:11]] * 2
    assert len(world.paa.sessions) == 0


def test_who_has_no_key_is_told_without_one(dialect):
    world = World(dialect=dialect, aaa=FakeAaa(code=Result.AUTHENTICATION_REJECTED)).bootstrap(20)
    for message in world.messages()[LAST_REQUEST:]:
        assert not names(message) & PROOF
    assert len(world.pac_events(Rejected)) == 1


def test_a_refusal_in_a_re_authentication_has_the_new_key(dialect):
    aaa = FakeAaa()
    world = World(dialect=dialect, aaa=aaa, pac={"renew_eap": FakePeer}).bootstrap(5)
    aaa.refused = Result.AUTHORIZATION_REJECTED
    world.pac.reauthenticate(5.0)
    world.link.run(20)
    request, answer = world.messages()[-2:]
    assert request.number(AvpName.KEY_ID) == answer.number(AvpName.KEY_ID) == 2
    assert names(answer) >= PROOF
    assert world.pac.state is PacState.CLOSED
    assert len(world.pac_events(Rejected)) == len(world.pac_events(Terminated)) == 1
    assert len(world.server.only(Terminated)) == 1


def test_a_forged_refusal_early_in_eap_needs_no_key():
    """Nothing can be protected before there is a key; the deadline would say no more."""
    world = World(drop={5}).bootstrap(0.5)
    second = RFC5191.decode(world.link.sent[5][2])
    refusal = Message(
        Kind.RESULT,
        True,
        second.session,
        second.sequence,
        (Avp.u32(AvpName.RESULT_CODE, Result.AUTHENTICATION_REJECTED),),
    )
    assert len(send(world.pac, RFC5191.encode(refusal), PAA, 0.5)) == 1
    assert len(world.pac_events(Rejected)) == 1


@pytest.mark.parametrize("packet", [eap(4, 0), eap(1, 77, b"\xffanything"), eap(2, 0, b"\xff")])
@pytest.mark.parametrize("lost", [2, 4])
def test_a_forged_end_of_a_re_authentication_is_not_told_to_eap(dialect, packet, lost):
    """AUTH of the last request needs EAP's key, so EAP's packet comes first: it proves nothing."""
    first = len(World(dialect=dialect, pac={"renew_eap": FakePeer}).bootstrap(5).link.sent)
    world = World(dialect=dialect, pac={"renew_eap": FakePeer}, drop={first + lost}).bootstrap(5)
    world.pac.reauthenticate(5.0)
    world.link.run(5.5)
    genuine = dialect.decode(world.link.sent[-1][2])
    assert genuine.kind is Kind.AUTH
    avps = (
        Avp.u32(AvpName.RESULT_CODE, dialect.result_number(Result.SUCCESS)),
        Avp(AvpName.EAP_PAYLOAD, packet),
        Avp.u32(AvpName.KEY_ID, 2),
        Avp.u32(AvpName.SESSION_LIFETIME, 600),
        Avp(AvpName.AUTH, bytes(20)),
    )
    forged = Message(Kind.RESULT, True, genuine.session, genuine.sequence, avps)
    assert send(world.pac, dialect.encode(forged), PAA, 5.5) == []
    assert reasons(world.pac.events) == [
        f"{dialect.label(forged)} with a key, and without EAP-Success"
    ]
    world.link.run(30)
    assert world.pac.state is PacState.OPEN
    assert len(world.pac_events(Authenticated)) == 2
