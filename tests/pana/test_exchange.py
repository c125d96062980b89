"""A PaC and a PAA, both ends, on a virtual clock."""

import pytest

from agents.core.machine import Discarded
from agents.pana.events import (
    Authenticated,
    Authorised,
    EapResponse,
    Failed,
    Rejected,
    Started,
    Terminated,
)
from agents.pana.keys import Algorithms
from agents.pana.mobility import MobilityCapability
from agents.pana.paa_table import PaaState
from agents.pana.pac_table import PacState
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import AvpName, Kind, Result
from tests.pana.fakes import ASSIGNMENT, MSK, PAC, FakeAaa, FakePeer, World


def flights(world):
    """What went over the link: sender's last letter, message, AVPs without the vendor's header."""
    for _, (host, _), data in world.link.sent:
        message = RFC5191.decode(data)
        names = tuple(avp.name.value for avp in message.avps)
        yield host[-1], RFC5191.label(message), names


def test_the_whole_exchange_flight_by_flight():
    world = World().bootstrap(20)
    algorithms = ("PRF-Algorithm", "Integrity-Algorithm")

    assert list(flights(world)) == [
        # The PaC looks for the PAA.
        ("a", "PCI", ()),
        # The PAA offers algorithms, two of each, and a home agent.
        (
            "b",
            "PAR[S]",
            ("PRF-Algorithm",) * 2 + ("Integrity-Algorithm",) * 2 + ("Mobility-Capability",),
        ),
        # The PaC picks one of each and asks for the home agent.
        ("a", "PAN[S]", (*algorithms, "Mobility-Capability")),
        # The PAA asks for the identity itself; the nonces go with the first pair.
        ("b", "PAR", ("EAP-Payload", "Nonce")),
        ("a", "PAN", ("EAP-Payload", "Nonce")),
        # Two rounds of the EAP method, which the AAA speaks.
        ("b", "PAR", ("EAP-Payload",)),
        ("a", "PAN", ("EAP-Payload",)),
        ("b", "PAR", ("EAP-Payload",)),
        ("a", "PAN", ("EAP-Payload",)),
        # Success, with HA and home address, under the new key.
        (
            "b",
            "PAR[C]",
            (
                "Result-Code",
                "EAP-Payload",
                "Key-Id",
                "Session-Lifetime",
                "MIP6-Home-Agent-Address",
                "Home-Address",
                "AUTH",
            ),
        ),
        # The PaC confirms, under the same key.
        ("a", "PAN[C]", ("Key-Id", "AUTH")),
    ]
    started, authenticated = world.pac.events
    assert started == Started(0.0)
    assert authenticated == Authenticated(
        pytest.approx(0.1), world.session_id, 600.0, ASSIGNMENT, MSK
    )
    assert MSK.hex() not in repr(authenticated)
    assert repr(MSK) not in repr(authenticated)
    assert world.server.only(Authorised) == [Authorised(pytest.approx(0.11), world.session_id, PAC)]
    assert [response.mobility for response in world.server.only(EapResponse)] == [True] * 3
    assert (world.pac.state, world.session().state) == (PacState.OPEN, PaaState.OPEN)


@pytest.mark.parametrize("lost", range(11))
def test_any_one_lost_message_is_made_good(lost):
    world = World(drop={lost}).bootstrap(20)
    assert len(world.pac_events(Authenticated)) == 1
    assert len(world.server.only(Authorised)) == 1
    assert world.pac_events(Failed) == world.server.only(Failed) == []


@pytest.mark.parametrize("lost", range(16))
def test_any_one_lost_message_is_made_good_without_piggybacking(lost):
    world = World(drop={lost}, pac={"piggyback": False}).bootstrap(25)
    assert len(world.pac_events(Authenticated)) == 1
    assert len(world.server.only(Authorised)) == 1


@pytest.mark.parametrize("lost", range(9))
def test_any_one_lost_message_is_made_good_with_the_optimized_start(lost):
    world = World(drop={lost}, paa={"optimized": True}).bootstrap(20)
    assert len(world.pac_events(Authenticated)) == 1
    assert len(world.server.only(Authorised)) == 1


def test_the_optimized_start_carries_identity_and_saves_two_messages():
    world = World(paa={"optimized": True}).bootstrap(20)
    sent = list(flights(world))
    assert len(sent) == 9
    assert sent[1][2][0] == sent[2][2][0] == "EAP-Payload"
    assert sent[3][1:] == ("PAR", ("EAP-Payload", "Nonce"))


def test_without_piggybacking_the_pac_sends_requests_of_its_own():
    world = World(pac={"piggyback": False}).bootstrap(20)
    sent = [(sender, label) for sender, label, _ in flights(world)]
    assert sent[3:7] == [("b", "PAR"), ("a", "PAN"), ("a", "PAR"), ("b", "PAN")]
    assert len(world.server.only(EapResponse)) == 3


def test_many_losses_in_a_row_still_end_in_success():
    world = World(drop={0, 1, 3, 5, 8, 11}).bootstrap(60)
    assert len(world.pac_events(Authenticated)) == 1


def test_a_pac_that_wants_no_home_agent_gets_none():
    world = World(pac={"mobility": MobilityCapability(0)}).bootstrap(5)
    (authenticated,) = world.pac_events(Authenticated)
    assert authenticated.assignment is None
    assert not world.server.only(EapResponse)[0].mobility
    assert all("MIP6" not in str(flight) for flight in flights(world))


def test_a_paa_that_offers_no_home_agent_gives_none():
    world = World(paa={"mobility": MobilityCapability(0)}).bootstrap(5)
    (authenticated,) = world.pac_events(Authenticated)
    assert authenticated.assignment is None
    assert all("Mobility" not in str(flight) for flight in flights(world))


def test_wishes_go_with_the_wanted_service():
    wanted = MobilityCapability.MOBILE_IPV6 | MobilityCapability.LOCAL_HOME_AGENT
    world = World(pac={"mobility": wanted | MobilityCapability.HIP}).bootstrap(5)
    assert world.server.only(EapResponse)[0].capability == wanted


def test_home_address_is_left_out_if_none_is_assigned():
    assignment = type(ASSIGNMENT)(ASSIGNMENT.home_agent, 64)
    world = World(aaa=FakeAaa(assignment=assignment)).bootstrap(5)
    assert world.pac_events(Authenticated)[0].assignment == assignment


@pytest.mark.parametrize(
    ("pac", "paa", "chosen"),
    [
        (Algorithms((2,), (7,)), Algorithms((5, 2), (12, 7)), (2, 7)),
        (Algorithms((5, 2), (12, 7)), Algorithms((2,), (7,)), (2, 7)),
        (Algorithms((5,), (7,)), Algorithms((2, 5), (12, 7)), (5, 7)),
        (Algorithms((2, 5), (12, 7)), Algorithms((2, 5), (12, 7)), (2, 12)),
    ],
)
def test_algorithms_are_negotiated(pac, paa, chosen):
    world = World(pac={"algorithms": pac}, paa={"algorithms": paa}).bootstrap(5)
    assert len(world.server.only(Authorised)) == 1
    answer = RFC5191.decode(world.link.sent[2][2])
    assert RFC5191.algorithms(answer) == ((chosen[0],), (chosen[1],), ())


def test_no_common_algorithm_fails_at_the_deadline():
    world = World(
        pac={"algorithms": Algorithms((5,), (12,))}, paa={"algorithms": Algorithms((2,), (7,))}
    ).bootstrap(60)
    assert "no common algorithms" in world.pac_events(Discarded)[0].reason
    assert len(world.pac_events(Failed)) == 1
    assert world.pac.state is PacState.CLOSED


@pytest.mark.parametrize("code", [1, 2])
def test_a_rejection_names_its_code_and_gives_nothing_away(code):
    world = World(aaa=FakeAaa(code=code)).bootstrap(20)
    (rejected,) = world.pac_events(Rejected)
    assert rejected.code == code
    assert rejected.reason == "the server sent EAP-Failure"
    final = RFC5191.decode(world.link.sent[9][2])
    assert [avp.name for avp in final.avps] == [AvpName.RESULT_CODE, AvpName.EAP_PAYLOAD]
    assert [event.reason for event in world.server.only(Failed)] == [Result(code).name]
    assert world.server.only(Authorised) == []
    assert world.paa.next_timeout() is None


@pytest.mark.parametrize("lost", [9, 10])
def test_a_lost_rejection_is_made_good(lost):
    world = World(aaa=FakeAaa(code=1), drop={lost}).bootstrap(20)
    assert len(world.pac_events(Rejected)) == 1
    assert len(world.server.only(Failed)) == 1


def test_a_rejection_without_an_eap_packet():
    class Aaa(FakeAaa):
        def handle(self, paa, response):
            paa.reject(response.session_id, None, 2, response.at)

    world = World(aaa=Aaa()).bootstrap(20)
    assert world.pac_events(Rejected)[0].code is Result.AUTHORIZATION_REJECTED


def test_without_an_msk_the_pac_is_rejected_without_auth():
    world = World(aaa=FakeAaa(msk=b""), peer=FakePeer(msk=b"")).bootstrap(20)
    assert world.pac_events(Rejected)[0].code is Result.AUTHORIZATION_REJECTED
    final = RFC5191.decode(world.link.sent[9][2])
    assert final.kind is Kind.RESULT
    assert not final.has(AvpName.AUTH)
    assert not final.has(AvpName.HOME_AGENT_ADDRESS)


def test_different_msks_end_in_failure_on_both_sides():
    world = World(peer=FakePeer(msk=b"other" * 12)).bootstrap(200)
    assert "PAR[C] with a wrong AUTH" in {event.reason for event in world.pac_events(Discarded)}
    assert len(world.pac_events(Failed)) == len(world.server.only(Failed)) == 1
    assert world.pac_events(Authenticated) == world.server.only(Authorised) == []


def test_a_pac_whose_eap_denies_the_success_fails():
    world = World(peer=FakePeer(deny=True)).bootstrap(200)
    assert len(world.pac_events(Failed)) == 1
    assert world.server.only(Authorised) == []


def test_an_eap_peer_that_gives_up_fails_at_once():
    world = World(peer=FakePeer(mute_at=2)).bootstrap(100)
    (failed,) = world.pac_events(Failed)
    assert failed.at < 1
    assert failed.reason == "the EAP peer discarded a request"
    assert "deadline" in world.server.only(Failed)[0].reason


def test_no_paa_fails_at_the_deadline():
    world = World(drop=range(100)).bootstrap(100)
    (failed,) = world.pac_events(Failed)
    assert failed.at == pytest.approx(30.0)
    assert "INITIAL" in failed.reason
    # PCI goes out after about 0, 1, 3, 7 and 15 seconds, and a sixth time at about 31.
    assert len(world.link.sent) in (5, 6)


def test_a_silent_aaa_fails_at_the_deadline_on_both_sides():
    world = World(aaa=FakeAaa(mute_after=1)).bootstrap(100)
    assert "from the AAA in state WAIT_EAP_MSG" in world.server.only(Failed)[0].reason
    assert len(world.pac_events(Failed)) == 1
    assert world.pac.next_timeout() is None
    assert world.paa.next_timeout() is None
    assert len(world.paa.sessions) == 0


def test_a_vanished_pac_fails_at_the_deadline():
    world = World(drop=range(4, 100)).bootstrap(100)
    assert "from the PaC in state WAIT_PAN_OR_PAR" in world.server.only(Failed)[0].reason


def test_retransmissions_end_after_ten_transmissions():
    world = World(drop=range(2, 100), paa={"auth_timeout": 1e6}, pac={"auth_timeout": 0.5})
    world.bootstrap(1e5)
    starts = [data for _, _, data in world.link.sent if RFC5191.decode(data).kind is Kind.START]
    assert len(starts) == 11  # Ten requests and one answer, which is lost.
    assert "last retransmission" in world.server.only(Failed)[0].reason


def test_sessions_expire_on_both_sides():
    world = World(aaa=FakeAaa(lifetime=50)).bootstrap(200)
    (mine,), (theirs,) = world.pac_events(Terminated), world.server.only(Terminated)
    assert mine.cause == theirs.cause == "SESSION_TIMEOUT"
    assert mine.at == pytest.approx(50.1)
    assert theirs.at == pytest.approx(50.11)
    assert theirs.pac == PAC


def test_the_paa_bounds_the_lifetime():
    world = World(paa={"session_lifetime": 40.0}).bootstrap(5)
    assert world.pac_events(Authenticated)[0].lifetime == 40
    world = World(aaa=FakeAaa(lifetime=None)).bootstrap(5)
    assert world.pac_events(Authenticated)[0].lifetime == 3600
