"""What one host, or many addresses, can make a PAA remember; and who gets in meanwhile."""

import heapq
import random
from itertools import count

import pytest

from agents.core.record import replace
from agents.pana.config import PaaConfig, PacConfig
from agents.pana.draft12 import DRAFT12
from agents.pana.events import Authorised, EapResponse, Failed
from agents.pana.paa import Paa
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
    config = PacConfig(dialect=world.dialect)
    pac = Pac(PAA, FakePeer(mute_at=2), config, rng=random.Random(repr(place)))
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
    assert len(world.paa.sessions) == PaaConfig().max_half_open_per_host
    assert len(world.server.only(EapResponse)) <= 2 * PaaConfig().max_half_open_per_host
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
    assert len(world.paa.sessions) <= 1
    world.bootstrap(5)
    assert world.server.only(Authorised)[0].at < 1.0


def test_many_addresses_that_answer_do_not_lock_out_others(dialect, start):
    world = World(dialect=dialect, paa={"max_half_open": 16, **start}, aaa=FakeAaa(mute_after=1))
    for number in range(300):
        knock(world, (f"2001:db8:1::{number:x}", 4000))
    assert len(world.paa.sessions) == 16
    world.server.aaa = FakeAaa()
    world.bootstrap(5)
    assert world.server.only(Authorised)[0].at < 1.0


class Flood:
    """A PaC whose AAA takes its time, and addresses that answer, `rate` a second, from 0 s on.

    The addresses answer `responses` EAP requests at once and no more.
    """

    def __init__(self, dialect, start, rate, *, responses=1, addresses=128, seed=1):
        self.paa = Paa(PaaConfig(dialect=dialect, **start), rng=random.Random(seed))
        self.aaa = FakeAaa(rounds=4)
        self.others_aaa = FakeAaa(rounds=4, mute_after=responses)
        self.config = PacConfig(dialect=dialect)
        self.pac = Pac(PAA, FakePeer(rounds=4), self.config, rng=random.Random(seed))
        self.rate, self.addresses = rate, addresses
        self.attackers = {}
        self.queue = []
        self.order = count()
        self.at(0.0, self.knock, 0)
        self.at(1.0, self.pac.start)

    def at(self, when, what, *details):
        heapq.heappush(self.queue, (when, next(self.order), what, details))

    def knock(self, number, now):
        place = (f"2001:db8:1::f:{number % self.addresses:x}", 1024 + number // self.addresses)
        pac = Pac(PAA, FakePeer(rounds=4), self.config, rng=random.Random(number))
        self.attackers[place] = pac
        pac.start(now)
        self.say(pac, place, now)
        self.at(now + 1 / self.rate, self.knock, number + 1)

    def say(self, pac, place, now):
        while pac.outbox:
            self.paa.handle_message(pac.outbox.popleft()[0], place, now)

    def serve(self, now):
        """Carry on what the PAA has to say; return whether the PaC is authorised."""
        while self.paa.events:
            event = self.paa.events.popleft()
            if isinstance(event, EapResponse) and event.pac == PAC:
                self.at(now + 0.1, lambda t, e=event: self.aaa.handle(self.paa, replace(e, at=t)))
            elif isinstance(event, EapResponse):
                self.others_aaa.handle(self.paa, event)
            elif isinstance(event, Authorised) and event.pac == PAC:
                return True
        while self.paa.outbox:
            data, to = self.paa.outbox.popleft()
            if to == PAC:
                self.at(now + 0.005, lambda t, d=data: self.pac.handle_message(d, PAA, t))
            elif to in self.attackers:
                self.attackers[to].handle_message(data, PAA, now)
                self.say(self.attackers[to], to, now)
        while self.pac.outbox:
            data, _ = self.pac.outbox.popleft()
            self.at(now + 0.005, lambda t, d=data: self.paa.handle_message(d, PAC, t))
        return False

    def run(self, until):
        """Return when the PaC is authorised, None if it is not until then."""
        while self.queue[0][0] <= until:
            now, _, what, details = heapq.heappop(self.queue)
            for machine in (self.paa, self.pac):
                deadline = machine.next_timeout()
                if deadline is not None and deadline <= now:
                    machine.handle_timeout(now)
            what(*details, now)
            while self.paa.events or self.paa.outbox or self.pac.outbox:
                if self.serve(now):
                    return now
        return None


@pytest.mark.parametrize("responses", [0, 1])
def test_addresses_that_answer_and_begin_fast_do_not_lock_out_a_slow_aaa(responses):
    flood = Flood(RFC5191, {}, 600, responses=responses)
    assert flood.run(2.0) is not None
    assert len(flood.paa.sessions) <= 256


def test_a_host_may_begin_again_when_its_time_is_over(dialect, start):
    world = World(dialect=dialect, paa=start, aaa=FakeAaa(mute_after=1))
    for port in range(1024, 1064):
        knock(world, (PAC[0], port))
    assert any("of this host are under way" in reason for reason in reasons(world.server.log))
    world.server.handle_timeout(31.0)
    assert len(world.server.only(Failed)) == PaaConfig().max_half_open_per_host
    assert len(world.paa.sessions) == 0
    world.link.now = 31.0
    world.server.aaa = FakeAaa()
    world.pac.start(31.0)
    world.link.run(40)
    assert len(world.server.only(Authorised)) == 1


def test_a_host_that_begins_again_and_again_gets_in_at_once(dialect, start):
    world = World(dialect=dialect, paa=start, aaa=FakeAaa(mute_after=1))
    for number in range(6):
        knock(world, (PAC[0], 2000 + number), float(number))
    world.server.aaa = FakeAaa()
    world.link.now = 6.0
    world.bootstrap(10.0)
    assert world.server.only(Authorised)[0].at < 7.0


def test_a_forger_who_does_not_answer_displaces_no_authentication(dialect, start):
    world = World(dialect=dialect, paa=start, aaa=FakeAaa(mute_after=1))
    pci = World(dialect=dialect).bootstrap(1).link.sent[0][2]
    for number in range(PaaConfig().max_half_open_per_host):
        knock(world, (PAC[0], 2000 + number))
    for port in range(4000, 4500):
        world.server.handle_message(pci, (PAC[0], port), 10.0)
    assert world.server.only(Failed) == []
    assert len(world.paa.sessions) == PaaConfig().max_half_open_per_host


def test_a_pac_that_starts_again_from_its_port_counts_once(dialect):
    world = World(dialect=dialect, paa={"stateless": True}, aaa=FakeAaa(mute_after=1))
    answers = []
    for seed in range(20):
        pac = Pac(PAA, FakePeer(), PacConfig(dialect=dialect), rng=random.Random(seed))
        pac.start(0.0)
        world.server.handle_message(pac.outbox.popleft()[0], PAC, 0.0)
        while world.server.outbox:
            pac.handle_message(world.server.outbox.popleft()[0], PAA, 0.0)
        answers += [pac.outbox.popleft()[0]]
    for answer in answers:
        world.server.handle_message(answer, PAC, 0.0)
    assert len(world.paa.sessions) == 1
    world.server.handle_timeout(31.0)
    for port in range(1024, 1064):
        knock(world, (PAC[0], port), 31.0)
    assert len(world.paa.sessions) == PaaConfig().max_half_open_per_host


def test_an_authorised_host_that_begins_again_and_again_holds_one_session(dialect, start):
    world = World(dialect=dialect, paa=start)
    for number in range(30):
        pac = Pac(PAA, FakePeer(), PacConfig(dialect=dialect), rng=random.Random(number))
        link = Link(pac, (PAC[0], 2000 + number), world.server, PAA)
        link.now = now = float(number)
        pac.start(now)
        link.run(now + 0.5)
        if number % 2:
            pac.terminate(now + 0.5)
            link.run(now + 0.9)
    assert len(world.server.only(Authorised)) == 30
    assert len(world.paa.sessions) == 1  # The last one lingers.
    assert not world.paa.may_pass(PAC[0])


def test_failed_authentications_leave_nothing_behind(dialect, start):
    world = World(dialect=dialect, paa=start, aaa=FakeAaa(code=1))
    for number in range(100):
        config = PacConfig(dialect=dialect, piggyback=False)
        pac = Pac(PAA, FakePeer(msk=MSK), config, rng=random.Random(number))
        link = Link(pac, (FLOODER, 2000 + number), world.server, PAA)
        pac.start(0.0)
        link.run(5.0)
    assert len(world.server.only(Failed)) == 100
    assert len(world.paa.sessions) == 0
    assert world.paa.next_timeout() is None


def test_where_newcomers_wait_what_has_begun_is_ended_and_they_are_heard_later(dialect):
    """The choice for a storm of honest hosts: nobody who has begun is displaced."""
    limits = {"max_half_open": 4, "displaces": False, "stateless": True}
    world = World(dialect=dialect, paa=limits, aaa=FakeAaa(mute_after=1))
    for number in range(8):
        knock(world, (f"2001:db8:1::{number + 0x100:x}", 5000))
    assert len(world.paa.sessions) == limits["max_half_open"]
    assert not world.server.only(Failed)
    assert "4 authentications are under way" in reasons(world.server.log)


def octets_back(world, places):
    """Return the octets that initiations from places draw for one of theirs, as IPv6 packets."""
    pci = World(dialect=world.dialect).bootstrap(1).link.sent[0][2]
    for place in places:
        world.server.handle_message(pci, place, 0.0)
    back = 0
    while (due := world.server.next_timeout()) is not None and due < 300.0:
        back += drained(world)
        world.server.handle_timeout(due)
    return (back + drained(world)) / (len(places) * (HEADERS + len(pci)))


def drained(world):
    sent = [len(data) for data, _ in world.server.outbox]
    world.server.outbox.clear()
    return sum(HEADERS + length for length in sent)


HEADERS = 48  # IPv6 and UDP.
STATELESS = 2.0  # The start request that proves an address, for the initiation.


@pytest.mark.parametrize("hosts", [1, 2000])
def test_who_does_not_answer_draws_no_more_than_a_start_request_each(dialect, start, hosts):
    """But for those of whom something is kept, whose request is sent again until it is over."""
    places = [(f"2001:db8:1::{n % hosts:x}", 1024 + n) for n in range(2000)]
    kept = 1 if hosts == 1 else PaaConfig().max_half_open // 2
    if "stateless" in start:
        kept = 0
    again = 6 * 1.25 * STATELESS  # In 30 s, after 1, 2, 4, 8 s; optimized ones are longer.
    assert octets_back(World(dialect=dialect, paa=start), places) <= STATELESS + again * kept / 2000
