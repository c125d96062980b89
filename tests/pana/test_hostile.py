"""Messages that are late, repeated, forged or broken."""

import random

import pytest

from agents.core.record import replace
from agents.pana.config import PaaConfig, PacConfig
from agents.pana.draft12 import DRAFT12
from agents.pana.events import AddressChanged, Authenticated, Authorised, Failed, Terminated
from agents.pana.paa import Paa
from agents.pana.pac import Pac
from agents.pana.pac_table import PacState
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import Avp, AvpName, Kind, Message
from tests.link import Link
from tests.pana.fakes import PAA, PAC, FakeAaa, FakePeer, World, reasons, send

MALLORY = ("2001:db8:1::bad", 716)


def altered(data, **changes):
    return RFC5191.encode(replace(RFC5191.decode(data), **changes))


def alter_last_octet(wanted):
    def tamper(data):
        kind = RFC5191.decode(data)
        return data[:-1] + bytes([data[-1] ^ 1]) if wanted(kind) else data

    return tamper


@pytest.mark.parametrize("request_bit", [True, False])
def test_a_wrong_auth_is_discarded_and_nobody_is_let_in(request_bit):
    tamper = alter_last_octet(lambda m: m.kind is Kind.RESULT and m.request is request_bit)
    world = World(tamper=tamper).bootstrap(200)
    assert world.server.only(Authorised) == []
    seen = reasons(world.pac.events if request_bit else world.server.log)
    assert set(seen) >= {f"{'PAR' if request_bit else 'PAN'}[C] with a wrong AUTH"}


def test_a_wrong_auth_does_no_harm_to_the_right_message_behind_it():
    world = World(drop={9})
    world.bootstrap(0.5)
    final = world.link.sent[9][2]
    assert send(world.pac, final[:-1] + bytes([final[-1] ^ 1]), PAA, 0.5) == []
    assert reasons(world.pac.events) == ["PAR[C] with a wrong AUTH"]
    assert len(send(world.pac, final, PAA, 0.6)) == 1
    assert world.pac.state is PacState.OPEN


def test_success_needs_auth_lifetime_and_key_id():
    world = World(drop={9})
    world.bootstrap(0.5)
    message = RFC5191.decode(world.link.sent[9][2])
    for name in (AvpName.AUTH, AvpName.SESSION_LIFETIME, AvpName.KEY_ID, AvpName.EAP_PAYLOAD):
        avps = tuple(avp for avp in message.avps if avp.name is not name)
        assert send(world.pac, altered(world.link.sent[9][2], avps=avps), PAA, 0.5) == []
    assert world.pac_events(Authenticated) == []
    assert len(reasons(world.pac.events)) == 4


def test_a_success_before_eap_is_done_is_discarded():
    world = World(drop={5})
    world.bootstrap(0.5)
    second = RFC5191.decode(world.link.sent[5][2])
    forged = Message(
        Kind.RESULT,
        True,
        second.session,
        second.sequence,
        (
            Avp.u32(AvpName.RESULT_CODE, 0),
            Avp(AvpName.EAP_PAYLOAD, b"\x03\x01\x00\x04"),
            Avp.u32(AvpName.KEY_ID, 1),
            Avp.u32(AvpName.SESSION_LIFETIME, 9999),
            Avp(AvpName.AUTH, bytes(16)),
        ),
    )
    assert send(world.pac, RFC5191.encode(forged), PAA, 0.5) == []
    assert reasons(world.pac.events) == ["PAR[C] with a key before EAP has one"]
    world.link.run(20)
    assert len(world.pac_events(Authenticated)) == 1


def test_a_duplicate_request_gets_the_cached_answer():
    world = World().bootstrap(5)
    sent = [data for _, _, data in world.link.sent]
    requests = len(world.peer.requests)
    assert send(world.pac, sent[9], PAA) == [sent[10]]
    assert send(world.pac, sent[9], PAA) == [sent[10]]
    assert len(world.peer.requests) == requests
    assert reasons(world.pac.events) == []
    # Only the last two answers are kept; an older request is out of sequence.
    assert send(world.pac, sent[7], PAA) == [sent[8]]
    assert send(world.pac, sent[5], PAA) == []
    assert reasons(world.pac.events) == ["PAR with a wrong sequence number"]


def test_the_paa_answers_a_duplicate_of_the_pacs_request():
    world = World(pac={"piggyback": False}).bootstrap(5)
    pairs = [data for _, _, data in world.link.sent]
    last = max(i for i, d in enumerate(pairs) if RFC5191.label(RFC5191.decode(d)) == "PAR"
               and world.link.sent[i][1] == PAC)  # fmt: skip
    assert send(world.server, pairs[last], PAC) == [pairs[last + 1]]


def test_a_wrong_sequence_number_is_discarded():
    world = World(drop={5})
    world.bootstrap(0.5)
    request = world.link.sent[5][2]
    sequence = RFC5191.decode(request).sequence
    for wrong in (sequence - 1, sequence + 1, 0):
        assert send(world.pac, altered(request, sequence=wrong % 2**32), PAA, 0.5) == []
    assert reasons(world.pac.events) == ["PAR with a wrong sequence number"] * 3


def test_a_wrong_session_is_discarded():
    world = World(drop={5})
    world.bootstrap(0.5)
    assert send(world.pac, altered(world.link.sent[5][2], session=b"nope"), PAA, 0.5) == []
    assert reasons(world.pac.events) == ["PAR of another session"]
    assert send(world.server, altered(world.link.sent[4][2], session=b"nope"), PAC, 0.5) == []
    assert reasons(world.server.log) == ["PAN of an unknown session"]


def test_answers_that_nobody_waits_for_are_discarded():
    world = World().bootstrap(5)
    for index in (2, 4, 10):
        assert send(world.server, world.link.sent[index][2], PAC) == []
    assert reasons(world.server.log) == [
        "PAN[S] answers no outstanding request",
        "PAN answers no outstanding request",
        "PAN[C] answers no outstanding request",
    ]


def test_the_pac_listens_to_its_paa_only():
    world = World(drop={1})
    world.bootstrap(0.5)
    start = world.link.sent[1][2]
    for source in (MALLORY, (PAA[0], 7160)):
        assert send(world.pac, start, source, 0.5) == []
    assert reasons(world.pac.events) == ["not from the PAA"] * 2
    assert len(send(world.pac, start, (PAA[0] + "%A-eth0", 716), 0.5)) == 1


def test_a_start_request_before_the_pac_has_started_is_ignored():
    start = World().bootstrap(5).link.sent[1][2]
    pac = Pac(PAA, FakePeer(), PacConfig(), rng=random.Random(2))
    assert send(pac, start, PAA) == []
    assert "not expected in state INITIAL" in reasons(pac.events)[0]


def test_a_paa_that_lost_its_state_may_start_again_before_the_first_par():
    world = World(drop={3})
    world.bootstrap(0.5)
    other = World(seed=9).bootstrap(0.5)
    (answer,) = send(world.pac, other.link.sent[1][2], PAA, 0.5)
    assert RFC5191.decode(answer).session == RFC5191.decode(other.link.sent[1][2]).session
    # Once a PAR without S has come, a start request is invalid.
    world = World(drop={5}).bootstrap(0.5)
    assert send(world.pac, other.link.sent[1][2], PAA, 0.5) == []


def test_another_host_cannot_answer_for_the_pac_before_there_is_a_key():
    world = World(drop={4})
    world.bootstrap(0.5)
    assert send(world.server, world.link.sent[4][2], MALLORY, 0.5) == []
    assert reasons(world.server.log) == ["PAN from another address than the PaC's"]


def test_a_pci_within_an_authentication_is_discarded():
    world = World(drop={5})
    world.bootstrap(0.5)
    assert send(world.server, world.link.sent[0][2], PAC, 0.5) == []
    assert reasons(world.server.log) == ["PCI of a PaC whose authentication is under way"]


def test_half_open_sessions_are_bounded():
    paa = Paa(PaaConfig(max_half_open=3), rng=random.Random(1))
    pci = World().bootstrap(1).link.sent[0][2]
    for number in range(5):
        paa.handle_message(pci, (f"2001:db8::{number:x}", 716), 0.0)
    assert (len(paa.outbox), len(paa.sessions)) == (5, 2)  # The others were answered and forgotten.
    paa.handle_timeout(31.0)
    assert len([event for event in paa.events if type(event) is Failed]) == 2
    paa.handle_message(pci, PAC, 31.0)
    assert len(paa.sessions) == 1


def test_a_pac_that_lost_its_state_opens_a_new_session_and_the_old_one_goes():
    world = World().bootstrap(5)
    old = world.session_id
    again = Pac(PAA, FakePeer(), PacConfig(), rng=random.Random(5))
    link = Link(again, PAC, world.server, PAA)
    again.start(0.0)
    link.run(5)
    kinds = [type(e) for e in world.server.log if type(e) in (Authorised, Terminated)]
    assert kinds == [Authorised, Terminated, Authorised]
    assert world.server.only(Terminated)[0].session_id == old
    assert world.server.only(Terminated)[0].cause == "replaced by a newer session"
    assert world.session().number != old
    assert world.paa.may_pass(PAC[0])


def test_a_session_opened_in_anothers_name_does_not_close_the_filter():
    world = World().bootstrap(5)
    forged = (PAC[0], 4000)
    assert len(send(world.server, world.link.sent[0][2], forged)) == 1
    world.server.handle_timeout(45.0)
    assert [event.pac for event in world.server.only(Failed)] == [forged]
    assert world.paa.may_pass(PAC[0])
    world.server.handle_timeout(700.0)
    assert len(world.server.only(Terminated)) == 1
    assert not world.paa.may_pass(PAC[0])


def test_many_pacs_at_once_keep_apart():
    aaa = FakeAaa()
    world = World(aaa=aaa)
    pacs = [Pac(PAA, FakePeer(), PacConfig(), rng=random.Random(n)) for n in range(20)]
    for pac in pacs:
        pac.start(0.0)
    moving = True
    while moving:
        moving = False
        for number, pac in enumerate(pacs):
            while pac.outbox:
                moving = True
                source = (f"2001:db8:1::{number + 16:x}", 716)
                world.server.handle_message(pac.outbox.popleft()[0], source, 0.1)
        while world.server.outbox:
            data, (host, _) = world.server.outbox.popleft()
            pacs[int(host.rpartition(":")[2], 16) - 16].handle_message(data, PAA, 0.1)
    sessions = {event.session_id for event in world.server.only(Authorised)}
    assert len(sessions) == 20
    assert all(pac.state is PacState.OPEN for pac in pacs)


def test_a_protected_message_from_a_new_address_moves_the_session():
    world = World().bootstrap(5)
    assert world.pac.ping(10.0)
    ((ping, _),) = world.pac.outbox
    world.pac.outbox.clear()
    moved = ("2001:db8:1::c", 4000)
    (probe,) = send(world.server, ping, moved)
    assert RFC5191.label(RFC5191.decode(probe)) == "PNR[P]"
    (proof,) = send(world.pac, probe, PAA)
    (answer,) = send(world.server, proof, moved)
    assert RFC5191.label(RFC5191.decode(answer)) == "PNA[P]"
    assert world.server.only(AddressChanged) == [AddressChanged(10.0, world.session_id, moved, PAC)]
    # An attacker who repeats it gets an answer but no session.
    assert send(world.server, ping, MALLORY) == [answer]
    assert len(world.server.only(AddressChanged)) == 1


def test_late_verdicts_are_events():
    world = World().bootstrap(5)
    paa = world.paa
    paa.eap_request(world.session_id, b"\x01\x01\x00\x05\x01", 6.0)
    paa.accept(12345, b"\x03\x01\x00\x04", b"k" * 64, 60, None, 6.0)
    paa.reject(world.session_id, None, 1, 6.0)
    assert len(reasons(paa.events)) == 3
    assert not paa.outbox
    with pytest.raises(ValueError, match="failing result"):
        paa.reject(world.session_id, None, 0, 6.0)


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


def machines(dialect):
    """A PaC and a PAA in the middle of an authentication, and in the access phase."""
    for until in (0.035, 5.0):
        world = World(dialect=dialect).bootstrap(until)
        yield world.pac, PAA
        yield world.server, PAC


@pytest.mark.parametrize("index", range(11))
def test_every_truncation_is_discarded(dialect, index):
    data = World(dialect=dialect).bootstrap(5).link.sent[index][2]
    for machine, source in machines(dialect):
        for length in range(len(data)):
            assert send(machine, data[:length], source, 6.0) == []
