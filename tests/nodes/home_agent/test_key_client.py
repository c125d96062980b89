"""A home agent that asks the home AAA server for IKE's keys, and what it makes of the answers.

The server says what a test wants; subscribers speak IKE of either version with the home agent.
"""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.bootstrap.assignment import Assignment
from agents.core.later import Later
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.config import NodeConfig, PeerConfig
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.sessions import KeyAnswer, KeyRequest, SessionRequest, session_answer
from agents.ikev1.config import Config
from agents.ikev1.constants import Mode
from agents.ikev1.ikev1 import Ikev1
from agents.ikev2.config import Credentials
from agents.nodes.diameter import DiameterService
from agents.nodes.diameter_settings import DiameterPeer
from agents.nodes.home_agent.key_client import IDLE, OF_HOST, RENEW_AT
from agents.nodes.home_agent.machine import HomeAgentNode
from agents.nodes.home_agent.settings import HomeAgentConfiguration, HomeAgentSettings
from agents.nodes.ike_daemon.ikev2_settings import Ikev2PskSettings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from tests.nodes.net import AAA, COA, HA, HOME, OTHER_COA, Net
from tests.nodes.subscriber import Subscriber

NAME, OTHER = "mn@home.test", "other@home.test"
HOA, OTHER_HOA = HA + 0x1234, HA + 0x5678
KEY, NEXT_KEY = bytes(32), bytes([1]) * 32
LIFETIME = 600.0
HOST, SERVER = "ha1.home.test", "aaa.home.test"


class World:
    """The home agent, and a server whose next answers are `grants`: by the identity asked for."""

    def __init__(self, version=2, mode="main"):
        self.version, self.mode = version, mode
        self.net = Net()
        self.kernel = self.net.home_agent()
        self.asked, self.ended = [], []
        self.key, self.granted = KEY, {}
        self.silent = False
        self.meanwhile = lambda *_: None
        """What happens a second after a question that is not answered at once."""
        config = NodeConfig(
            SERVER,
            "home.test",
            (PeerConfig(HOST, "home.test", sources=(IPv6Address(AAA),)),),
            applications=(5, 11),
        )
        self.service = DiameterService(
            self.net.program("C"), config, handler=self._answer, listen=[(AAA, 3868)]
        )
        self.service.start()
        configuration = HomeAgentConfiguration(
            host="C",
            diameter_identity=HOST,
            diameter_realm="home.test",
            home=DiameterPeer(host=SERVER, realm="home.test", address=AAA, relays=("home.test",)),
            home_agent=HomeAgentSettings(
                address=str(HA), interface="home", prefix=HOME, duplicate_address_detection=False
            ),
            ikev1=Ikev1Settings(mode=mode, group="ecp256") if version == 1 else None,
            ikev2=Ikev2PskSettings() if version == 2 else None,
            identity=HOST,
        )
        node = HomeAgentNode(
            configuration,
            self.net.program("C"),
            self.kernel,
            self.net.log("C"),
            credentials=Credentials(),
            epoch=7,
        )
        up = []
        node.start(lambda: up.append(True))
        assert self.net.run(5.0, lambda: up)
        assert up == [True]

    def _answer(self, message):
        if message.command == d.Command.SESSION_TERMINATION:
            self.ended.append(SessionRequest.from_message(message))
            return session_answer(message, ResultCode.SUCCESS, SERVER, "home.test")
        request = KeyRequest.from_message(message)
        self.asked.append(request)
        if self.silent:
            later = Later()
            self.net.clock.at(self.net.clock.now + 1.0, lambda: self.meanwhile(request, later))
            return later
        return self.grant(request)

    def grant(self, request):
        """Return the answer that a test wants."""
        answer = KeyAnswer(
            session_id=request.session_id,
            result_code=ResultCode.SUCCESS,
            origin_host=SERVER,
            origin_realm="home.test",
            identity=NAME,
            key=None if request.renews else self.key,
            assignment=Assignment(HA, 56, HOA),
            lifetime=LIFETIME,
            renews=request.renews,
        )
        return replace(answer, **self.granted).to_message()

    def refuse(self):
        code = ResultCode.AUTHORIZATION_REJECTED
        self.granted = {"result_code": code, "key": None, "assignment": None, "identity": None}

    def connect(self, key=KEY, home=HOA, care_of=COA, patience=40.0):
        node = Subscriber(self.net, care_of)
        node.patience = patience
        if self.version == 1:
            node.ikev1(key, home)
        else:
            node.ikev2(NAME, psk=key)
        return node

    def order(self, command, session_id, user_name=None, origin=SERVER):
        """Have the server tell the home agent something; return the result.

        With another `origin` it is who relays that.
        """
        answers = self.begin_order(command, session_id, user_name, origin)
        assert self.net.run(5.0, lambda: answers)
        if isinstance(answers[0], DiameterError):
            return answers[0].code
        return d.RESULT_CODE.find(answers[0].avps)

    def begin_order(self, command, session_id, user_name=None, origin=SERVER):
        """Have the server tell it; return where the answer will be."""
        request = SessionRequest(
            command=command,
            session_id=session_id,
            application=11,
            origin_host=origin,
            origin_realm="home.test",
            destination_realm="home.test",
            destination_host=HOST,
            user_name=user_name,
        )
        message, answers = request.to_message(), []
        if origin != SERVER:
            message = replace(message, avps=(*message.avps, d.ROUTE_RECORD.avp(origin)))
        self.service.submit(message, answers.append)
        return answers


@pytest.fixture(params=[1, 2])
def world(request):
    return World(request.param)


def test_who_has_the_key_that_the_server_tells_gets_sas_and_can_register(world):
    node = world.connect()
    assert node.secured
    assert node.register()
    assert set(world.kernel.bound) == {HOA}
    [asked] = world.asked
    assert asked.origin_host == HOST
    assert asked.care_of_address == COA
    assert asked.load == 0


def test_main_mode_asks_by_the_address_and_what_tells_a_name_by_that(world):
    world.connect()
    expected = str(COA) if world.version == 1 else NAME
    assert world.asked[0].identity.text == expected


@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_the_key_of_the_server_counts_in_either_mode(mode):
    world = World(1, mode)
    assert world.connect().secured
    assert not World(1, mode).connect(NEXT_KEY).secured


def test_who_has_another_key_gets_nothing(world):
    assert not world.connect(NEXT_KEY).secured


def test_every_ike_sa_gets_the_key_that_counts_then(world):
    world.connect().vanish()
    world.key = NEXT_KEY
    assert world.connect(NEXT_KEY).secured
    assert len(world.asked) == 2


def test_who_is_refused_gets_nothing_and_is_told_so(world):
    world.refuse()
    node = world.connect()
    assert not node.secured
    assert node.failures
    assert world.net.told("AaaRefused")
    assert set(world.kernel.bound) == set()


def test_a_server_that_does_not_answer_is_waited_for_and_no_longer(world):
    world.silent = True
    node = world.connect()
    assert not node.secured
    assert node.failures
    world.silent = False
    world.net.run(40.0)
    node.vanish()
    assert world.connect().secured


@pytest.mark.parametrize(
    "wrong",
    [
        {"assignment": None},
        {"assignment": Assignment(HA + 1, 56, HOA)},
        {"assignment": Assignment(HA, 56, None)},
        {"assignment": Assignment(HA, 56, HA)},
        {"assignment": Assignment(HA, 56, IPv6Address("2001:db8:fff::1"))},
        {"identity": None},
        {"key": None},
    ],
)
def test_what_the_server_cannot_mean_has_no_effect(world, wrong):
    world.granted = wrong
    assert not world.connect().secured
    assert set(world.kernel.bound) == set()


def test_a_home_address_is_whose_the_server_says_last_and_the_former_holder_loses_all(world):
    node = world.connect()
    assert node.register()
    world.granted, world.key = {"identity": OTHER}, NEXT_KEY
    other = world.connect(NEXT_KEY, care_of=OTHER_COA)
    assert other.secured
    assert set(world.kernel.bound) == set()
    assert [e.session_id for e in world.ended] == [world.asked[0].session_id]
    assert other.register()
    assert not node.register()
    assert world.kernel.bound == {HOA: OTHER_COA}


def test_a_home_address_that_another_server_has_given_is_not_passed_on(world):
    node = world.connect()
    world.granted = {"identity": OTHER, "origin_host": "other.home.test"}
    assert not world.connect(care_of=OTHER_COA).secured
    assert "cannot have" in world.net.told("AaaRefused")[-1]["reason"]
    assert node.register()


def test_an_answer_to_an_earlier_question_passes_no_home_address_on(world):
    world.silent, late = True, []
    world.meanwhile = lambda request, later: late.append((request, later))
    first = world.connect(care_of=OTHER_COA, patience=3.0)
    assert late
    world.silent = False
    node = world.connect()
    assert node.register()
    world.granted = {"identity": OTHER}
    for request, later in late:
        later.settle(world.grant(request))
    world.net.run(1.0)
    assert world.kernel.bound == {HOA: COA}
    assert node.register()
    assert not first.secured


# Renewal and end


def test_the_server_is_asked_in_time_whether_it_goes_on(world):
    node = world.connect()
    world.net.run(RENEW_AT * LIFETIME + 1.0)
    assert [a.renews for a in world.asked] == [False, True]
    assert world.asked[1].session_id == world.asked[0].session_id
    assert world.asked[1].identity.text == NAME
    world.net.run(LIFETIME)
    assert node.register()


def test_without_an_authorisation_everything_ends_in_time_and_the_server_is_told(world):
    node = world.connect()
    assert node.register()
    world.refuse()
    world.net.run(LIFETIME - 5.0)
    assert set(world.kernel.bound) == {HOA}
    world.net.run(10.0)
    assert set(world.kernel.bound) == set()
    assert not node.register()
    assert [e.session_id for e in world.ended] == [world.asked[0].session_id]


def test_a_server_that_is_away_for_a_while_is_asked_again(world):
    node = world.connect()
    world.silent = True
    world.net.run(RENEW_AT * LIFETIME + 5.0)
    world.silent = False
    world.net.run(LIFETIME)
    assert node.register()


@pytest.mark.parametrize("code", [ResultCode.UNABLE_TO_DELIVER, ResultCode.TOO_BUSY])
def test_a_server_that_cannot_be_asked_for_a_while_is_asked_again(world, code):
    node = world.connect()
    nothing = {"key": None, "assignment": None, "identity": None}
    world.granted = {"result_code": code, **nothing}
    world.net.run(RENEW_AT * LIFETIME + 5.0)
    world.granted = {}
    world.net.run(LIFETIME)
    assert node.register()


def test_the_server_may_have_it_asked_at_any_time(world):
    node = world.connect()
    world.net.run(LIFETIME / 2)
    assert world.order(d.Command.RE_AUTH, world.asked[0].session_id) == ResultCode.SUCCESS
    world.net.run(1.0)
    assert world.asked[-1].renews
    world.refuse()
    world.net.run(LIFETIME * 0.9)  # By half of it longer than at first.
    assert node.register()


def test_the_server_may_end_it_at_any_time(world):
    node = world.connect()
    assert node.register()
    session_id = world.asked[0].session_id
    assert world.order(d.Command.ABORT_SESSION, session_id) == ResultCode.SUCCESS
    assert set(world.kernel.bound) == set()
    assert not node.register()
    assert world.order(d.Command.ABORT_SESSION, session_id) == ResultCode.UNKNOWN_SESSION_ID


def test_a_subscriber_whose_session_the_server_knows_by_another_name_is_ended_by_its_own(world):
    node = world.connect()
    assert node.register()
    world.silent = True
    world.connect(care_of=OTHER_COA)  # The server may have answered what was not waited for.
    lost = world.asked[-1].session_id
    assert world.order(d.Command.ABORT_SESSION, lost) == ResultCode.UNKNOWN_SESSION_ID
    assert world.order(d.Command.ABORT_SESSION, lost, NAME) == ResultCode.SUCCESS
    assert set(world.kernel.bound) == set()
    assert not node.register()


def test_a_question_under_way_can_be_ended_and_its_answer_is_too_late_then(world):
    told = []

    def withdraw(request, later):
        told.append(world.begin_order(d.Command.ABORT_SESSION, request.session_id, NAME))
        answer = world.grant(request)
        world.net.clock.at(world.net.clock.now + 1.0, lambda: later.settle(answer))

    world.silent, world.meanwhile = True, withdraw
    assert not world.connect().secured
    world.net.run(5.0)
    assert told
    assert all(d.RESULT_CODE.find(one.avps) == ResultCode.SUCCESS for (one,) in told)
    assert not [*world.kernel.bound]


def test_the_answer_to_an_earlier_question_that_comes_later_leaves_one_session(world):
    under_way = []
    world.silent, world.meanwhile = True, lambda *both: under_way.append(both)
    nodes = [world.connect(care_of=where, patience=0.1) for where in (COA, OTHER_COA)]
    world.net.run(2.0)
    (first, its), (second, others) = under_way
    others.settle(world.grant(second))
    world.net.run(0.5)
    world.silent = False
    its.settle(world.grant(first))
    world.net.run(5.0)
    assert [node.secured for node in nodes] == [False, True]
    assert [one.session_id for one in world.ended] == [first.session_id]
    renewal = world.asked[-1]
    assert (renewal.renews, renewal.session_id) == (True, second.session_id)
    assert world.order(d.Command.ABORT_SESSION, second.session_id) == ResultCode.SUCCESS
    world.net.run(0.1)
    assert world.ended[-1].session_id == second.session_id


def two_questions(world):
    """Have two questions about one subscriber put, and answered by none."""
    under_way = []
    world.silent, world.meanwhile = True, lambda *both: under_way.append(both)
    nodes = [world.connect(care_of=where, patience=0.1) for where in (COA, OTHER_COA)]
    world.net.run(2.0)
    return nodes, *under_way


def test_what_was_taken_back_is_not_granted_by_the_answer_to_an_earlier_question(world):
    nodes, (first, its), (second, others) = two_questions(world)
    others.settle(world.grant(second))
    world.net.run(0.5)
    abort = d.Command.ABORT_SESSION
    assert world.order(abort, second.session_id, NAME) == ResultCode.SUCCESS
    its.settle(world.grant(first))
    world.net.run(5.0)
    assert not nodes[0].secured
    assert not nodes[0].register()
    assert {one.session_id for one in world.ended} == {first.session_id, second.session_id}
    assert world.order(abort, first.session_id, NAME) == ResultCode.UNKNOWN_SESSION_ID


def test_what_was_taken_back_unanswered_is_granted_by_no_earlier_question_either(world):
    nodes, (first, its), (second, others) = two_questions(world)
    abort = d.Command.ABORT_SESSION
    assert world.order(abort, second.session_id, NAME) == ResultCode.SUCCESS
    its.settle(world.grant(first))
    others.settle(world.grant(second))
    world.net.run(5.0)
    assert not any(node.secured for node in nodes)
    assert not [*world.kernel.bound]


def test_another_server_takes_nothing_back_that_is_asked_for(world):
    nodes, (first, its), (second, others) = two_questions(world)
    for session_id in (second.session_id, first.session_id):
        world.order(d.Command.ABORT_SESSION, session_id, NAME, origin="ha2.home.test")
    its.settle(world.grant(first))
    others.settle(world.grant(second))
    world.net.run(5.0)
    assert nodes[1].register()


def test_the_name_of_a_subscriber_ends_no_session_for_another_that_is_over_or_was_never(world):
    world.connect()
    node = world.connect(care_of=OTHER_COA)
    over, present = (one.session_id for one in world.asked)
    head, _, last = present.rpartition(";")
    invented = ["nobody's", f"{head};{int(last) + 1}", f"{head};{last}0", f"{head};x", ""]
    for session_id in (over, *invented):
        for command in (d.Command.ABORT_SESSION, d.Command.RE_AUTH):
            order = world.order(command, session_id, NAME)
            assert (session_id, order) == (session_id, ResultCode.UNKNOWN_SESSION_ID)
    assert node.register()


def test_one_renewal_is_under_way_whatever_the_server_orders_and_one_more_after_that(world):
    node = world.connect()
    session_id, under_way = world.asked[0].session_id, []
    world.silent, world.meanwhile = True, lambda *both: under_way.append(both)
    for _ in range(20):
        assert world.order(d.Command.RE_AUTH, session_id, NAME) == ResultCode.SUCCESS
    world.net.run(2.0)
    assert len(under_way) == 1
    world.silent = False
    ((request, later),) = under_way
    later.settle(world.grant(request))
    world.net.run(5.0)
    assert [one.renews for one in world.asked] == [False, True, True]
    assert world.order(d.Command.RE_AUTH, session_id, NAME) == ResultCode.SUCCESS
    world.net.run(5.0)
    assert len(world.asked) == 4
    assert node.register()


@pytest.mark.parametrize("command", [d.Command.ABORT_SESSION, d.Command.RE_AUTH])
def test_nobody_orders_but_the_server_that_has_authorised_it(world, command):
    node = world.connect()
    session_id, questions = world.asked[0].session_id, len(world.asked)
    for session in (session_id, "nobody's"):
        order = world.order(command, session, NAME, origin="ha2.home.test")
        assert order == ResultCode.UNKNOWN_SESSION_ID
    assert node.register()
    assert len(world.asked) == questions
    assert world.order(command, session_id, NAME, origin=SERVER.upper()) == ResultCode.SUCCESS


def test_a_session_that_is_not_there_cannot_be_ended(world):
    node = world.connect()
    assert world.order(d.Command.ABORT_SESSION, "nobody's") == ResultCode.UNKNOWN_SESSION_ID
    order = world.order(d.Command.ABORT_SESSION, "nobody's", "other@home.test")
    assert order == ResultCode.UNKNOWN_SESSION_ID
    assert node.register()


def test_who_has_left_is_gone_after_a_while_and_the_server_is_told(world):
    node = world.connect()
    assert node.register()
    node.leave()
    world.net.run(IDLE - 5.0)
    assert world.ended == []
    world.net.run(10.0)
    assert [e.session_id for e in world.ended] == [world.asked[0].session_id]
    assert world.ended[0].load == 0
    assert set(world.kernel.bound) == set()


def test_who_has_left_an_ike_sa_without_esp_sas_is_gone_too():
    world = World(2)
    node = world.connect()
    assert node.register()
    node.leave_children()
    world.net.run(2 * IDLE)
    assert world.ended == []
    node.leave()
    world.net.run(2 * IDLE)
    assert [e.session_id for e in world.ended] == [world.asked[0].session_id]


def test_who_comes_back_at_once_was_not_away(world):
    node = world.connect()
    assert node.register()
    node.leave()
    world.net.run(1.0)
    node.vanish()
    assert world.connect().secured
    world.net.run(2 * IDLE)
    assert world.ended == []
    assert set(world.kernel.bound) == {HOA}


def test_who_never_completes_ike_is_gone_after_a_while(world):
    assert not world.connect(NEXT_KEY).secured
    world.net.run(2 * IDLE)
    assert [e.session_id for e in world.ended] == [a.session_id for a in world.asked][-1:]


def test_forged_first_messages_have_no_more_questions_put_than_a_host_may():
    world = World(1, "aggressive")
    world.silent = True
    forged = world.net.program("D").open_datagrams((str(OTHER_COA), 500), lambda *_: None)
    for _ in range(10 * OF_HOST):
        config = Config(mode=Mode.AGGRESSIVE, identity=NAME)
        flooder = Ikev1(rng=world.net.program("D").rng, local=OTHER_COA, config=config)
        flooder.add_psk(NEXT_KEY, peer=HA, home_address=HOA)
        flooder.initiate(HA, None, world.net.clock.now)
        for data, address in flooder.outbox:
            forged.send(data, address)
    world.net.run(1.0)
    waiting = world.net.told("KeyWanted")
    assert waiting
    refused = [e for e in world.net.told("Failed") if e["agent"] == "ikev1"]
    assert len(waiting) - len(refused) <= OF_HOST
    world.silent = False
    forged.close()
    assert world.connect().secured
