"""The relay element of RFC 6345 between a PaC and a PAA."""

import heapq
import random
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.reader import WireError
from agents.pana.config import PaaConfig, PacConfig
from agents.pana.events import AddressChanged, Authenticated, Authorised
from agents.pana.paa import Paa
from agents.pana.paa_table import PaaState
from agents.pana.pac import Pac
from agents.pana.relay import Relay
from agents.pana.rfc5191 import RFC5191
from agents.pana.rfc5191_wire import read_place
from agents.pana.wire import Avp, AvpName, Kind, Message
from tests.pana.fakes import FakeAaa, FakePeer, PaaWithAaa, World, reasons, send

PAC, PRE, PAA = ("fe80::a", 5000), ("2001:db8:1::e", 716), ("2001:db8:9::b", 716)
FACE = ("fe80::e", 716)
"""The relay as the PaC sees it."""


class Chain:
    """PaCs behind a relay; everything takes 5 ms. `lost` counts datagrams on any link."""

    def __init__(self, pacs=1, *, paa=None, lost=(), zone=None):
        rng = random.Random(1)
        self.pacs = [Pac(FACE, FakePeer(), PacConfig(), rng=rng) for _ in range(pacs)]
        self.names = [(f"fe80::a{n:x}" if n else PAC[0], PAC[1]) for n in range(pacs)]
        self.relay = Relay(PAA, zone=zone)
        self.server = PaaWithAaa(
            Paa(PaaConfig(**({"relays": [PRE[0]]} if paa is None else paa)), rng=rng), FakeAaa()
        )
        self.lost = frozenset(lost)
        self.sent = []
        self.now = 0.0
        self._flying, self._order = [], count()

    def _collect(self):
        senders = [*zip(self.pacs, self.names, strict=True)]
        senders += [(self.relay, None), (self.server, PAA)]
        for machine, name in senders:
            while machine.outbox:
                data, to = machine.outbox.popleft()
                self.sent.append((name or "relay", to, data))
                if len(self.sent) - 1 not in self.lost:
                    item = (self.now + 0.005, next(self._order), name, to, data)
                    heapq.heappush(self._flying, item)

    def _deliver(self, name, to, data):
        host = (to[0].partition("%")[0], to[1])
        if to == FACE:
            self.relay.from_pac(data, name, self.now)
        elif host in self.names:
            self.pacs[self.names.index(host)].handle_message(data, FACE, self.now)
        elif to == PAA:
            self.server.handle_message(data, PRE, self.now)
        elif to == PRE:
            self.relay.from_paa(data, PAA, self.now)

    def run(self, until=20.0):
        self._collect()
        machines = [*self.pacs, self.server]
        while True:
            times = [t for m in machines if (t := m.next_timeout()) is not None]
            times += [self._flying[0][0]] if self._flying else []
            if not times or min(times) > until:
                return self
            self.now = max(self.now, min(times))
            if self._flying and self._flying[0][0] <= self.now:
                _, _, name, to, data = heapq.heappop(self._flying)
                self._deliver(name, to, data)
            for machine in machines:
                if (t := machine.next_timeout()) is not None and t <= self.now:
                    machine.handle_timeout(self.now)
            self._collect()

    def bootstrap(self):
        for pac in self.pacs:
            pac.start(0.0)
        return self.run()


def passed_on(receive, data, source):
    """Hand a relay a datagram by one of its sides; return what it sends."""
    receive(data, source, 10.0)
    outbox = receive.__self__.outbox
    sent = list(outbox)
    outbox.clear()
    return sent


def authenticated(pac):
    return [event for event in pac.events if type(event) is Authenticated]


def test_a_session_through_a_relay():
    chain = Chain().bootstrap()
    assert len(authenticated(chain.pacs[0])) == 1
    (authorised,) = chain.server.only(Authorised)
    assert authorised.pac == PAC
    # The first message, as it goes on to the PAA (RFC 6345 figure 1).
    _, to, relayed = chain.sent[1]
    assert to == PAA
    message = RFC5191.decode(relayed)
    assert relayed[:16].hex() == f"0000{len(relayed):04x}0000000500000000" + "00000000"
    assert [avp.name for avp in message.avps] == [
        AvpName.PAC_INFORMATION,
        AvpName.RELAYED_MESSAGE,
    ]
    assert read_place(message.avps[0].value) == PAC
    assert message.avps[1].value == chain.sent[0][2]
    # And the answer, as it comes back.
    assert [to for _, to, _ in chain.sent[:4]] == [FACE, PAA, PRE, PAC]
    assert len(chain.sent) == 22


@pytest.mark.parametrize("lost", range(22))
def test_any_one_lost_message_is_made_good(lost):
    chain = Chain(lost={lost}).bootstrap()
    assert len(authenticated(chain.pacs[0])) == len(chain.server.only(Authorised)) == 1


@pytest.mark.parametrize("stateless", [False, True])
def test_several_pacs_behind_one_relay(stateless):
    chain = Chain(5, paa={"relays": [PRE[0]], "stateless": stateless}).bootstrap()
    assert {event.pac for event in chain.server.only(Authorised)} == set(chain.names)


def test_the_same_address_behind_two_relays_is_two_pacs():
    paa = Paa(PaaConfig(relays=[PRE[0], "2001:db8:1::f"]), rng=random.Random(1))
    pci = World().bootstrap(1).link.sent[0][2]
    relayed = RFC5191.relay(PAC, pci)
    assert len(send(paa, relayed, PRE)) == 1
    assert len(send(paa, relayed, ("2001:db8:1::f", 716))) == 1
    assert len(send(paa, relayed, PRE)) == 0
    assert len(paa.sessions) == 2


def test_a_session_moves_to_another_relay_and_out_of_it():
    chain = Chain(paa={"relays": [PRE[0], "2001:db8:1::f"]}).bootstrap()
    (session,) = chain.server.paa.sessions
    other = ("2001:db8:1::f", 7000)
    chain.pacs[0].ping(20.0)
    ((ping, _),) = chain.pacs[0].outbox
    chain.pacs[0].outbox.clear()
    chain.server.handle_message(RFC5191.relay(PAC, ping), other, 20.0)
    ((probe, to),) = chain.server.outbox
    assert to == other
    inner = RFC5191.decode(probe).value(AvpName.RELAYED_MESSAGE)
    (proof,) = send(chain.pacs[0], inner, FACE)
    chain.server.outbox.clear()
    chain.server.handle_message(RFC5191.relay(PAC, proof), other, 20.0)
    ((answer, to),) = chain.server.outbox
    assert to == other
    assert RFC5191.decode(answer).kind is Kind.RELAY
    assert (session.pac, session.transactions.relay) == (PAC, other)
    assert chain.server.only(AddressChanged) == []
    assert session.state is PaaState.OPEN


def test_messages_of_a_host_that_is_no_relay_are_discarded():
    chain = Chain(paa={}).bootstrap()
    assert set(reasons(chain.server.log)) == {"PRY from a host that is no relay"}
    assert len(chain.server.paa.sessions) == 0


def test_a_zone_is_put_back():
    chain = Chain(zone="B-eth0").bootstrap()
    assert len(authenticated(chain.pacs[0])) == 1
    assert {to[0] for name, to, _ in chain.sent if name == "relay"} == {"fe80::a%B-eth0", PAA[0]}


def test_an_ipv4_place_is_read():
    assert read_place(bytes([192, 0, 2, 1, 2, 204])) == ("192.0.2.1", 716)


def pry(*avps):
    return RFC5191.encode(Message(Kind.RELAY, False, b"", 0, avps))


PCI = bytes.fromhex("00000010 00000001 00000000 00000000")
PLACE = Avp(AvpName.PAC_INFORMATION, bytes(16) + b"\x02\xcc")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (PCI, "PCI from the PAA outside PRY"),
        (pry(PLACE), "Relayed-Message is missing in PRY"),
        (pry(Avp(AvpName.RELAYED_MESSAGE, PCI)), "PaC-Information is missing in PRY"),
        (
            pry(Avp(AvpName.PAC_INFORMATION, bytes(7)), Avp(AvpName.RELAYED_MESSAGE, PCI)),
            "PaC-Information of 7 octets",
        ),
        (
            pry(PLACE, Avp(AvpName.RELAYED_MESSAGE, pry(PLACE, PLACE))),
            "PRY within PRY",
        ),
    ],
)
def test_bad_messages_of_the_paa_are_discarded(data, reason):
    relay = Relay(PAA)
    assert passed_on(relay.from_paa, data, PAA) == []
    assert reasons(relay.events) == [reason]
    assert relay.next_timeout() is None


@pytest.mark.parametrize("source", [(PAA[0], 717), ("2001:db8:9::c", 716)])
def test_only_the_paa_speaks_for_the_paa(source):
    relay, data = Relay(PAA), RFC5191.relay(PAC, PCI)
    assert passed_on(relay.from_paa, data, source) == []
    assert reasons(relay.events) == ["from a host that is not the PAA"]
    assert passed_on(relay.from_paa, data, PAA) == [(PCI, PAC)]


def test_a_pac_is_no_relay():
    relay = Relay(PAA)
    inner = pry(PLACE, Avp(AvpName.RELAYED_MESSAGE, PCI))
    assert passed_on(relay.from_pac, inner, PAC) == []
    assert reasons(relay.events) == ["PRY within PRY"]
    paa = Paa(PaaConfig(relays=[PRE[0]]), rng=random.Random(1))
    assert send(paa, RFC5191.relay(PAC, inner), PRE) == []
    assert reasons(paa.events) == ["PRY within PRY"]


@given(st.binary(max_size=120))
def test_random_bytes_do_no_harm(data):
    relay = Relay(PAA)
    paa = Paa(PaaConfig(relays=[PRE[0]]), rng=random.Random(1))
    for junk in (data, RFC5191.relay(PAC, data)):
        passed_on(relay.from_paa, junk, PAA)
        passed_on(relay.from_pac, junk, PAC)
        send(paa, junk, PRE)


def test_every_truncation_is_discarded():
    relay, data = Relay(PAA), RFC5191.relay(PAC, PCI)
    for length in range(len(data)):
        assert passed_on(relay.from_paa, data[:length], PAA) == []
        with pytest.raises(WireError):
            RFC5191.decode(data[:length])
