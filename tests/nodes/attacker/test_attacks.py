"""Attacks send what they say, and tell when a victim falls for them."""

import random
from ipaddress import IPv6Address

import msgspec
import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    ICMPv6EchoReply,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    IPv6,
    MIP6OptAltCoA,
)
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import Ether

from agents.approaches import pana_ikev1, pana_ikev2
from agents.diameter.capabilities import Capabilities, capabilities_request
from agents.diameter.config import NodeConfig
from agents.diameter.dictionary import RESULT_CODE
from agents.diameter.wire import Message
from agents.eap import ca
from agents.eap.server import EapServer
from agents.eap.tls import TlsServerConfig
from agents.eap.wire import Code, Packet, Type
from agents.ike.esp import Encryption, EspPair, EspSa, Integrity
from agents.ikev2 import wire as ikev2
from agents.ikev2.constants import PayloadType
from agents.mip6.codec import PROTOCOL as MOBILITY_HEADER
from agents.mip6.codec import checksum
from agents.nodes.attacker import clients, diameter, ike, mobility, neighbours, pana, rogue_paa
from agents.nodes.attacker import subscriber as subscribers
from agents.nodes.attacker.attack import datagram
from agents.nodes.attacker.settings import ELSEWHERE, AttackerConfiguration, AttackName, End, Known
from agents.nodes.attacker.table import ATTACKS
from agents.nodes.tls import TlsSettings
from agents.pana import rfc5191_wire
from agents.pana.config import PaaConfig, PacConfig
from agents.pana.events import EapResponse
from agents.pana.paa import Paa
from agents.pana.pac import Pac
from agents.pana.wire import AvpName, Kind
from tests.pana.fakes import MSK, FakePeer
from topologies import attacked

NEAR = End("2001:db8:a::ff:fe00:101", "02:00:00:00:01:01")
FAR = End("2001:db8:a::1", "02:00:00:00:01:02")
OWN = End("2001:db8:a::e", "02:00:00:00:01:03")
KNOWN = Known(
    own=OWN,
    near=NEAR,
    far=FAR,
    identity="mn@home.test",
    home_address="2001:db8:100::1234",
    home_agent="2001:db8:100::1",
    core_address="2001:db8:b::2",
    server_name="aaa.home.test",
    router_name="ar.visited.test",
    router_realm="visited.test",
)


def make(kind):
    return kind(KNOWN, random.Random(1))


def read(frames):
    return [Ether(frame) for frame in frames]


def between(a, b, payload):
    return Ether(bytes(Ether(src=a.mac, dst=b.mac) / IPv6(src=a.address, dst=b.address) / payload))


@pytest.mark.parametrize("approach", [pana_ikev1, pana_ikev2])
@pytest.mark.parametrize("name", ATTACKS)
def test_each_is_made_by_a_host_on_its_link(approach, name, tmp_path):
    composed = approach.compose(
        approach.Settings(attack=name), attacked.TOPOLOGY, tmp_path, tmp_path
    )
    [found] = [one for one in composed if one.name.endswith("-attacker")]
    configuration = msgspec.convert(found.configuration, AttackerConfiguration)
    host = {"access": "E", "core": "X", "home": "N", "router": "B"}[ELSEWHERE.get(name, "access")]
    assert found.host == host
    assert configuration.interface.startswith(f"{host}-")
    known = configuration.known
    assert known.own != known.near or host == "B"
    assert (known.near == NEAR) == (host == "E")


def test_every_name_has_its_attack():
    assert set(ATTACKS) == set(AttackName.__args__)


def test_only_hosts_of_a_laboratory_are_attacked(tmp_path):
    composed = pana_ikev1.compose(
        pana_ikev1.Settings(attack="pana-replay"), attacked.TOPOLOGY, tmp_path, tmp_path
    )
    plain = next(one for one in composed if one.name == "E-attacker").configuration
    plain["known"]["far"]["address"] = "2606:4700::1"
    with pytest.raises(msgspec.ValidationError, match="no address of a laboratory"):
        msgspec.convert(plain, AttackerConfiguration)


class Session:
    """A PaC and a PAA of which an attack on the link hears everything."""

    def __init__(self, attack=None):
        self.attack = attack
        self.pac = Pac((FAR.address, 716), FakePeer(rounds=0), PacConfig(), rng=random.Random(2))
        self.paa = Paa(PaaConfig(), rng=random.Random(3))
        self.pac.start(0.0)
        self.injected = []
        while self.pac.outbox or self.paa.outbox:
            self.step()

    def step(self):
        while self.pac.outbox:
            data, _ = self.pac.outbox.popleft()
            self.pass_on(datagram(NEAR, FAR, (5000, 716), data))
            self.paa.handle_message(data, (NEAR.address, 5000), 0.0)
        for event in self.paa.events:
            if isinstance(event, EapResponse):
                success = Packet(Code.SUCCESS, event.packet[1]).encode()
                self.paa.accept(event.session_id, success, MSK, None, None, 0.0)
        self.paa.events.clear()
        while self.paa.outbox:
            data, _ = self.paa.outbox.popleft()
            self.pass_on(datagram(FAR, NEAR, (716, 5000), data))
            self.pac.handle_message(data, (FAR.address, 716), 0.0)

    def pass_on(self, frame):
        if self.attack:
            self.injected += self.attack.heard(Ether(frame), 0.0)


class TestPana:
    def test_a_replay_is_everything_as_it_was_and_from_the_own_address(self):
        attack = make(pana.Replay)
        Session(attack)
        sent = read(attack.attack(0.0))
        sources = [frame[IPv6].src for frame in sent]
        own = sources.count(OWN.address)
        assert own == sources.count(NEAR.address) > 1
        assert own == sum(frame[IPv6].dst == FAR.address for frame in sent) / 2
        assert attack.won == ""

    def test_a_replay_that_brings_a_session_has_won(self):
        attack = make(pana.Replay)
        session = Session(attack)
        # The victim takes a PaC by its messages, wherever they come from.
        frames = [f for f in read(attack.attack(0.0)) if f[IPv6].src == OWN.address]
        assert frames
        kinds = []
        for recorded in Session(Recorder()).attack.frames:
            if recorded[IPv6].src == FAR.address:
                data = bytes(recorded[UDP].payload)
                kinds.append(rfc5191_wire.decode(data).kind)
                attack.heard(between(FAR, OWN, UDP(sport=716, dport=5000) / data), 0.0)
        assert Kind.RESULT in kinds
        assert attack.won
        assert session.pac.state.name == "OPEN"

    def test_each_flipped_copy_has_one_bit_wrong_and_none_ends_the_session(self):
        attack = make(pana.Flip)
        session = Session(attack)
        assert session.pac.state.name == "OPEN"
        heard = len(session.injected) // 24
        assert len(session.injected) == 24 * heard > 100
        again = list(attack.attack(0.0))
        assert len(again) == len(session.injected)
        recorded = [bytes(frame[UDP].payload) for frame in Session(Recorder()).attack.frames]
        for frame in read(again):
            data = bytes(frame[UDP].payload)
            wrong = [
                (int.from_bytes(data) ^ int.from_bytes(true)).bit_count()
                for true in recorded
                if len(true) == len(data)
            ]
            assert 1 in wrong
            victim = session.paa if frame[IPv6].dst == FAR.address else session.pac
            port = 716 if victim is session.pac else 5000
            victim.handle_message(data, (frame[IPv6].src, port), 0.1)
        assert session.pac.state.name == "OPEN"
        assert session.paa.may_pass(NEAR.address)

    def test_a_termination_without_the_key_ends_nothing(self):
        attack = make(pana.Termination)
        session = Session(attack)
        sent = read(attack.attack(0.0))
        messages = [rfc5191_wire.decode(bytes(frame[UDP].payload)) for frame in sent]
        assert {message.kind for message in messages} == {Kind.TERMINATION}
        assert {message.has(AvpName.AUTH) for message in messages} == {True, False}
        assert {frame[IPv6].src for frame in sent} == {NEAR.address, FAR.address}
        for frame in sent:
            victim = session.paa if frame[IPv6].dst == FAR.address else session.pac
            port = 716 if victim is session.pac else 5000
            victim.handle_message(bytes(frame[UDP].payload), (frame[IPv6].src, port), 0.1)
        assert session.pac.state.name == "OPEN"
        assert session.paa.may_pass(NEAR.address)

    def test_an_answer_from_beyond_the_filter_is_service(self):
        attack = make(pana.ServiceTheft)
        sent = read(attack.attack(0.0))
        assert {frame[IPv6].src for frame in sent} == {NEAR.address, OWN.address}
        assert {frame.src for frame in sent} == {OWN.mac}
        attack.heard(between(FAR, NEAR, ICMPv6EchoReply(id=1)), 0.0)
        assert not attack.won
        attack.heard(between(FAR, NEAR, ICMPv6EchoReply(id=attack._NUMBER)), 0.0)
        assert attack.won


class Recorder:
    def __init__(self):
        self.frames = []

    def heard(self, frame, _now):
        self.frames.append(frame)
        return ()


def deceive(attack, eap):
    """Have a mobile node speak to a rogue PAA; return its machine."""
    pac = Pac((FAR.address, 716), eap, PacConfig(), rng=random.Random(2))
    pac.start(0.0)
    for _ in range(8):
        frames = []
        while pac.outbox:
            data, _ = pac.outbox.popleft()
            drawn = datagram(NEAR, End(FAR.address, OWN.mac), (5000, 716), data)
            frames += attack.heard(Ether(drawn), 0.0)
        for frame in read(frames):
            assert (frame.src, frame[IPv6].src) == (OWN.mac, FAR.address)
            pac.handle_message(bytes(frame[UDP].payload), (FAR.address, 716), 0.0)
    return pac


class Gullible(FakePeer):
    """Takes any success, with the key of a rogue that has told it."""

    def __init__(self, attack):
        super().__init__(rounds=0)
        attack.rng.randbytes = bytes
        self._msk = bytes(64)


class TestRoguePaa:
    @pytest.mark.parametrize("kind", [rogue_paa.RoguePaa, rogue_paa.Md5Paa])
    def test_who_takes_its_success_has_lost(self, kind):
        attack = make(kind)
        eap = Gullible(attack)
        answered = eap.handle_request

        def handle(packet):
            if packet[0] == 1 and packet[4] == clients.MD5_CHALLENGE:
                return bytes((2, packet[1], 0, 6, clients.MD5_CHALLENGE, 0))
            return answered(packet)

        eap.handle_request = handle
        deceive(attack, eap)
        assert attack.won

    def test_it_answers_for_the_access_router_until_it_gives_up(self):
        attack = make(rogue_paa.RoguePaa)
        [claim] = read(attack.begin(0.0))
        assert (claim[ICMPv6ND_NA].tgt, claim.src, claim[ICMPv6ND_NA].O) == (
            FAR.address, OWN.mac, 1,
        )  # fmt: skip
        asked = between(NEAR, FAR, ICMPv6ND_NS(tgt=FAR.address))
        assert len(list(attack.heard(asked, 0.0))) == 1
        deceive(attack, clients.WantsMd5("mn@home.test"))
        assert attack.told
        assert list(attack.tick(9.0)) == list(attack.heard(asked, 9.0)) == []


class TestClients:
    def talk(self, attack, respond, frames):
        """Have it authenticate with a PAA whose AAA server answers as `respond` says."""
        paa = Paa(PaaConfig(), rng=random.Random(3))
        frames = list(frames)
        for _ in range(20):
            for frame in read(frames):
                source = frame[IPv6].src, frame[UDP].sport
                paa.handle_message(bytes(frame[UDP].payload), source, 0.0)
            frames = []
            for event in list(paa.events):
                if isinstance(event, EapResponse):
                    respond(paa, event)
            paa.events.clear()
            while paa.outbox:
                data, (_, port) = paa.outbox.popleft()
                answer = between(FAR, OWN, UDP(sport=716, dport=port) / data)
                frames += attack.heard(answer, 0.0)
        attack.judge()

    def test_an_offer_of_md5_is_what_it_wants(self):
        attack = make(clients.Md5Client)

        def offer(paa, event):
            response = Packet.decode(event.packet)
            if response.type == Type.IDENTITY:
                request = Packet(Code.REQUEST, 7, clients.MD5_CHALLENGE, b"\x04abcd")
                paa.eap_request(event.session_id, request.encode(), 0.0)

        self.talk(attack, offer, attack.attack(0.0))
        assert attack.won

    def test_a_refusal_is_told(self):
        attack = make(clients.Md5Client)
        seen = []

        def insist(paa, event):
            response = Packet.decode(event.packet)
            seen.append((response.type, response.data))
            if response.type == Type.IDENTITY:
                request = Packet(Code.REQUEST, 7, Type.TLS, b"\x20")
                paa.eap_request(event.session_id, request.encode(), 0.0)
            else:
                failure = Packet(Code.FAILURE, 7).encode()
                paa.reject(event.session_id, failure, 1, 0.0)

        self.talk(attack, insist, attack.attack(0.0))
        assert seen[1] == (Type.NAK, bytes([clients.MD5_CHALLENGE]))
        assert not attack.won
        assert attack.told.startswith("refused")

    def test_who_is_refused_sends_all_the_same_and_others_come_after_that(self, tmp_path):
        name = "another@home.test"
        own = ca.create(tmp_path, (name,))
        good = own.clients[name]
        tls = TlsSettings(ca=str(own.ca), certificate=str(good.certificate), key=str(good.key))
        known = msgspec.structs.replace(KNOWN, own_identity=name, tls=tls)
        attack = clients.Refused(known, random.Random(1))
        server = EapServer(TlsServerConfig(own.ca, own.server.certificate, own.server.key))
        assert not list(attack.tick(0.0))

        def authenticate(paa, event):
            request = server.handle_response(event.packet)
            if server.outcome is None:
                paa.eap_request(event.session_id, request, 0.0)
            else:
                paa.reject(event.session_id, request, 1, 0.0)

        self.talk(attack, authenticate, attack.begin(0.0))
        assert (server.outcome, attack.told[:8], attack.won) == ("failure", "refused:", "")
        rounds = 0
        while not attack.ready:
            sent = read(attack.tick(0.0))
            assert {frame[IPv6].src for frame in sent} == {NEAR.address, OWN.address}
            assert {frame[IPv6].dst for frame in sent} == {KNOWN.core_address}
            rounds += 1
        assert rounds > 1
        assert not list(attack.tick(0.0))


class TestMobility:
    def test_updates_in_clear_are_for_the_others_home_address(self):
        attack = make(mobility.UpdatesInClear)
        sent = read(attack.attack(0.0))
        assert len({frame[MIP6MH_BU].seq for frame in sent}) == 20
        first = sent[0]
        assert first[HAO].hoa == KNOWN.home_address
        assert first[MIP6OptAltCoA].acoa == OWN.address
        header = bytes(first[MIP6MH_BU])
        ends = IPv6Address(KNOWN.home_address), IPv6Address(KNOWN.home_agent)
        assert first[MIP6MH_BU].cksum == checksum(*ends, header)

    @pytest.mark.parametrize(("status", "won"), [(0, True), (1, True), (128, False)])
    def test_only_an_accepted_binding_counts(self, status, won):
        attack = make(mobility.UpdatesInClear)
        attack.heard(between(FAR, OWN, MIP6MH_BA(status=status)), 0.0)
        assert bool(attack.won) == won
        assert str(status) in attack.told

    def test_what_goes_to_the_home_agent_under_esp_is_replayed_as_it_was(self):
        attack = make(mobility.ReplayedUpdates)
        home_agent = End(KNOWN.home_agent, FAR.mac)
        heard = between(NEAR, home_agent, ESP(spi=7, seq=1, data=b"sealed"))
        attack.heard(heard, 0.0)
        attack.heard(between(home_agent, NEAR, ESP(spi=8, seq=1, data=b"sealed")), 0.0)
        assert list(attack.attack(0.0)) == [bytes(heard)] * 10


class TestSubscriber:
    HOME_ADDRESS = IPv6Address("2001:db8:100::1235")

    def attack(self, kind, encryption=Encryption.AES_CBC, integrity=Integrity.HMAC_SHA2_256_128):
        attack = make(kind)
        keys = {Encryption.AES_CBC: 16, Encryption.AES_GCM_16: 20}[encryption]
        sa = EspSa(
            *(self.HOME_ADDRESS, IPv6Address(KNOWN.home_agent), 0x1234, MOBILITY_HEADER),
            *(encryption, bytes(keys), integrity, b"k" * (0 if encryption.is_aead else 32), 60.0),
        )
        attack.registered(self.HOME_ADDRESS, EspPair(sa, sa))
        return attack, sa

    @pytest.mark.parametrize(
        "algorithms",
        [
            (Encryption.AES_CBC, Integrity.HMAC_SHA2_256_128),
            (Encryption.AES_GCM_16, Integrity.NONE),
        ],
    )
    def test_updates_under_its_own_sa_name_another(self, algorithms):
        attack, sa = self.attack(subscribers.OthersHomeAddress, *algorithms)
        sent = read(attack.attack(0.0))
        assert len({frame[ESP].seq for frame in sent}) == len(sent) == 5
        for frame in sent:
            assert frame[HAO].hoa == KNOWN.home_address
            assert (frame[ESP].spi, frame[IPv6].src) == (sa.spi, OWN.address)
            plain = self.opened(frame, sa)
            ends = IPv6Address(KNOWN.home_address), IPv6Address(KNOWN.home_agent)
            assert plain[MIP6MH_BU].cksum == checksum(*ends, bytes(plain[MIP6MH_BU]))
            assert plain[MIP6OptAltCoA].acoa == OWN.address

    def test_care_of_addresses_that_cannot_be_are_for_its_own_home_address(self):
        attack, sa = self.attack(subscribers.FalseCareOf)
        sent = read(attack.attack(0.0))
        assert {frame[HAO].hoa for frame in sent} == {str(self.HOME_ADDRESS)}
        claimed = {self.opened(frame, sa)[MIP6OptAltCoA].acoa for frame in sent}
        assert {KNOWN.home_agent, "::1", "ff02::1", KNOWN.home_address} < claimed

    @staticmethod
    def opened(frame, sa):
        association = subscribers._association(sa)
        sealed = IPv6(src=frame[IPv6].src, dst=frame[IPv6].dst) / frame[ESP]
        return association.decrypt(IPv6(bytes(sealed)))


class TestIke:
    def test_forged_ends_are_whole_messages_in_either_ends_name(self):
        attack = make(ike.ForgedEnd)
        header = ikev2.Header(b"i" * 8, b"r" * 8, 37, 5, initiator=True, response=False)
        data = ikev2.encode_plain(header, [])
        for ends in ((NEAR, FAR), (FAR, NEAR)):
            attack.heard(between(*ends, UDP(sport=500, dport=500) / data), 0.0)
        sent = read(attack.attack(0.0))
        kinds = set()
        for frame in sent:
            message = ikev2.split_datagram(bytes(frame[UDP].payload))
            assert (message.header.spi_i, message.header.spi_r) == (b"i" * 8, b"r" * 8)
            kinds |= {payload.type for payload in ikev2.decode_chain(message.first, message.body)}
        assert kinds == {PayloadType.DELETE, PayloadType.NOTIFY}
        assert {frame[IPv6].src for frame in sent} == {NEAR.address, FAR.address}


class TestNeighbours:
    def test_an_address_that_nobody_defends_is_free(self):
        attack = make(neighbours.Claim)
        sent = read(attack.attack(0.0))
        assert {(f[ICMPv6ND_NS].tgt, f[IPv6].src) for f in sent} == {(KNOWN.home_address, "::")}
        attack.judge()
        assert attack.won
        defended = make(neighbours.Claim)
        list(defended.attack(0.0))
        defended.heard(between(NEAR, FAR, ICMPv6ND_NA(tgt=KNOWN.home_address)), 0.0)
        defended.judge()
        assert not defended.won

    def test_what_the_home_agent_sends_it_for_the_home_address_is_won(self):
        attack = make(neighbours.Spoof)
        assert not list(attack.tick(0.0))
        assert {f[ICMPv6ND_NA].tgt for f in read(attack.attack(0.0))} == {KNOWN.home_address}
        assert list(attack.tick(0.1))
        home_address = End(KNOWN.home_address, OWN.mac)
        attack.heard(between(FAR, home_address, ICMPv6EchoReply()), 0.0)  # A deceived neighbour's.
        assert not attack.won
        elsewhere = End("2001:db8:b::e", NEAR.mac)
        attack.heard(between(elsewhere, home_address, ICMPv6EchoReply()), 0.0)
        assert attack.won

    def test_it_says_that_it_has_what_is_looked_for(self):
        attack = make(neighbours.DenyHomeAddress)
        asked = between(NEAR, FAR, ICMPv6ND_NS(tgt=KNOWN.home_address))
        [answer] = read(attack.heard(asked, 0.0))
        assert answer[ICMPv6ND_NA].tgt == KNOWN.home_address
        assert not list(attack.heard(between(NEAR, FAR, ICMPv6ND_NS(tgt="2001:db8::1")), 0.0))


class TestDiameter:
    def answer(self, code):
        request = capabilities_request(NodeConfig("aaa", "home.test"), IPv6Address("::1"))
        avps = (*request.avps, RESULT_CODE.avp(code))
        return Message(request.command, request.application, avps, request=False).encode()

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (diameter.Stranger, "stranger.example"),
            (diameter.FalseRouter, "ar.visited.test"),
            (diameter.WithoutTls, "ar.visited.test"),
        ],
    )
    def test_the_request_is_in_its_name(self, kind, name):
        request = Message.decode(make(kind).opening())
        assert Capabilities.of(request).host == name

    def test_only_success_is_a_connection(self):
        attack = make(diameter.Stranger)
        attack.answered(b"")
        attack.answered(self.answer(3010))
        assert not attack.won
        assert "3010" in attack.told
        attack.answered(self.answer(2001))
        assert attack.won
