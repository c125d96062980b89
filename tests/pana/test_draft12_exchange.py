"""The paper's dialect between a PaC and a PAA: messages, terms of access, errors."""

from ipaddress import IPv6Address

import pytest

from agents.core.record import replace
from agents.pana.draft12 import DRAFT12, Draft12
from agents.pana.errors import ErrorCode
from agents.pana.events import (
    AddressChanged,
    Authenticated,
    Authorised,
    EapResponse,
    ErrorReported,
    Failed,
    Notified,
    Rejected,
    Terminated,
    Updated,
)
from agents.pana.keys import Algorithms
from agents.pana.paa_table import PaaState
from agents.pana.pac_table import PacState
from agents.pana.terms import Device, HostTerms, NetworkTerms, PacketProtection, Ppac, Provider
from agents.pana.wire import Avp, AvpName, Kind, Message, UnknownAvp
from tests.pana.fakes import (
    ASSIGNMENT,
    MSK,
    PAA,
    PAC,
    FakeAaa,
    FakePeer,
    World,
    reasons,
    send,
)

EP = Device.of(IPv6Address("2001:db8:1::e"))
HOST = Device.of(IPv6Address("2001:db8:1::a"))
UNKNOWN = Avp(UnknownAvp(99, 0x4000), b"x")


def world(**settings):
    drop_after = settings.pop("drop_after", ())
    lost = {11 + index for index in drop_after} or settings.pop("drop", ())
    return World(dialect=DRAFT12, drop=lost, **settings)


def both_open(made):
    session = made.session()
    return made.pac.state is PacState.OPEN and session.state is PaaState.OPEN


def test_the_whole_exchange_flight_by_flight():
    made = world().bootstrap(20)
    assert list(made.flights()) == [
        # The PaC looks for the PAA.
        ("a", "PCI", ()),
        # The PAA's nonce, its algorithms, and the offer of a home agent.
        ("b", "PSR", ("Nonce", "Algorithm", "Mobility-Capability")),
        # The PaC's nonce, and that it wants one.
        ("a", "PSA", ("Nonce", "Mobility-Capability")),
        # From here on the session has a name, which is part of every message.
        ("b", "PAR", ("EAP-Payload",)),
        ("a", "PAN", ("EAP-Payload",)),
        ("b", "PAR", ("EAP-Payload",)),
        ("a", "PAN", ("EAP-Payload",)),
        ("b", "PAR", ("EAP-Payload",)),
        ("a", "PAN", ("EAP-Payload",)),
        # Success, the algorithms that hold, HA and home address, under the new key.
        (
            "b",
            "PBR",
            (
                "Result-Code",
                "EAP-Payload",
                "Key-Id",
                "Algorithm",
                "Session-Lifetime",
                "Post-PANA-Address-Configuration",
                "MIP6-Home-Agent-Address",
                "Home-Address",
                "AUTH",
            ),
        ),
        # The PaC confirms; it configures no other address.
        ("a", "PBA", ("Post-PANA-Address-Configuration", "Key-Id", "AUTH")),
    ]
    assert made.pac_events(Authenticated) == [
        Authenticated(pytest.approx(0.1), made.session_id, 600.0, ASSIGNMENT, MSK)
    ]
    assert made.server.only(Authorised) == [
        Authorised(pytest.approx(0.11), made.session_id, PAC, None)
    ]
    assert all(message.session == made.messages()[3].session for message in made.messages(3))
    assert made.messages()[3].session == f"paa;0;{made.session_id}".encode()


@pytest.mark.parametrize("lost", range(11))
@pytest.mark.parametrize(
    ("pac", "paa"),
    [
        ({}, {}),
        ({"piggyback": False}, {}),
        ({}, {"optimized": True}),
        ({}, {"stateless": True}),
        ({"piggyback": False}, {"stateless": True}),
    ],
    ids=["piggyback", "own requests", "optimized", "stateless", "stateless, own requests"],
)
def test_any_one_lost_message_is_made_good(lost, pac, paa):
    made = world(drop={lost}, pac=pac, paa=paa).bootstrap(25)
    assert len(made.pac_events(Authenticated)) == len(made.server.only(Authorised)) == 1
    assert made.pac_events(Failed) == made.server.only(Failed) == []
    assert both_open(made)


def test_what_is_repeated_until_the_first_par():
    # Stateful: PCI until PSR, then PSR.
    assert world(drop={0}).bootstrap(20).labels()[:3] == ["PCI", "PCI", "PSR"]
    stateful = world(drop={2}).bootstrap(20)
    assert stateful.labels()[:6] == ["PCI", "PSR", "PSA", "PSR", "PSA", "PAR"]
    # Stateless: PCI until PSR, then PSA.
    stateless = world(drop={2}, paa={"stateless": True}).bootstrap(20)
    assert stateless.labels()[:5] == ["PCI", "PSR", "PSA", "PSA", "PAR"]
    stateless = world(drop={1}, paa={"stateless": True}).bootstrap(20)
    assert stateless.labels()[:5] == ["PCI", "PSR", "PCI", "PSR", "PSA"]


def test_another_start_request_before_the_first_par_begins_anew():
    made = world(drop={3})
    made.bootstrap(0.5)
    other = world(seed=9).bootstrap(0.5)
    (answer,) = send(made.pac, other.link.sent[1][2], PAA, 0.5)
    first, second = (made.dialect.decode(data) for data in (made.link.sent[2][2], answer))
    assert first.value(AvpName.NONCE) != second.value(AvpName.NONCE)
    # A repeated one gets the same answer.
    assert send(made.pac, other.link.sent[1][2], PAA, 0.6) == [answer]
    assert reasons(made.pac.events) == []


def test_a_start_request_without_its_nonce_is_discarded():
    made = world(drop={1})
    made.bootstrap(0.5)
    message = made.messages()[1]
    avps = tuple(avp for avp in message.avps if avp.name is not AvpName.NONCE)
    assert send(made.pac, DRAFT12.encode(replace(message, avps=avps)), PAA, 0.5) == []
    assert reasons(made.pac.events) == ["PSR with no Nonce"]
    nonce = Avp(AvpName.NONCE, bytes(8))
    stateless = replace(message, flags=0x4000, avps=(nonce, Avp(AvpName.COOKIE, b"c")))
    assert send(made.pac, DRAFT12.encode(stateless), PAA, 0.5) == []
    assert reasons(made.pac.events)[-1] == "PSR with a needless Nonce"


@pytest.mark.parametrize("code", [1, 2])
def test_a_rejection(code):
    made = world(aaa=FakeAaa(code=code)).bootstrap(20)
    assert [event.code for event in made.pac_events(Rejected)] == [code]
    assert made.messages()[9].number(AvpName.RESULT_CODE) == {1: 4001, 2: 5003}[code]
    assert made.labels()[9:] == ["PBR", "PBA"]
    assert not made.messages()[9].has(AvpName.HOME_AGENT_ADDRESS)


def test_the_paa_decides_on_the_algorithms():
    paa = {"algorithms": Algorithms((5, 2), (12, 7))}
    made = world(paa=paa).bootstrap(5)
    assert both_open(made)
    assert made.messages()[9].number(AvpName.ALGORITHM) == 0x0005000C
    # A PaC that does not support them discards PBR (section 5.4).
    poor = world(paa=paa, pac={"algorithms": Algorithms((2,), (7,))}).bootstrap(60)
    assert any("no common algorithms" in reason for reason in reasons(poor.pac.events))
    assert len(poor.pac_events(Failed)) == 1


def test_algorithm_is_named_once():
    made = world(pac={"renew_eap": FakePeer}).bootstrap(5)
    made.pac.reauthenticate(5.0)
    made.link.run(10)
    assert not made.messages()[-2].has(AvpName.ALGORITHM)


def test_a_peer_of_many_words():
    """Network selection, device identifiers, protection, and address configuration."""
    terms = NetworkTerms(
        ppac=Ppac.DHCPV6 | Ppac.STATELESS,
        protection=PacketProtection.IPSEC,
        enforcement_points=(EP,),
        nap=Provider("Access", 32473),
        isps=(Provider("One"), Provider("Two", 7)),
        announce=True,
    )
    host = HostTerms(
        protections=frozenset({PacketProtection.IPSEC}), device=HOST, isp=Provider("Two", 7)
    )
    made = world(pac={"terms": host}, paa={"terms": terms}).bootstrap(5)
    assert both_open(made)
    flights = [names for _, _, names in made.flights()]
    assert flights[1][2:7] == (
        "NAP-Information",
        "ISP-Information",
        "ISP-Information",
        "Post-PANA-Address-Configuration",
        "Protection-Capability",
    )
    assert "ISP-Information" in flights[2]
    assert flights[9][-5:-2] == (
        "Protection-Capability",
        "Device-Id",
        "MIP6-Home-Agent-Address",
    )
    assert flights[10][:2] == ("Post-PANA-Address-Configuration", "Device-Id")
    assert {event.isp for event in made.server.only(EapResponse)} == {"Two"}
    assert made.server.only(Authorised)[0].device == "2001:db8:1::a"


@pytest.mark.parametrize(
    ("host", "network", "code"),
    [
        (
            HostTerms(ppac=Ppac.DHCPV6),
            NetworkTerms(),
            ErrorCode.PPAC_CAPABILITY_UNSUPPORTED,
        ),
        (
            HostTerms(device=HOST),
            NetworkTerms(protection=PacketProtection.L2, enforcement_points=(EP,)),
            ErrorCode.PROTECTION_CAPABILITY_UNSUPPORTED,
        ),
    ],
)
@pytest.mark.parametrize("lost", [None, 10, 11])
def test_a_pac_that_cannot_meet_the_terms_says_so_and_leaves(host, network, code, lost):
    made = world(
        pac={"terms": host}, paa={"terms": network}, drop=() if lost is None else {lost}
    ).bootstrap(30)
    assert set(made.labels()[9:]) == {"PBR", "PER", "PEA"}
    per = next(message for message in made.messages() if message.kind is Kind.ERROR)
    assert per.number(AvpName.RESULT_CODE) == code
    assert per.has(AvpName.AUTH)
    (report,) = made.server.only(ErrorReported)
    assert (report.code, report.protected) == (code, True)
    assert made.server.only(Failed)[0].reason == f"the PaC reports {code.name}"
    assert len(made.pac_events(Failed)) == 1
    assert made.pac.state is PacState.CLOSED
    assert made.pac.next_timeout() is None
    assert made.server.only(Authorised) == []


@pytest.mark.parametrize("lost", [None, 11, 12])
def test_a_pac_without_the_wanted_device_identifier_is_put_out(lost):
    made = world(
        paa={"terms": NetworkTerms(enforcement_points=(EP,))},
        drop=() if lost is None else {lost},
    ).bootstrap(30)
    assert made.labels()[9:13] == ["PBR", "PBA", "PER", "PEA"][: 4 if lost != 11 else 3] + (
        ["PER"] if lost == 11 else []
    )
    per = next(message for message in made.messages() if message.kind is Kind.ERROR)
    assert per.number(AvpName.RESULT_CODE) == ErrorCode.MISSING_AVP
    assert per.has(AvpName.FAILED_AVP)
    assert made.server.only(Failed)[0].reason == "no Device-Id of the EPs' type"
    assert made.server.only(Authorised) == []
    # The PaC had a session for a moment.
    assert made.pac_events(Terminated)[0].cause == "the PAA reports MISSING_AVP"


@pytest.mark.parametrize("side", ["pac", "paa"])
def test_an_error_that_nobody_answers_ends_the_session_all_the_same(side):
    poor = {"pac": {"terms": HostTerms(ppac=Ppac.DHCPV6)}}
    strict = {"paa": {"terms": NetworkTerms(enforcement_points=(EP,))}}
    last = 10 if side == "pac" else 11
    made = world(drop=range(last, 200), **(poor if side == "pac" else strict)).bootstrap(700)
    if side == "pac":
        assert made.pac_events(Failed)[0].reason.startswith("no way to configure an address")
    else:
        assert made.server.only(Failed)[0].reason == "no Device-Id of the EPs' type"
    assert made.pac.next_timeout() is None or made.pac.state is PacState.OPEN
    assert made.paa.next_timeout() is None


def forge(made, kind, *avps, sign=True, request=True, number=None):
    """A message of the PAA with the sequence number that its next request has."""
    transactions = made.session().transactions
    sequence = transactions.next_out if number is None else number
    message = Message(kind, request, transactions.session, sequence, avps)
    return DRAFT12.protect(message, transactions.sa if sign else None)


@pytest.mark.parametrize("lost", [(), (0,), (1,)])
def test_an_unknown_mandatory_avp_is_reported_with_a_copy(lost):
    made = world(drop_after=lost).bootstrap(5)
    data = forge(made, Kind.PING, UNKNOWN)
    made.pac.handle_message(data, PAA, 5.0)
    made.link.run(20)
    assert reasons(made.pac.events) == ["unknown AVP 99 with the M bit"]
    assert made.labels(11)[-1] == "PEA"
    per = made.messages(11)[0]
    assert per.number(AvpName.RESULT_CODE) == ErrorCode.AVP_UNSUPPORTED
    assert per.value(AvpName.FAILED_AVP) == bytes.fromhex("0063 4000 0009 0000 78 000000")
    assert per.has(AvpName.AUTH)
    (report,) = made.server.only(ErrorReported)
    assert report.reason == "AVP_UNSUPPORTED"
    # Nothing else has happened, and there is nothing left to do.
    assert both_open(made)
    assert made.pac.session.transactions.deadline is None
    assert made.pac.ping(20.0)
    made.link.run(25)
    assert both_open(made)


def test_the_paa_reports_too():
    made = world().bootstrap(5)
    made.pac.ping(5.0)
    ping, _ = made.pac.outbox.popleft()
    message = DRAFT12.decode(ping)
    bad = replace(message, avps=(UNKNOWN,))
    made.server.handle_message(DRAFT12.protect(bad, made.pac.session.transactions.sa), PAC, 5.0)
    assert reasons(made.server.log) == ["unknown AVP 99 with the M bit"]
    made.link.run(30)
    assert "PER" in made.labels(11)
    assert len(made.pac_events(ErrorReported)) == 1
    assert both_open(made)


def test_errors_are_not_reported_to_forgers_nor_often():
    made = world().bootstrap(5)
    assert send(made.pac, forge(made, Kind.PING, UNKNOWN, sign=False), PAA, 5.0) == []
    assert len(send(made.pac, forge(made, Kind.PING, UNKNOWN), PAA, 5.0)) == 1
    assert send(made.pac, forge(made, Kind.PING, UNKNOWN), PAA, 9.0) == []
    assert send(made.pac, b"\x02" + forge(made, Kind.PING)[1:], PAA, 9.0) == []
    # No error about an error, nor about what begins a session.
    fresh = world().bootstrap(5)
    assert send(fresh.pac, forge(fresh, Kind.ERROR, UNKNOWN), PAA, 5.0) == []
    early = world(drop={1})
    early.bootstrap(0.5)
    start = early.messages()[1]
    bad = DRAFT12.encode(replace(start, avps=(*start.avps, UNKNOWN)))
    assert send(early.pac, bad, PAA, 0.5) == []


def test_an_unprotected_error_changes_nothing():
    made = world().bootstrap(5)
    code = Avp.u32(AvpName.RESULT_CODE, ErrorCode.UNABLE_TO_COMPLY)
    (answer,) = send(made.pac, forge(made, Kind.ERROR, code, sign=False), PAA, 5.0)
    assert DRAFT12.label(DRAFT12.decode(answer)) == "PEA"
    (report,) = made.pac_events(ErrorReported)
    assert (report.code, report.protected) == (5012, False)
    assert both_open(made)


@pytest.mark.parametrize("victim", ["pac", "paa"])
def test_forged_errors_take_neither_the_next_number_nor_the_last_answer(victim):
    made = world(drop_after=(1,)).bootstrap(5)
    to_pac = victim == "pac"
    peer = made.session().transactions if to_pac else made.pac.session.transactions
    machine, source = (made.pac, PAA) if to_pac else (made.server, PAC)
    if to_pac:
        assert made.paa.ping(made.session_id, 5.0)
    else:
        assert made.pac.ping(5.0)
    made.link.run(5.5)  # The answer is lost.
    assert made.labels(11) == ["PPR", "PPA"]
    for code in (5012, 5004, 5005):
        error = Message(
            Kind.ERROR,
            True,
            peer.session,
            peer.next_out,
            (Avp.u32(AvpName.RESULT_CODE, code),),
        )
        assert len(send(machine, DRAFT12.encode(error), source, 5.5)) == 1
    made.link.run(20)
    assert made.labels(11) == ["PPR", "PPA"] * 2
    assert made.paa.ping(made.session_id, 20.0)
    made.link.run(25)
    assert made.pac.ping(25.0)
    made.link.run(30)
    assert len(made.labels(11)) == 8
    assert both_open(made)


@pytest.mark.parametrize("code", [ErrorCode.UNABLE_TO_COMPLY, ErrorCode.INVALID_AVP_DATA])
def test_a_protected_error_ends_the_session_if_it_is_fatal(code):
    made = world().bootstrap(5)
    data = forge(made, Kind.ERROR, Avp.u32(AvpName.RESULT_CODE, code))
    assert len(send(made.pac, data, PAA, 5.0)) == 1
    fatal = code is ErrorCode.UNABLE_TO_COMPLY
    assert made.pac.state is (PacState.CLOSED if fatal else PacState.OPEN)
    causes = [event.cause for event in made.pac_events(Terminated)]
    assert causes == (["the PAA reports UNABLE_TO_COMPLY"] if fatal else [])


def test_an_error_with_a_wrong_auth_is_discarded():
    made = world().bootstrap(5)
    data = forge(made, Kind.ERROR, Avp.u32(AvpName.RESULT_CODE, 5012))
    assert send(made.pac, data[:-1] + bytes([data[-1] ^ 1]), PAA, 5.0) == []
    assert reasons(made.pac.events) == ["PER with a wrong AUTH"]


def test_an_aaa_that_cannot_be_reached_is_told():
    class Aaa(FakeAaa):
        def handle(self, paa, response):
            paa.eap_timeout(response.session_id, response.at)

    made = world(aaa=Aaa()).bootstrap(60)
    assert made.labels()[-2:] == ["PER", "PEA"]
    assert made.messages()[-2].number(AvpName.RESULT_CODE) == ErrorCode.UNABLE_TO_DELIVER
    assert made.server.only(Failed)[0].reason == "the AAA server cannot be reached"
    # The PaC cannot know who says so, and waits for its deadline.
    assert made.pac_events(Failed)[0].at == pytest.approx(30.0)


@pytest.mark.parametrize("lost", [(), (0,), (1,), (0, 1)])
def test_a_new_address_is_told_by_pur(lost):
    made = world(pac={"terms": HostTerms(device=HOST)}, drop_after=lost).bootstrap(5)
    moved = Device.of(IPv6Address("2001:db8:1::c"))
    assert made.pac.update(5.0, moved)
    made.link.run(20)
    assert set(made.labels(11)) == {"PUR", "PUA"}
    assert made.messages(11)[0].value(AvpName.DEVICE_ID) == moved.to_avp().value
    assert len(made.pac_events(Updated)) == 1
    assert both_open(made)
    assert made.session().device == moved


def test_only_pur_moves_a_session():
    made = world().bootstrap(5)
    new = ("2001:db8:1::c", 4000)
    assert made.pac.ping(5.0)
    ((ping, _),) = made.pac.outbox
    assert send(made.server, ping, new) == []
    assert reasons(made.server.log) == ["PPR from another address than the PaC's"]
    made.pac.outbox.clear()
    (answer,) = send(made.server, ping, PAC)
    made.pac.handle_message(answer, PAA, 6.0)
    assert made.pac.update(7.0)
    ((update, _),) = made.pac.outbox
    (probe,) = send(made.server, update, new)
    assert DRAFT12.label(DRAFT12.decode(probe)) == "PPR"
    assert not made.server.only(AddressChanged)
    made.pac.outbox.clear()
    (proof,) = send(made.pac, probe, PAA)
    (answer,) = send(made.server, proof, new)
    assert DRAFT12.label(DRAFT12.decode(answer)) == "PUA"
    assert made.server.only(AddressChanged) == [AddressChanged(10.0, made.session_id, new, PAC)]
    assert made.paa.may_pass(new[0])
    assert not made.paa.may_pass(PAC[0])
    made.pac.outbox.clear()
    made.pac.handle_message(answer, PAA, 8.0)
    assert both_open(made)


def test_the_paa_may_send_a_text():
    made = world().bootstrap(5)
    text = Avp(AvpName.NOTIFICATION, b"\0\5en-GBTea is served")
    (answer,) = send(made.pac, forge(made, Kind.UPDATE, text), PAA, 5.0)
    assert DRAFT12.label(DRAFT12.decode(answer)) == "PUA"
    (notified,) = made.pac_events(Notified)
    assert (notified.language, notified.text) == ("en-GB", "Tea is served")


def test_a_session_of_another_paa_is_unknown():
    made = world(paa={"dialect": Draft12("b.example", 1)}).bootstrap(5)
    made.pac.ping(5.0)
    ping, _ = made.pac.outbox.popleft()
    message = DRAFT12.decode(ping)
    other = message.session.replace(b"b.example;1", b"c.example;1")
    data = DRAFT12.encode(replace(message, session=other))
    assert send(made.server, data, PAC) == []
    assert reasons(made.server.log) == ["PPR of an unknown session"]


def test_success_without_a_lifetime_is_without_end():
    made = world(drop={9})
    made.bootstrap(0.5)
    message = made.messages()[9]
    avps = tuple(
        avp for avp in message.avps if avp.name not in (AvpName.SESSION_LIFETIME, AvpName.AUTH)
    )
    data = DRAFT12.protect(replace(message, avps=avps), made.session().transactions.sa)
    assert len(send(made.pac, data, PAA, 0.5)) == 1
    assert made.pac_events(Authenticated)[0].lifetime == float("inf")
    assert made.pac.next_timeout() is None


@pytest.mark.parametrize("name", [AvpName.PPAC, AvpName.KEY_ID, AvpName.ALGORITHM])
def test_success_needs_ppac_key_id_and_algorithm(name):
    made = world(drop={9})
    made.bootstrap(0.5)
    message = made.messages()[9]
    avps = tuple(avp for avp in message.avps if avp.name not in (name, AvpName.AUTH))
    data = DRAFT12.protect(replace(message, avps=avps), made.session().transactions.sa)
    send(made.pac, data, PAA, 0.5)
    assert made.pac_events(Authenticated) == []
    assert made.pac.state is (PacState.WAIT_PEA if name is AvpName.PPAC else PacState.WAIT_PAA)
