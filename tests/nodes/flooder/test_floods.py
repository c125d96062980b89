"""What strangers send is what the nodes take for the beginning of something, and nothing more."""

import random
from ipaddress import IPv6Address, IPv6Network

import pytest

from agents.crypto.dh import ECP256
from agents.diameter.capabilities import Capabilities
from agents.diameter.wire import Message
from agents.ikev1 import Config as IkeV1Config
from agents.ikev1 import IkeProposal, Ikev1
from agents.ikev2 import Config as IkeV2Config
from agents.ikev2 import Credentials, EapResponse, IkeStarted, Ikev2
from agents.mip6.codec import BindingAck, BindingUpdate, Status, checksum, decode, encode
from agents.nodes.flooder import floods
from agents.pana.config import PaaConfig
from agents.pana.dialects import DIALECTS
from agents.pana.events import EapResponse as PanaEapResponse
from agents.pana.paa import Paa
from tests.ike import HA, HOA
from tests.ikev2.people import HA_NAME, MN_NAME, People, grant

OWN = IPv6Address("2001:db8:b::e")
ATTEMPTS = 2


def source(number):
    return str(OWN), 20_000 + number


def flood(attack, machine):
    """Carry out attempts one after the other; return the events of the attacked machine."""
    events = []
    for number in range(ATTEMPTS):
        pending = [attack.open(number)]
        while pending:
            machine.handle_message(pending.pop(), source(number), 1.0)
            events += machine.events
            machine.events.clear()
            while machine.outbox:
                data, to = machine.outbox.popleft()
                assert to == source(number)
                if (more := attack.answer(number, data)) is not None:
                    pending.append(more)
    return events


@pytest.fixture
def rng():
    return random.Random(5)


@pytest.fixture(scope="module")
def people():
    return People.make("p256")


class TestPana:
    def paa(self, dialect, **settings):
        return Paa(PaaConfig(dialect=dialect, **settings), rng=random.Random(1))

    def attack(self, dialect, rng, **settings):
        paa = IPv6Address("2001:db8:a::1")
        return floods.PanaInitiation(paa, dialect, rng, **settings)

    @pytest.mark.parametrize("dialect", DIALECTS.values())
    def test_initiations_alone_leave_a_stateful_paa_with_one_session_of_a_host(self, dialect, rng):
        paa = self.paa(dialect)

        flood(self.attack(dialect, rng), paa)

        assert len(paa.sessions) == 1 < ATTEMPTS

    @pytest.mark.parametrize("dialect", DIALECTS.values())
    def test_answers_to_stateless_starts_leave_sessions_too(self, dialect, rng):
        silent, answering = (self.paa(dialect, stateless=True) for _ in range(2))

        flood(self.attack(dialect, rng), silent)
        flood(self.attack(dialect, rng, starts=True), answering)

        assert len(silent.sessions) == 0
        assert len(answering.sessions) == ATTEMPTS

    @pytest.mark.parametrize("dialect", DIALECTS.values())
    def test_with_an_identity_the_aaa_is_asked(self, dialect, rng):
        paa = self.paa(dialect)

        seen = flood(self.attack(dialect, rng, starts=True, identity=MN_NAME), paa)

        responses = [event for event in seen if isinstance(event, PanaEapResponse)]
        assert len(responses) == ATTEMPTS
        assert all(MN_NAME.encode() in event.packet for event in responses)


class TestIkev1:
    CONFIG = IkeV1Config(proposals=(IkeProposal(128, 4, ECP256),))

    def test_message_3_leaves_the_responder_waiting_for_5(self, rng):
        responder = Ikev1(rng=random.Random(1), local=HA, config=self.CONFIG)
        responder.add_psk(b"key of the stranger's address", peer=OWN)
        attack = floods.Ikev1Main(HA, OWN, self.CONFIG, rng)

        first = attack.open(0)
        responder.handle_message(first, source(0), 1.0)
        third = attack.answer(0, responder.outbox.popleft()[0])
        assert third is not None
        assert attack.answer(0, first[:8] + third[8:]) is None
        responder.handle_message(third, source(0), 1.0)
        fourth = responder.outbox.popleft()[0]

        assert fourth[:16] == third[:16]
        assert len(fourth) > 100

    def test_attempts_have_cookies_of_their_own(self, rng):
        attack = floods.Ikev1Main(HA, OWN, self.CONFIG, rng)

        assert len({attack.open(number)[:8] for number in range(ATTEMPTS)}) == ATTEMPTS
        assert len({attack.open(number)[8:] for number in range(ATTEMPTS)}) == 1


class TestIkev2:
    def responder(self, people, **settings):
        return Ikev2(
            rng=random.Random(1),
            local=HA,
            config=IkeV2Config(identity=HA_NAME, accept_eap=True, **settings),
            credentials=Credentials(people.ha.trusted, people.ha.certificate, people.ha.key),
            allocate=grant,
        )

    @pytest.mark.parametrize("threshold", [0, 100])
    def test_init_leaves_half_open_sas_whether_a_cookie_is_asked_for_or_not(
        self, people, rng, threshold
    ):
        responder = self.responder(people, cookie_threshold=threshold)

        seen = flood(floods.Ikev2Init(IkeV2Config(), rng), responder)

        assert len([event for event in seen if isinstance(event, IkeStarted)]) == ATTEMPTS

    @pytest.mark.parametrize("threshold", [0, 100])
    def test_auth_in_a_subscribers_name_has_the_aaa_asked(self, people, rng, threshold):
        responder = self.responder(people, cookie_threshold=threshold)
        attack = floods.Ikev2Auth(HA, IkeV2Config(identity=MN_NAME), rng)

        seen = flood(attack, responder)

        asked = [event for event in seen if isinstance(event, EapResponse)]
        assert [event.identity for event in asked] == [MN_NAME] * ATTEMPTS

    def test_what_is_no_answer_is_left_alone(self, rng):
        attack = floods.Ikev2Auth(HA, IkeV2Config(identity=MN_NAME), rng)

        assert attack.answer(0, b"") is None
        assert attack.answer(0, attack.open(0)[:-1]) is None


class TestBindingUpdates:
    ATTACK = floods.BindingUpdates(HA, OWN, HOA, IPv6Network("2001:db8:100::/64"))

    def test_the_packet_is_as_rfc_6275_lays_it_out(self):
        packet = self.ATTACK.open(0)

        header, options, mobility = packet[:40], packet[40:64], packet[64:]
        assert (header[0] >> 4, int.from_bytes(header[4:6]), header[6]) == (6, len(packet) - 40, 60)
        assert (header[8:24], header[24:40]) == (OWN.packed, HA.packed)
        assert options[:2] == bytes((135, 2))
        assert options[6:8] == bytes((0xC9, 16))
        assert options[8:] == HOA.packed
        assert int.from_bytes(mobility[4:6]) == checksum(HOA, HA, mobility)
        update = decode(mobility)
        assert isinstance(update, BindingUpdate)
        assert (update.home_registration, update.care_of) == (True, OWN)

    def test_each_is_for_another_home_address(self):
        addresses = {self.ATTACK.open(number)[48:64] for number in range(ATTEMPTS)}

        assert len(addresses) == ATTEMPTS
        assert HOA.packed in addresses


class TestAcknowledgements:
    ACK = encode(BindingAck(Status.NOT_HOME_SUBNET, 1, 0))

    @staticmethod
    def packet(following, payload):
        return bytes(6) + bytes((following, 64)) + HA.packed + OWN.packed + payload

    def test_with_and_without_a_routing_header(self):
        routing = bytes((135, 2, 2, 1)) + bytes(4) + HOA.packed

        assert floods.acknowledged(self.packet(135, self.ACK)) == Status.NOT_HOME_SUBNET
        assert floods.acknowledged(self.packet(43, routing + self.ACK)) == Status.NOT_HOME_SUBNET

    @pytest.mark.parametrize("following", [58, 60, 43, 135])
    def test_nothing_else(self, following):
        for length in range(len(self.ACK)):
            assert floods.acknowledged(self.packet(following, self.ACK[:length])) is None
        assert floods.acknowledged(b"") is None


def test_every_other_diameter_connection_names_the_router():
    attack = floods.DiameterConnections(OWN, "ar.visited.test", "visited.test")

    packets = [attack.open(number) for number in range(ATTEMPTS)]

    assert packets[1::2] == [b""] * (ATTEMPTS // 2)
    for packet in packets[::2]:
        assert Capabilities.of(Message.decode(packet)).host == "ar.visited.test"
