"""What an AAA client keeps of its conversations."""

from __future__ import annotations

import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.mobility import MobilityRequest
from agents.eap.wire import Code, Packet, Type
from agents.nodes.aaa_client import AaaClient
from agents.nodes.diameter_settings import AaaClientConfiguration, DiameterPeer, DiameterRoute
from tests.ike import COA
from tests.nodes.aaa import SERVER, Aaa
from tests.nodes.net import AAA, Net

ANSWER = DiameterEapAnswer(
    "",
    ResultCode.MULTI_ROUND_AUTH,
    "aaa.home.test",
    "home.test",
    eap_payload=b"\1\2\0\6\x0d\x20",
)


class World:
    """An AAA client on B; behind its peer on C two servers of the realm get requests in turn."""

    def __init__(self, **settings):
        self.net = Net()
        self.answer = ANSWER
        self.aaa = Aaa(self.net, self._answer)
        configuration = AaaClientConfiguration(
            host="B",
            diameter_identity="b.test",
            diameter_realm="test",
            **{"home": SERVER, **settings},
        )
        self.client = AaaClient(configuration, self.net.program("B"), self.net.log("B"), epoch=7)
        up = []
        self.client.start(lambda: up.append(True))
        assert self.net.run(5.0, lambda: up)
        assert up == [True]

    def _answer(self, request):
        number = len(self.aaa.asked)
        return replace(
            self.answer,
            session_id=request.session_id,
            origin_host=request.destination_host or f"aaa{(number - 1) % 2}.home.test",
            state=(f"state {number}".encode(),),
        )

    def ask(self, packet, key=1, **more):
        """Put a question; return the list to which its outcome is added."""
        outcomes = []
        self.client.ask(key, packet, outcomes.append, asked=MobilityRequest(), care_of=COA, **more)
        return outcomes

    def say(self, packet, key=1, **more):
        """Put a question and have it answered; return the request."""
        outcomes = self.ask(packet, key, **more)
        assert self.net.run(20.0, lambda: outcomes)
        (self.outcome,) = outcomes
        return self.aaa.asked[-1]


@pytest.fixture
def world():
    return World()


def identity(name):
    return Packet(Code.RESPONSE, 1, Type.IDENTITY, name).encode()


TLS = Packet(Code.RESPONSE, 2, Type.TLS, b"\0").encode()


@pytest.mark.parametrize("home_realm", [None, "far.test"])
def test_requests_are_for_the_home_realm_even_if_a_relay_takes_them(home_realm):
    request = World(home_realm=home_realm).say(b"")
    assert request.destination_realm == (home_realm or "home.test")


def test_a_conversation_stays_with_the_server_that_has_it(world):
    first = world.say(identity(b"mn@home.test"))
    other = world.say(identity(b"other@home.test"), key=2)
    assert (first.destination_host, other.destination_host) == (None, None)
    assert first.session_id != other.session_id
    for _ in range(3):
        first, other = world.say(TLS), world.say(TLS, key=2)
        assert first.destination_host == "aaa0.home.test"
        assert other.destination_host == "aaa1.home.test"
        assert first.destination_realm == "home.test"
    assert first.state == (b"state 5",)
    world.client.forget(1)
    anew = world.say(identity(b"mn@home.test"))
    assert anew.destination_host is None
    assert anew.session_id not in (first.session_id, other.session_id)


def test_every_request_names_the_user_as_eap_does(world):
    for _ in range(2):
        name = "mn\u00e9@home.test"
        assert world.say(identity(name.encode())).user_name == name
        assert world.say(TLS).user_name == name
    assert world.say(TLS, user_name="ike@home.test").user_name == "ike@home.test"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\2",
        TLS,
        identity(b""),
        identity(b"\xff@home.test"),
        identity(b"mn\0@home.test"),
        identity(b"a" * 254),
        Packet(Code.REQUEST, 1, Type.IDENTITY, b"mn@home.test").encode(),
    ],
)
def test_what_is_no_name_is_no_user_name(world, packet):
    request = world.say(packet)
    assert (request.user_name, request.eap_payload) == (None, packet)


@pytest.mark.parametrize("code", [ResultCode.MULTI_ROUND_AUTH, ResultCode.SUCCESS])
def test_an_answer_with_conditions_that_cannot_be_kept_is_an_error(world, code):
    world.answer = replace(ANSWER, result_code=code, unknown=(d.FILTER_ID.avp("no-net"),))
    world.say(identity(b"mn@home.test"))
    assert isinstance(world.outcome, DiameterError)
    assert "Filter-Id" in str(world.outcome)
    assert world.outcome.code == ResultCode.AVP_UNSUPPORTED


def test_the_conditions_of_a_refusal_are_nobodys_business(world):
    refused = ResultCode.AUTHENTICATION_REJECTED
    world.answer = replace(ANSWER, result_code=refused, unknown=(d.FILTER_ID.avp("no-net"),))
    world.say(identity(b"mn@home.test"))
    assert world.outcome.result_code == refused


def test_a_server_that_says_nothing_is_an_error_in_time(world):
    world.aaa.answer = lambda _: None
    began = world.net.clock.now
    world.say(TLS)
    assert isinstance(world.outcome, TimeoutError)
    assert world.net.clock.now - began == pytest.approx(10.0)


def test_a_conversation_that_is_forgotten_does_not_come_back_with_its_answer(world):
    world.aaa.holds = lambda _: True
    outcomes = world.ask(identity(b"mn@home.test"))
    world.net.run(1.0)
    world.client.forget(1)
    world.aaa.release()
    world.net.run(1.0)
    assert [answer.result_code for answer in outcomes] == [ResultCode.MULTI_ROUND_AUTH]
    request = world.say(TLS)
    assert (request.destination_host, request.state, request.user_name) == (None, (), None)
    assert request.session_id != world.aaa.asked[0].session_id


def test_it_knows_its_sessions_by_the_order_in_which_they_began(world):
    first, second = world.client.new_session(), world.client.new_session()
    assert [world.client.session_number(one) for one in (first, second)] == [1, 2]
    head, _, low = second.rpartition(";")
    for other in (
        "",
        "nobody's",
        low,
        f"{head};0{low}",
        f"{head};{int(low) + 1}",
        f"{head};{int(first.rpartition(';')[2]) - 1}",
        f"{head};{low};1",
        f"{head};{'9' * 5000}",
        f"x{second}",
    ):
        assert world.client.session_number(other) is None


FAR = DiameterPeer(host="aaa.far.test", realm="far.test", address=AAA, port=3869)


def routed(name, **settings):
    """Return the first request about somebody, or why there is none, and how long that took."""
    world = World(**settings)
    began, asked = world.net.clock.now, len(world.aaa.asked)
    outcomes = world.ask(identity(name))
    assert world.net.run(20.0, lambda: outcomes)
    if len(world.aaa.asked) > asked:
        return world.aaa.asked[-1].destination_realm
    return outcomes[0].code, str(outcomes[0]), world.net.clock.now - began


@pytest.mark.parametrize(
    ("name", "realm"),
    [
        (b"mn@home.test", "home.test"),
        (b"@home.test", "home.test"),
        (b"mn@HOME.test", "HOME.test"),
        (b"mn@b@home.test", "home.test"),
        (b"mn", "home.test"),
        (b"mn@", "home.test"),
        (b"far.test", "home.test"),
    ],
)
def test_the_realm_of_the_identity_is_asked(name, realm):
    assert routed(name) == realm


def test_whom_the_relay_asks_is_its_own_business():
    assert routed(b"mn@far.test", home_realm="home.test") == "far.test"


def test_a_realm_that_nobody_serves_is_refused_at_once():
    alone = DiameterPeer(host=SERVER.host, realm=SERVER.realm, address=AAA)
    code, reason, took = routed(b"mn@far.test", home=alone)
    assert (code, reason, took) == (
        ResultCode.REALM_NOT_SERVED,
        "no route to realm 'far.test'",
        0.0,
    )
    code, reason, took = routed("mn@f\u00e4r.test".encode(), home=alone)
    assert (code, reason, took) == (
        ResultCode.REALM_NOT_SERVED,
        "'f\u00e4r.test' is no realm",
        0.0,
    )


def test_a_conversation_keeps_its_realm(world):
    assert world.say(identity(b"mn@home.test")).destination_realm == "home.test"
    assert world.say(TLS, user_name="mn@other.test").destination_realm == "home.test"


def test_a_route_to_nobody_is_refused():
    route = DiameterRoute(realm="home.test", peers=("aaa.hme.test",))
    with pytest.raises(ValueError, match=r"the route to home\.test: there is no peer"):
        World(routes=(route,))


def test_routes_decide_before_realms():
    route = DiameterRoute(realm="far.test", peers=(SERVER.host,))
    assert routed(b"mn@far.test", peers=(FAR,), routes=(route,)) == "far.test"


def granted(world, key=1):
    world.answer = replace(
        ANSWER, result_code=ResultCode.SUCCESS, auth_session_state=0, msk=bytes(64)
    )
    return world.say(identity(b"mn@home.test"), key)


def test_the_end_is_told_to_the_server_that_has_the_session(world):
    request = granted(world)
    world.client.end(1)
    world.net.run(1.0)
    (told,) = [m for m in world.aaa.heard if m.request]
    assert d.SESSION_ID.find(told.avps) == request.session_id
    assert d.DESTINATION_HOST.find(told.avps) == "aaa0.home.test"
    assert d.DESTINATION_REALM.find(told.avps) == "home.test"


def test_another_server_that_grants_the_next_one_leaves_the_first_without(world):
    request = granted(world)
    world.client.forget(1)
    granted(world)  # By the other server of the realm.
    world.net.run(1.0)
    (told,) = [m for m in world.aaa.heard if m.request]
    assert d.SESSION_ID.find(told.avps) == request.session_id
    assert d.DESTINATION_HOST.find(told.avps) == "aaa0.home.test"
