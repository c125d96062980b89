"""A PAA that keeps nothing of a PaC until it has answered the start request."""

import random

import pytest

from agents.core.record import replace
from agents.pana.config import PaaConfig
from agents.pana.draft12 import DRAFT12
from agents.pana.events import Authenticated, Authorised, Failed
from agents.pana.paa import Paa
from agents.pana.rfc5191 import RFC5191
from agents.pana.stateless import PERIOD, SALTS, Tokens
from agents.pana.wire import Avp, AvpName
from tests.pana.fakes import PAA, PAC, FakePeer, World, reasons, send

MALLORY = ("2001:db8:1::bad", 716)


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def world(request):
    def make(**settings):
        paa = {"stateless": True, **settings.pop("paa", {})}
        return World(dialect=request.param, paa=paa, **settings)

    return make


def test_the_exchange_is_the_same_but_for_the_start(world):
    made = world().bootstrap(5)
    assert len(made.link.sent) == 11
    assert len(made.pac_events(Authenticated)) == len(made.server.only(Authorised)) == 1
    names = [names for _, _, names in made.flights()]
    assert "Nonce" not in names[1] + names[2]
    assert "Nonce" in names[3]
    assert "Nonce" in names[4]
    assert ("Cookie" in names[1]) is (made.dialect is DRAFT12)


@pytest.mark.parametrize("lost", range(11))
def test_any_one_lost_message_is_made_good(world, lost):
    made = world(drop={lost}).bootstrap(25)
    assert len(made.pac_events(Authenticated)) == len(made.server.only(Authorised)) == 1


def test_a_flood_of_pci_leaves_nothing_behind(world):
    made = world(paa={"max_half_open": 4})
    pci = made.dialect.encode(made.dialect.decode(world().bootstrap(1).link.sent[0][2]))
    kept = []
    for number in range(3000):
        answers = send(made.server, pci, (f"2001:db8:2::{number:x}", 716), 0.001 * number)
        assert len(answers) == 1
        if number in (10, 2999):
            kept.append(objects(made.paa))
    assert len(made.paa.sessions) == 0
    assert kept[0] == kept[1]
    assert made.paa.next_timeout() is None
    # The PaC that means it gets through.
    made.bootstrap(20)
    assert len(made.server.only(Authorised)) == 1


def objects(paa):
    """How much the PAA holds: the lengths of all that it can grow."""
    return {name: len(value) for name, value in vars(paa).items() if hasattr(value, "__len__")}


def test_a_stateful_paa_bounds_what_it_keeps():
    paa = Paa(PaaConfig(max_half_open=16), rng=random.Random(1))
    pci = World().bootstrap(1).link.sent[0][2]
    for number in range(500):
        send(paa, pci, (f"2001:db8:2::{number:x}", 716), 0.0)
    assert len(paa.sessions) == 8
    paa.handle_timeout(31.0)
    assert len(paa.sessions) == 0
    assert paa.next_timeout() is None


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("dialect", [RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def test_a_flood_locks_nobody_out_of_a_stateful_paa(dialect, optimized):
    paa = {"max_half_open": 16, "optimized": optimized}
    made = World(dialect=dialect, paa=paa, pac={"renew_eap": FakePeer})
    pci = dialect.encode(dialect.decode(World(dialect=dialect).bootstrap(1).link.sent[0][2]))
    answers = [
        len(send(made.server, pci, (f"2001:db8:2::{number:x}", 716), 0.0)) for number in range(500)
    ]
    assert answers == [1] * 500
    assert len(made.paa.sessions) == 8
    # The PaC that means it gets through, with the start that keeps no state.
    made.bootstrap(20)
    (authorised,) = made.server.only(Authorised)
    assert authorised.at < 1.0
    assert authorised.pac == PAC
    made.pac.reauthenticate(20.0)
    made.link.run(100)
    assert len(made.pac_events(Authenticated)) == 2
    assert len(made.paa.sessions) == 1  # The false ones have ended.


def test_an_answer_from_elsewhere_begins_nothing(world):
    made = world(drop={3})
    made.bootstrap(0.5)
    start_answer = made.link.sent[2][2]
    other = world(seed=7)
    assert send(other.server, start_answer, PAC, 0.5) == []
    assert send(made.server, start_answer, MALLORY, 0.5) == []
    assert len(reasons(made.server.log)) == 1
    assert len(other.paa.sessions) == 0
    assert len(made.paa.sessions) == 1


def test_an_altered_answer_begins_nothing(world):
    made = world(drop={2, 3, 4, 5})
    made.pac.start(0.0)
    made.link.run(0.5)
    assert len(made.paa.sessions) == 0
    message = made.messages()[2]
    changes = [{"sequence": message.sequence ^ 1}]
    if made.dialect is DRAFT12:
        changes.append({"avps": (Avp(AvpName.COOKIE, bytes(16)), *message.avps[1:])})
        changes.append({"avps": message.avps[1:]})
    else:
        changes.append({"session": b"nope"})
    for change in changes:
        data = made.dialect.encode(replace(message, **change))
        assert send(made.server, data, PAC, 0.5) == []
    assert len(made.paa.sessions) == 0
    assert len(send(made.server, made.link.sent[2][2], PAC, 0.5)) == 1


def test_a_repeated_answer_begins_nothing_more(world):
    made = world().bootstrap(5)
    start_answer = made.link.sent[2][2]
    for now in (5.0, 6.0):
        assert send(made.server, start_answer, PAC, now) == []
    assert len(made.paa.sessions) == 1


def test_a_late_answer_is_taken_for_a_while(world):
    for wait, taken in ((PERIOD - 1, True), (2 * PERIOD - 1, True), (2 * PERIOD + 1, False)):
        made = world(drop=range(2, 90))
        made.pac.start(0.0)
        made.link.run(0.5)
        answers = send(made.server, made.link.sent[2][2], PAC, wait)
        assert bool(answers) is taken


def test_a_pac_may_begin_again_soon(world):
    made = world().bootstrap(5)
    again = world(seed=3)
    again.link = type(again.link)(again.pac, PAC, made.server, PAA)
    again.pac.start(0.0)
    again.link.run(5)
    assert len(again.pac_events(Authenticated)) == 1
    assert made.paa.may_pass(PAC[0])


def test_half_open_sessions_are_bounded_behind_the_handshake(world):
    made = world(paa={"max_half_open": 1})
    pci = world().bootstrap(1).link.sent[0][2]
    pacs = [world(seed=seed, drop=range(3, 9)) for seed in (2, 3)]
    addresses = [("2001:db8:1::1", 716), ("2001:db8:1::2", 716)]
    done = []
    for pac, address in zip(pacs, addresses, strict=True):
        pac.pac.start(0.0)
        pac.pac.outbox.clear()
        (start,) = send(made.server, pci, address, 0.0)
        (answer,) = send(pac.pac, start, PAA, 0.0)
        done.append(len(send(made.server, answer, address, 0.0)))
    assert done == [1, 1]
    assert [event.reason for event in made.server.only(Failed)] == ["given up for a newer one"]
    assert len(made.paa.sessions) == 1


def test_a_stateless_paa_has_no_eap_in_the_start_request():
    with pytest.raises(ValueError, match="needs state"):
        Paa(PaaConfig(stateless=True, optimized=True), rng=random.Random(1))


def test_a_stalled_authentication_ends(world):
    made = world(drop=range(3, 200)).bootstrap(100)
    assert len(made.server.only(Failed)) == len(made.pac_events(Failed)) == 1
    assert len(made.paa.sessions) == 0


def test_tokens_change_with_address_secret_and_salt():
    tokens = Tokens(random.Random(1))
    mine = list(tokens.current(PAC, None, 0.0))
    assert len(set(mine)) == SALTS
    assert set(mine) <= set(tokens.valid(PAC, None, 0.0))
    assert not set(mine) & set(tokens.valid(MALLORY, None, 0.0))
    assert not set(mine) & set(tokens.valid(PAC, PAA, 0.0))
    assert not set(mine) & set(tokens.current(PAC, None, PERIOD))
    assert set(mine) <= set(tokens.valid(PAC, None, 2 * PERIOD - 0.1))
    assert not set(mine) & set(tokens.valid(PAC, None, 2 * PERIOD))
    fresh = Tokens(random.Random(1))
    old = set(fresh.current(PAC, None, 0.0))
    assert not old & set(fresh.valid(PAC, None, 10 * PERIOD))
