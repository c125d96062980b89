"""EAP and the ends of sessions by RADIUS, between an access router's client and a server."""

from __future__ import annotations

import pytest

from agents.bootstrap.assignment import Assignment, Wish
from agents.core.later import Later
from agents.core.record import replace
from agents.diameter import dictionary as diameter
from agents.diameter.authorisation import GrantError, check_authorisation
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.mobility import MobilityRequest, mobility_request
from agents.eap.wire import Code as EapCode
from agents.eap.wire import Packet, Type
from agents.nodes import radius_front
from agents.nodes.diameter_settings import AaaClientConfiguration
from agents.nodes.radius_client import RadiusAaaClient
from agents.nodes.radius_eap import access_answer, read_answer
from agents.nodes.radius_front import RadiusFront
from agents.nodes.radius_settings import (
    RadiusClientSettings,
    RadiusListenerSettings,
    RadiusServerSettings,
)
from agents.radius import dictionary as d
from agents.radius.client import RadiusClient
from agents.radius.wire import ACCOUNTING_PORT, PORT, Code
from agents.radius.wire import Packet as RadiusPacket
from tests.nodes.aaa import SERVER
from tests.nodes.net import AAA, COA, HA, LOCAL_HA, NAS, Net

SECRET = b"a secret of sixteen octets"
IDENTITY = Packet(EapCode.RESPONSE, 1, Type.IDENTITY, b"mn@home.test").encode()
RESPONSE = Packet(EapCode.RESPONSE, 2, Type.TLS, b"\0").encode()
REQUEST = Packet(EapCode.REQUEST, 2, Type.TLS, b"\x20").encode()
SUCCESS = Packet(EapCode.SUCCESS, 2).encode()
FAILURE = Packet(EapCode.FAILURE, 2).encode()
MSK = bytes(range(64))
ASSIGNMENT = Assignment(HA, 56, HA + 0x1234, "ha.home.test")
ASKED = mobility_request(Wish.EITHER, Assignment(LOCAL_HA, 64, LOCAL_HA + 7))
CHALLENGE = DiameterEapAnswer(
    "", ResultCode.MULTI_ROUND_AUTH, SERVER.host, SERVER.realm, eap_payload=REQUEST
)
GRANT = DiameterEapAnswer(
    "",
    ResultCode.SUCCESS,
    SERVER.host,
    SERVER.realm,
    eap_payload=SUCCESS,
    msk=MSK,
    assignment=ASSIGNMENT,
    session_timeout=3600.0,
    user_name="mn@home.test",
    feature_vector=1,
    sealed_assignment=bytes(range(200)) * 2,
    local_home_agent_key=bytes(32),
    auth_session_state=diameter.AuthSessionState.STATE_MAINTAINED,
)


class Server:
    """Answers as a test says, and knows what it was asked."""

    def __init__(self):
        self.answers = []
        self.asked: list[DiameterEapRequest] = []
        self.ended = []

    def authenticate(self, request):
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self, request):
        self.ended.append((request.origin_host, request.session_id))
        return ResultCode.SUCCESS


class World:
    """The client on B and the server on C."""

    def __init__(self, *answers, secret=SECRET, listens=True):
        self.net = Net()
        self.server = Server()
        self.server.answers = list(answers)
        clients = (RadiusClientSettings(name="ar.test", address=NAS, secret_file="s"),)
        self.front = RadiusFront(
            self.net.program("C"),
            RadiusListenerSettings(address=AAA, clients=clients),
            {"s": SECRET},
            self.server,
            self.net.log("C").child("radius"),
            (SERVER.host, SERVER.realm),
        )
        if listens:
            self.front.open()
            self.front.open()
        self.client = RadiusAaaClient(
            AaaClientConfiguration(
                host="B", diameter_identity="b.test", diameter_realm="test", home=SERVER
            ),
            RadiusServerSettings(address=AAA, source=NAS, secret_file="s"),
            self.net.program("B"),
            self.net.log("B"),
            epoch=7,
            secret=secret,
        )
        up = []
        self.client.start(lambda: up.append(True))
        assert up == [True]

    def ask(self, packet=IDENTITY, asked=ASKED, seconds=1.0):
        outcomes = []
        self.client.ask(1, packet, outcomes.append, asked=asked, care_of=COA)
        self.net.run(seconds, lambda: outcomes)
        return outcomes[0] if outcomes else None

    def by_hand(self, code, *attributes, port=PORT, seconds=1.0):
        """Send a request as any RADIUS client may; return the answer, None without one."""
        host, told = self.net.program("B"), []
        client = RadiusClient((AAA, port), SECRET, rng=host.rng)
        endpoint = host.datagrams(client, (NAS, 0), told.append)
        endpoint.call(client.request, code, attributes, host.now())
        self.net.run(seconds, lambda: told)
        endpoint.close()
        return told[0].packet if told else None


def test_what_is_asked_comes_to_the_server_as_by_diameter():
    world = World(CHALLENGE, GRANT)
    world.ask()
    world.ask(RESPONSE)
    first, second = world.server.asked
    assert first.session_id == second.session_id
    assert (first.state, len(second.state)) == ((), 1)
    assert (first.eap_payload, second.eap_payload) == (IDENTITY, RESPONSE)
    assert first.mobility == second.mobility == ASKED
    for one in (first, second):
        assert one.origin_host == "ar.test"  # By its address, not by what it calls itself.
        assert (one.user_name, one.care_of_address) == ("mn@home.test", COA)
        assert one.auth_session_state == diameter.AuthSessionState.STATE_MAINTAINED


def test_who_wants_no_home_agent_is_asked_about_as_such():
    world = World(CHALLENGE)
    world.ask(asked=MobilityRequest())
    assert world.server.asked[0].mobility == MobilityRequest()


def test_an_answer_comes_as_by_diameter():
    world = World(CHALLENGE, GRANT)
    challenge = world.ask()
    assert (challenge.result_code, challenge.eap_payload) == (ResultCode.MULTI_ROUND_AUTH, REQUEST)
    granted = world.ask(RESPONSE)
    unlike = {"session_id": "", "state": (), "auth_session_state": GRANT.auth_session_state}
    assert replace(granted, **unlike) == GRANT


def test_an_early_assignment_comes_with_a_challenge():
    early = {"assignment": Assignment(HA, 64), "sealed_assignment": b"sealed"}
    answer = World(replace(CHALLENGE, **early)).ask()
    assert (answer.assignment, answer.sealed_assignment) == (Assignment(HA, 64), b"sealed")


def test_a_request_that_is_put_again_is_a_challenge():
    again = replace(CHALLENGE, eap_payload=None, reissued_payload=REQUEST)
    answer = World(again).ask()
    assert (answer.result_code, answer.eap_payload) == (ResultCode.MULTI_ROUND_AUTH, REQUEST)


@pytest.mark.parametrize("code", [ResultCode.AUTHENTICATION_REJECTED, ResultCode.TOO_BUSY])
def test_a_refusal(code):
    refusal = replace(CHALLENGE, result_code=code, eap_payload=FAILURE)
    answer = World(refusal).ask()
    assert (answer.result_code, answer.eap_payload) == (
        ResultCode.AUTHENTICATION_REJECTED,
        FAILURE,
    )
    assert answer.msk is None


def test_an_answer_that_is_not_there_yet():
    later = Later()
    world = World(later)
    assert world.ask() is None
    world.net.program("C").enter(later.settle, CHALLENGE)
    assert world.net.run(1.0, lambda: world.net.told("AnswerReceived"))


def test_a_bug_that_one_request_meets_is_told():
    world = World(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        world.ask()


def test_a_server_that_does_not_answer():
    world = World(listens=False)
    outcome = world.ask(seconds=60.0)
    assert isinstance(outcome, TimeoutError)
    assert f"{AAA} port {PORT} does not answer" in str(outcome)
    assert world.net.clock.now == pytest.approx(10.0, abs=0.1)  # aaa_timeout


def test_an_address_that_is_not_there_yet_is_waited_for():
    net, up, outcomes = Net(), [], []
    client = RadiusAaaClient(
        AaaClientConfiguration(
            host="B", diameter_identity="b.test", diameter_realm="test", home=SERVER
        ),
        RadiusServerSettings(address=AAA, source="2001:db8:c::99", secret_file="s"),
        net.program("B"),
        net.log("B"),
        epoch=7,
        secret=SECRET,
    )
    client.start(lambda: up.append(True))
    net.run(5.0)
    assert up == []
    assert len(net.told("NotReadyYet")) > 1
    client.ask(1, IDENTITY, outcomes.append, asked=ASKED, care_of=COA)
    assert not outcomes  # Whoever asks hears of it afterwards.
    net.run(0.1)
    assert [str(outcome) for outcome in outcomes] == ["no socket is open yet"]
    client.stop(lambda: up.append(False))
    assert up == [False]
    assert not net.run(60.0, lambda: len(net.told("NotReadyYet")) > 20)


def test_another_secret_is_as_no_server():
    world = World(secret=b"another secret of mine")
    assert isinstance(world.ask(seconds=60.0), TimeoutError)
    assert {"Discarded"} == {e["event"] for e in world.net.events.told if e["host"] == "C"}


def test_accounting_begins_and_ends_with_the_session():
    world = World(GRANT)
    world.ask()
    world.client.forget(1)
    world.net.run(0.5)
    assert world.server.ended == []
    world.client.end(1)
    world.client.end(1)
    world.net.run(0.5)
    assert world.server.ended == [("ar.test", world.server.asked[0].session_id)]


def test_who_authenticates_anew_ends_the_session_before():
    world = World(GRANT, GRANT)
    for _ in range(2):
        world.ask()
        world.client.forget(1)
    world.net.run(0.5)
    first, second = [one.session_id for one in world.server.asked]
    assert first != second
    assert world.server.ended == [("ar.test", first)]
    world.client.end(1)
    world.net.run(0.5)
    assert world.server.ended == [("ar.test", first), ("ar.test", second)]


def test_a_lost_stop_is_sent_again():
    world = World(GRANT)
    world.ask()
    world.net.run(0.5)
    world.net.world.loses = lambda _, packet: packet.destination_port == ACCOUNTING_PORT
    world.client.end(1)
    world.net.run(1.0)
    world.net.world.loses = None
    assert world.server.ended == []
    world.net.run(5.0)
    assert len(world.server.ended) == 1


def test_a_client_without_accounting_is_told_of_no_end():
    world = World(CHALLENGE, GRANT)
    eap = d.EAP_MESSAGE.attribute(IDENTITY)
    challenge = world.by_hand(Code.ACCESS_REQUEST, eap)
    state = d.STATE.attribute(d.STATE.find(challenge.attributes))
    accept = world.by_hand(Code.ACCESS_REQUEST, d.EAP_MESSAGE.attribute(RESPONSE), state)
    assert accept.code == Code.ACCESS_ACCEPT
    first, second = world.server.asked
    assert first.session_id == second.session_id
    assert first.auth_session_state == diameter.AuthSessionState.NO_STATE_MAINTAINED


@pytest.mark.parametrize(
    "attributes",
    [
        (),
        (d.EAP_MESSAGE.attribute(IDENTITY), d.MIP6_HA.attribute(b"short")),
        (d.EAP_MESSAGE.attribute(IDENTITY), d.CLASS.attribute(b""), d.FRAMED_MTU.attribute(1)),
    ],
)
def test_an_access_request_that_is_none_is_refused(attributes):
    attributes = tuple(
        replace(one, value=b"\1") if one.type == d.FRAMED_MTU.type else one for one in attributes
    )
    answer = World().by_hand(Code.ACCESS_REQUEST, *attributes)
    assert answer.code == Code.ACCESS_REJECT


def test_accounting_that_is_none_gets_no_answer():
    world = World()
    status = d.ACCT_STATUS_TYPE.attribute(d.AcctStatusType.STOP)
    assert world.by_hand(Code.ACCOUNTING_REQUEST, status, port=ACCOUNTING_PORT) is None
    assert world.by_hand(Code.ACCOUNTING_REQUEST, status) is None
    assert world.server.ended == []


def test_what_is_too_long_is_an_error_and_the_next_one_is_served():
    long = Packet(EapCode.RESPONSE, 2, Type.TLS, bytes(4500)).encode()
    world = World(CHALLENGE)
    for _ in range(257):
        told = world.ask(long, seconds=0.0)
        assert isinstance(told, DiameterError)
    assert world.ask().result_code == ResultCode.MULTI_ROUND_AUTH


def test_an_answer_that_does_not_fit_beside_what_proxies_have_noted_is_none():
    world = World(replace(GRANT, sealed_assignment=bytes(1000)), CHALLENGE)
    proxies = [d.PROXY_STATE.attribute(bytes(250)) for _ in range(12)]
    asked = (d.USER_NAME.attribute("mn@home.test"), *d.EAP_MESSAGE.parts(IDENTITY), *proxies)
    assert world.by_hand(Code.ACCESS_REQUEST, *asked) is None
    assert world.ask().result_code == ResultCode.MULTI_ROUND_AUTH


def test_a_grant_that_cannot_be_kept_is_ended(monkeypatch):
    def as_administrator(answer, state):
        code, attributes = access_answer(answer, state)
        return code, (*attributes, d.SERVICE_TYPE.attribute(6))

    monkeypatch.setattr(radius_front, "access_answer", as_administrator)
    world = World(GRANT)
    assert isinstance(world.ask(), GrantError)
    world.client.end(1)
    assert world.net.run(2.0, lambda: world.server.ended)


def test_a_grant_of_another_service_is_none():
    attributes = (d.SERVICE_TYPE.attribute(6), d.EAP_MESSAGE.attribute(SUCCESS))
    packet = RadiusPacket(Code.ACCESS_ACCEPT, 1, bytes(16), attributes)
    answer = read_answer(packet, "1", (SERVER.host, SERVER.realm))
    with pytest.raises(GrantError, match="Service-Type 6"):
        check_authorisation(answer)


def test_a_grant_with_an_eap_failure_is_none():
    answer = World(replace(GRANT, eap_payload=FAILURE)).ask()
    assert answer.result_code == ResultCode.AUTHENTICATION_REJECTED


def test_a_client_has_one_secret():
    one = RadiusClientSettings(name="a.test", address=NAS, secret_file="s")
    with pytest.raises(ValueError, match=f"two RADIUS clients have the address {NAS}"):
        RadiusListenerSettings(address=AAA, clients=(one, one))


def test_an_empty_secret_is_refused():
    with pytest.raises(ValueError, match="secret is empty"):
        World(secret=b"")
