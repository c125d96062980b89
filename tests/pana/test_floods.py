"""What one host, or many addresses, can make a PAA remember; and who gets in meanwhile."""

import random

import pytest

from agents.pana.draft12 import DRAFT12
from agents.pana.events import Authorised, EapResponse, Failed
from agents.pana.half_open import MAX_HALF_OPEN_PER_HOST
from agents.pana.pac import Pac
from agents.pana.rfc5191 import RFC5191
from tests.link import Link
from tests.pana.fakes import MSK, PAA, PAC, FakeAaa, FakePeer, World, reasons

FLOODER = "2001:db8:1::bad"
STARTS = {"stateful": {}, "stateless": {"stateless": True}, "optimized": {"optimized": True}}


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


@pytest.fixture(params=STARTS)
def start(request):
    return STARTS[request.param]


def knock(world, place, now=0.0):
    """Open a session from a place and answer what comes, up to EAP's first response."""
    pac = Pac(PAA, FakePeer(mute_at=2), rng=random.Random(repr(place)), dialect=world.dialect)
    pac.start(now)
    for _ in range(3):
        while pac.outbox:
            world.server.handle_message(pac.outbox.popleft()[0], place, now)
        while world.server.outbox:
            data, to = world.server.outbox.popleft()
            if to == place:
                pac.handle_message(data, PAA, now)


def test_one_host_does_not_lock_out_others(dialect, start):
    world = World(dialect=dialect, paa=start, aaa=FakeAaa(mute_after=1))
    for port in range(1024, 3024):
        knock(world, (FLOODER, port))
    assert world.paa.session_count == MAX_HALF_OPEN_PER_HOST
    assert len(world.server.only(EapResponse)) <= 2 * MAX_HALF_OPEN_PER_HOST
    world.server.aaa = FakeAaa()
    world.bootstrap(5)
    (authorised,) = world.server.only(Authorised)
    assert authorised.at < 1.0
    assert authorised.pac == PAC


def test_who_floods_in_anothers_name_does_not_lock_him_out(dialect, start):
    world = World(dialect=dialect, paa=start)
    pci = World(dialect=dialect).bootstrap(1).link.sent[0][2]
    for port in range(1024, 2024):
        world.server.handle_message(pci, (PAC[0], port), 0.0)
    world.server.outbox.clear()
    assert world.paa.session_count <= 1
    world.bootstrap(5)
    assert world.server.only(Authorised)[0].at < 1.0


def test_many_addresses_that_answer_do_not_lock_out_others(dialect, start):
    world = World(dialect=dialect, paa={"max_half_open": 16, **start}, aaa=FakeAaa(mute_after=1))
    for number in range(300):
        knock(world, (f"2001:db8:1::{number:x}", 4000))
    assert world.paa.session_count == 16
    world.server.aaa = FakeAaa()
    world.bootstrap(5)
    assert world.server.only(Authorised)[0].at < 1.0


def test_a_host_may_begin_again_when_its_time_is_over(dialect, start):
    world = World(dialect=dialect, paa=start, aaa=FakeAaa(mute_after=1))
    for port in range(1024, 1064):
        knock(world, (PAC[0], port))
    assert any("of this host are under way" in reason for reason in reasons(world.server.log))
    world.server.handle_timeout(31.0)
    assert len(world.server.only(Failed)) == MAX_HALF_OPEN_PER_HOST
    assert world.paa.session_count == 0
    world.link.now = 31.0
    world.server.aaa = FakeAaa()
    world.pac.start(31.0)
    world.link.run(40)
    assert len(world.server.only(Authorised)) == 1


def test_a_pac_that_starts_again_from_its_port_counts_once(dialect):
    world = World(dialect=dialect, paa={"stateless": True}, aaa=FakeAaa(mute_after=1))
    answers = []
    for seed in range(20):
        pac = Pac(PAA, FakePeer(), rng=random.Random(seed), dialect=dialect)
        pac.start(0.0)
        world.server.handle_message(pac.outbox.popleft()[0], PAC, 0.0)
        while world.server.outbox:
            pac.handle_message(world.server.outbox.popleft()[0], PAA, 0.0)
        answers += [pac.outbox.popleft()[0]]
    for answer in answers:
        world.server.handle_message(answer, PAC, 0.0)
    assert world.paa.session_count == 1
    world.server.handle_timeout(31.0)
    for port in range(1024, 1064):
        knock(world, (PAC[0], port), 31.0)
    assert world.paa.session_count == MAX_HALF_OPEN_PER_HOST


def test_an_authorised_host_that_begins_again_and_again_holds_one_session(dialect, start):
    world = World(dialect=dialect, paa=start)
    for number in range(30):
        pac = Pac(PAA, FakePeer(), rng=random.Random(number), dialect=dialect)
        link = Link(pac, (PAC[0], 2000 + number), world.server, PAA)
        link.now = now = float(number)
        pac.start(now)
        link.run(now + 0.5)
        if number % 2:
            pac.terminate(now + 0.5)
            link.run(now + 0.9)
    assert len(world.server.only(Authorised)) == 30
    assert world.paa.session_count == 1  # The last one lingers.
    assert not world.paa.may_pass(PAC[0])


def test_failed_authentications_leave_nothing_behind(dialect, start):
    world = World(dialect=dialect, paa=start, aaa=FakeAaa(code=1))
    for number in range(100):
        pac = Pac(
            PAA, FakePeer(msk=MSK), rng=random.Random(number), dialect=dialect, piggyback=False
        )
        link = Link(pac, (FLOODER, 2000 + number), world.server, PAA)
        pac.start(0.0)
        link.run(5.0)
    assert len(world.server.only(Failed)) == 100
    assert world.paa.session_count == 0
    assert world.paa.next_timeout() is None
