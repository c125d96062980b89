"""Whose an address is: sessions that move, and those that try to take another's."""

import random

import pytest

from agents.pana.config import PacConfig
from agents.pana.draft12 import DRAFT12
from agents.pana.events import (
    AddressChanged,
    Authorised,
    Failed,
    PingAnswered,
    Rejected,
    Terminated,
    Updated,
)
from agents.pana.paa_table import PaaState
from agents.pana.pac import Pac
from agents.pana.pac_table import PacState
from agents.pana.places import canonical, host_at, place
from agents.pana.rfc5191 import RFC5191
from tests.link import Link
from tests.pana.fakes import PAA, PAC, FakeAaa, FakePeer, World, reasons, send

NEW = ("2001:db8:1::c", 4000)
OTHER = ("2001:db8:1::5", 716)
MALLORY = ("2001:db8:1::bad", 716)


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


def second(world, where=OTHER, seed=7):
    """A second subscriber's PaC, with an open session of the same PAA."""
    config = PacConfig(dialect=world.dialect, renew_eap=FakePeer)
    pac = Pac(PAA, FakePeer(), config, rng=random.Random(seed))
    link = Link(pac, where, world.server, PAA)
    link.now = world.link.now
    pac.start(link.now)
    link.run(link.now + 2)
    assert pac.state is PacState.OPEN
    return pac


def say(pac, what, now=10.0):
    """Let a PaC do something; return its message."""
    assert getattr(pac, what)(now)
    message, _ = pac.outbox.popleft()
    pac.outbox.clear()
    return message


def sent(server):
    """What a server sends, with the destinations."""
    out = list(server.outbox)
    server.outbox.clear()
    return out


def holders(world):
    """The PAA's admitted sessions' addresses."""
    return {host for host in (PAC[0], NEW[0], OTHER[0], MALLORY[0]) if world.paa.may_pass(host)}


def test_an_address_that_another_session_holds_is_not_taken(dialect):
    world = World(dialect=dialect).bootstrap(5)
    mallory = second(world)
    for what in ("ping", "update") if dialect is RFC5191 else ("update",):
        message = say(mallory, what, 10.0 if what == "ping" else 20.0)
        for source in (PAC, (PAC[0], 5555)):
            assert send(world.server, message, source) == []
            assert "that another session holds" in reasons(world.server.log)[-1]
        (answer,) = send(world.server, message, OTHER)
        send(mallory, answer, PAA)
    assert world.server.only(AddressChanged) == world.server.only(Terminated) == []
    assert holders(world) == {PAC[0], OTHER[0]}
    assert len(send(world.server, say(world.pac, "ping"), PAC)) == 1


def test_a_new_address_is_taken_when_it_has_answered(dialect):
    world = World(dialect=dialect).bootstrap(5)
    update = say(world.pac, "update")
    world.server.handle_message(update, NEW, 10.0)
    ((probe, to),) = sent(world.server)
    assert to == NEW
    assert holders(world) == {PAC[0]}
    (proof,) = send(world.pac, probe, PAA)
    (confirmation,) = send(world.server, proof, NEW)
    assert holders(world) == {NEW[0]}
    assert world.server.only(AddressChanged)[0].old == PAC
    send(world.pac, confirmation, PAA)
    assert len(world.pac_events(Updated)) == 1


@pytest.mark.parametrize("lost", range(4))
def test_a_move_survives_loss(dialect, lost):
    world = World(dialect=dialect).bootstrap(5)
    link = Link(world.pac, NEW, world.server, PAA, drop={lost})
    link.now = 5.0
    assert world.pac.update(5.0)
    link.run(20)
    assert holders(world) == {NEW[0]}
    assert len(world.pac_events(Updated)) == len(world.server.only(AddressChanged)) == 1
    assert world.pac.state is PacState.OPEN
    assert world.session().state is PaaState.OPEN


def test_a_message_repeated_from_elsewhere_moves_nothing(dialect):
    world = World(dialect=dialect).bootstrap(5)
    ping = say(world.pac, "update", 5.0)
    world.server.handle_message(ping, MALLORY, 5.0)
    ((probe, to),) = sent(world.server)
    assert to == MALLORY
    # What is repeated is no proof, and an answer from where the PaC is ends the claim.
    for _ in range(3):
        world.server.handle_message(ping, MALLORY, 5.0)
    assert {to for _, to in sent(world.server)} == {PAC, MALLORY}
    (answer,) = send(world.pac, probe, PAA, 5.1)
    world.server.handle_message(answer, PAC, 5.1)
    assert holders(world) == {PAC[0]}
    assert world.server.only(AddressChanged) == []
    (answer,) = send(world.server, ping, PAC, 5.2)
    send(world.pac, answer, PAA, 5.2)
    assert world.pac.state is PacState.OPEN


def test_who_repeats_a_message_from_elsewhere_does_not_end_the_session(dialect):
    world = World(dialect=dialect).bootstrap(5)
    ping = say(world.pac, "update", 5.0)
    world.server.handle_message(ping, MALLORY, 5.0)
    # Nobody is at Mallory's address; the PaC hears the next transmission.
    sent(world.server)
    world.link.now = 5.0
    world.link.run(60)
    assert world.server.only(Terminated) == world.pac_events(Terminated) == []
    assert holders(world) == {PAC[0]}
    assert world.pac.state is PacState.OPEN


def test_a_port_is_no_address(dialect):
    world = World(dialect=dialect).bootstrap(5)
    elsewhere = (PAC[0], 4000)
    link = Link(world.pac, elsewhere, world.server, PAA)
    link.now = 5.0
    assert world.pac.update(5.0)
    link.run(10)
    assert world.server.only(AddressChanged) == []
    assert world.session().pac == elsewhere
    assert holders(world) == {PAC[0]}


def test_a_pac_may_log_out_from_anywhere():
    world = World().bootstrap(5)
    mallory = second(world)
    (answer,) = send(world.server, say(mallory, "terminate"), PAC)
    assert RFC5191.label(RFC5191.decode(answer)) == "PTA"
    (terminated,) = world.server.only(Terminated)
    assert terminated.pac == OTHER
    assert holders(world) == {PAC[0]}


def test_a_pac_moves_while_it_is_authenticated_again(dialect):
    world = World(dialect=dialect, pac={"renew_eap": FakePeer}).bootstrap(5)
    # The PAA's request went to the old address, and the PaC has not heard of it.
    assert world.paa.reauthenticate(world.session_id, 5.0)
    sent(world.server)
    link = Link(world.pac, NEW, world.server, PAA)
    link.now = 5.0
    assert world.pac.update(5.0)
    link.run(60)
    assert len(world.server.only(Authorised)) == 2
    assert holders(world) == {NEW[0]}
    assert world.pac.state is PacState.OPEN
    assert world.session().state is PaaState.OPEN


def test_a_pac_moves_while_it_is_pinged(dialect):
    world = World(dialect=dialect).bootstrap(5)
    assert world.paa.ping(world.session_id, 5.0)
    sent(world.server)
    link = Link(world.pac, NEW, world.server, PAA)
    link.now = 5.0
    assert world.pac.update(5.0)
    link.run(20)
    assert holders(world) == {NEW[0]}
    assert len(world.server.only(PingAnswered)) == 1


def test_an_address_taken_meanwhile_is_not_taken_again(dialect):
    world = World(dialect=dialect).bootstrap(5)
    world.server.handle_message(say(world.pac, "update", 5.0), NEW, 5.0)
    ((probe, _),) = sent(world.server)
    second(world, NEW)
    (proof,) = send(world.pac, probe, PAA)
    assert send(world.server, proof, NEW) == []
    assert holders(world) == {PAC[0], NEW[0]}


class NamingAaa(FakeAaa):
    """Asks the PAA whether the subscriber may have the address, as the access router does."""

    name = "alice"

    def handle(self, paa, response):
        accept, name = paa.accept, self.name

        def careful(session, packet, msk, lifetime, assignment, now):
            if paa.may_take(session, name, now):
                accept(session, packet, msk, lifetime, assignment, now)
            else:
                paa.reject(session, None, 2, now)

        paa.accept = careful
        super().handle(paa, response)
        paa.accept = accept


def test_a_subscriber_does_not_take_the_address_of_another(dialect):
    aaa = NamingAaa()
    world = World(dialect=dialect, aaa=aaa).bootstrap(5)
    old = world.session_id
    aaa.name = "mallory"
    mallory = Pac(PAA, FakePeer(), PacConfig(dialect=dialect), rng=random.Random(7))
    link = Link(mallory, (PAC[0], 5000), world.server, PAA)
    link.now = 5.0
    mallory.start(5.0)
    link.run(5.5)
    assert len([e for e in mallory.events if type(e) is Rejected]) == 1
    assert world.server.only(Terminated) == []
    assert [event.pac for event in world.server.only(Failed)] == [(PAC[0], 5000)]
    # The PAA has asked the holder for a sign of life, and got it.
    world.link.now = 5.5
    world.link.run(20)
    assert len(world.server.only(PingAnswered)) == 1
    assert world.paa.sessions.get(old).state is PaaState.OPEN
    # The same subscriber may begin again.
    aaa.name = "alice"
    second(world, (PAC[0], 5001), seed=8)
    assert world.server.only(Terminated)[0].cause == "replaced by a newer session"
    assert holders(world) == {PAC[0]}


@pytest.mark.parametrize("confirms", [True, False])
def test_a_subscriber_has_few_sessions_whether_he_confirms_them_or_not(dialect, confirms):
    world = World(dialect=dialect, paa={"max_half_open": 16}, aaa=NamingAaa())

    def drop_result(data):
        label = dialect.label(dialect.decode(data))
        return data if confirms or label not in ("PAN[C]", "PBA") else None

    hosts = [f"2001:db8:1::5:{number:x}" for number in range(20)]
    for number, host in enumerate(hosts):
        pac = Pac(PAA, FakePeer(), PacConfig(dialect=dialect), rng=random.Random(number))
        link = Link(pac, (host, 716), world.server, PAA, tamper=drop_result)
        pac.start(0.0)
        link.run(0.5)
    assert [host for host in hosts if world.paa.may_pass(host)] == hosts[-4:]
    ended = world.server.only(Terminated if confirms else Failed)
    assert [event.pac[0] for event in ended] == hosts[:-4]
    world.server.aaa.name = "bob"
    world.link.now = 0.5
    world.bootstrap(1.5)
    assert world.paa.may_pass(PAC[0])
    world.server.handle_timeout(700.0)
    assert not world.paa.sessions.subscribers


def test_who_has_left_without_a_word_loses_the_address(dialect):
    aaa = NamingAaa()
    world = World(dialect=dialect, aaa=aaa).bootstrap(5)
    aaa.name = "bob"
    for at in (5.0, 300.0):
        bob = Pac(PAA, FakePeer(), PacConfig(dialect=dialect), rng=random.Random(7))
        link = Link(bob, (PAC[0], 5000), world.server, PAA)
        link.now = at
        bob.start(at)
        link.run(at + 290)
    assert bob.state is PacState.OPEN
    assert len(world.server.only(Terminated)) == 1


def test_a_subscriber_does_not_take_the_address_to_which_another_has_moved(dialect):
    aaa = NamingAaa()
    world = World(dialect=dialect, aaa=aaa).bootstrap(5)
    link = Link(world.pac, NEW, world.server, PAA)
    link.now = 5.0
    world.pac.update(5.0)
    link.run(6.0)
    assert holders(world) == {NEW[0]}
    aaa.name = "mallory"
    mallory = Pac(PAA, FakePeer(), PacConfig(dialect=dialect), rng=random.Random(7))
    other = Link(mallory, (NEW[0], 5000), world.server, PAA)
    other.now = 6.0
    mallory.start(6.0)
    other.run(6.5)
    link.now = 6.5
    link.run(20)
    assert len(world.server.only(Authorised)) == 1
    assert world.server.only(Terminated) == []
    assert len(world.server.only(PingAnswered)) >= 1


def test_who_moves_to_an_address_and_is_silent_there_loses_it(dialect):
    aaa = NamingAaa()
    world = World(dialect=dialect, aaa=aaa).bootstrap(5)
    link = Link(world.pac, NEW, world.server, PAA)
    link.now = 5.0
    world.pac.update(5.0)
    link.run(6.0)
    aaa.name = "bob"
    for at in (6.0, 300.0):
        bob = Pac(PAA, FakePeer(), PacConfig(dialect=dialect), rng=random.Random(7))
        other = Link(bob, (NEW[0], 5000), world.server, PAA)
        other.now = at
        bob.start(at)
        other.run(at + 290)
    assert bob.state is PacState.OPEN
    assert len(world.server.only(Terminated)) == 1


def test_messages_from_what_is_no_hosts_address_are_dropped(dialect):
    served = {canonical(PAC[0])}
    world = World(dialect=dialect, paa={"serves": lambda address: address in served}).bootstrap(5)
    assert len(world.server.only(Authorised)) == 1
    pci = world.link.sent[0][2]
    update = say(world.pac, "update")
    for data in (pci, update):
        assert send(world.server, data, MALLORY) == []
    assert reasons(world.server.log) == ["no PaC can have this address"] * 2


def test_an_address_is_one_however_it_is_spelled():
    assert canonical("fe80::1%eth0") == canonical("FE80:0::1")
    where = place(("fe80::1%eth0", 716), None)
    assert host_at(where) == host_at(place(("fe80::1", 9), None))
    # Behind two relays a link-local address is two hosts', another address is one's.
    relays = [("2001:db8:1::e", 716), ("2001:db8:1::f", 716)]
    assert len({host_at(place(("fe80::1", 9), relay)) for relay in relays}) == 2
    assert len({host_at(place(("2001:db8::1", 9), relay)) for relay in (*relays, None)}) == 1
