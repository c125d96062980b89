"""Client and server over a link that loses, repeats and alters."""

import random
from ipaddress import IPv6Address

import pytest

from agents.core.machine import Discarded, Timing
from agents.radius import dictionary as d
from agents.radius.client import TIMING, RadiusClient
from agents.radius.events import (
    AnswerReceived,
    DuplicateReceived,
    Peer,
    RequestFailed,
    RequestReceived,
)
from agents.radius.protection import check_request, protect_answer
from agents.radius.server import KEPT, MOST_KEPT, RadiusServer
from agents.radius.wire import PORT, Code
from tests.link import Link

SECRET = b"testing123"
CLIENT, SERVER = ("2001:db8:2::1", 40000), ("2001:db8:2::2", PORT)
ASKED = (d.USER_NAME.attribute("mn@home.test"), d.PROXY_STATE.attribute(b"1"))
EXACT = Timing(2.0, 16.0, 5, 30.0, 0.0)


class World:
    """A client and a server that answers what it gets with Access-Accept."""

    def __init__(self, *, secret=SECRET, timing=EXACT, answers=True, **link):
        self.client = RadiusClient(SERVER, secret, rng=random.Random(1), timing=timing)
        peer = Peer("nas", IPv6Address(CLIENT[0]), SECRET)
        self.server = RadiusServer([peer], [Code.ACCESS_REQUEST], rng=random.Random(2))
        self.link = Link(self.client, CLIENT, self.server, SERVER, **link)
        self.asked = []
        self.told = []
        self._answers = answers

    def ask(self, times=1):
        return [
            self.client.request(Code.ACCESS_REQUEST, ASKED, self.link.now) for _ in range(times)
        ]

    def run(self, until=60.0):
        for step in range(1, int(until * 100)):
            self.link.run(step / 100)
            self.told += self.client.events
            self.client.events.clear()
            while self.server.events:
                event = self.server.events.popleft()
                self.asked.append(event)
                if isinstance(event, RequestReceived) and self._answers:
                    self.server.answer(event.token, Code.ACCESS_ACCEPT, [d.CLASS.attribute(b"c")])
        return self.told

    def sent(self, whose=CLIENT):
        return [round(time, 2) for time, source, _ in self.link.sent if source == whose]


def test_what_is_too_long_for_a_packet_takes_no_identifier():
    world = World()
    for _ in range(257):
        with pytest.raises(ValueError, match="at most 4096"):
            world.client.request(
                Code.ACCESS_REQUEST, d.EAP_MESSAGE.parts(bytes(4500)), world.link.now
            )
    assert world.client.next_timeout() is None
    world.ask()
    (told,) = world.run(1.0)
    assert isinstance(told, AnswerReceived)


def test_a_request_is_answered_with_its_proxy_state():
    world = World()
    (token,) = world.ask()
    (told,) = world.run(1.0)
    assert isinstance(told, AnswerReceived)
    assert (told.token, told.packet.code) == (token, Code.ACCESS_ACCEPT)
    assert d.CLASS.find(told.packet.attributes) == b"c"
    assert d.PROXY_STATE.find(told.packet.attributes) == b"1"
    (asked,) = world.asked
    assert asked.client == "nas"
    assert world.client.next_timeout() is None


def test_a_lost_request_is_sent_again_as_it_was():
    world = World(drop={0})
    world.ask()
    (told,) = world.run(5.0)
    assert isinstance(told, AnswerReceived)
    assert world.sent() == [0, 2]
    first, second = [data for _, source, data in world.link.sent if source == CLIENT]
    assert first == second


def test_a_lost_answer_is_sent_again_from_memory():
    world = World(drop={1})
    world.ask()
    (told,) = world.run(5.0)
    assert isinstance(told, AnswerReceived)
    assert [type(event) for event in world.asked] == [RequestReceived, DuplicateReceived]
    first, second = [data for _, source, data in world.link.sent if source == SERVER]
    assert first == second


def test_nobody_answers():
    world = World(answers=False)
    (token,) = world.ask()
    (told,) = world.run(60.0)
    assert isinstance(told, RequestFailed)
    assert (told.token, told.at) == (token, 30.0)
    assert world.sent() == [0, 2, 6, 14]
    assert "does not answer" in told.reason


def test_it_is_asked_five_times_at_most():
    world = World(answers=False, timing=Timing(2.0, 16.0, 5, 0.0, 0.0))
    world.ask()
    assert isinstance(world.run(70.0)[0], RequestFailed)
    assert world.sent() == [0, 2, 6, 14, 30]


def test_the_pauses_are_not_the_same_for_all():
    world = World(answers=False, timing=TIMING)
    world.ask(2)
    world.run(3.0)
    first, second = [time for time, _, _ in world.link.sent if time]
    assert first != second
    assert all(1.8 <= time <= 2.2 for time in (first, second))


def test_a_wrong_secret_gets_no_answer():
    world = World(secret=b"another")
    world.ask()
    (told,) = world.run(60.0)
    assert isinstance(told, RequestFailed)
    assert {type(event) for event in world.asked} == {Discarded}
    assert world.sent(SERVER) == []


def test_an_altered_answer_is_dropped_and_the_right_one_taken():
    altered = []

    def tamper(data):
        if data[0] == Code.ACCESS_ACCEPT and not altered:
            altered.append(data)
            return data[:-1] + bytes((data[-1] ^ 1,))
        return data

    world = World(tamper=tamper)
    world.ask()
    dropped, told = world.run(5.0)
    assert isinstance(dropped, Discarded)
    assert "Response Authenticator is wrong" in dropped.reason
    assert isinstance(told, AnswerReceived)


def test_an_answer_from_elsewhere_or_to_nothing_is_dropped():
    world = World(answers=False)
    world.ask()
    ((data, _),) = world.client.outbox
    answer = protect_answer(
        Code.ACCESS_ACCEPT, check_request(data, SECRET), (), SECRET, random.Random(1)
    )
    other = bytes((answer[0], data[1] + 1)) + answer[2:]
    asked = check_request(data, SECRET)
    accounting = protect_answer(Code.ACCOUNTING_RESPONSE, asked, (), SECRET, random.Random(1))
    unknown = protect_answer(40, asked, (), SECRET, random.Random(1))
    for octets, source in (
        (answer, ("2001:db8:2::3", PORT)),
        (answer, (SERVER[0], PORT + 1)),
        (other, SERVER),
        (accounting, SERVER),
        (unknown, SERVER),
        (b"", SERVER),
    ):
        world.client.handle_message(octets, source, 0.0)
    assert [type(event) for event in world.client.events] == [Discarded] * 6
    world.client.events.clear()
    world.client.handle_message(answer, SERVER, 0.0)
    assert isinstance(world.client.events.popleft(), AnswerReceived)


def test_what_is_asked_while_all_identifiers_are_in_use_waits():
    world = World()
    tokens = world.ask(300)
    assert len(world.client.outbox) == 256
    told = world.run(2.0)
    assert sorted(event.token for event in told) == tokens
    assert len({data[1] for _, source, data in world.link.sent if source == CLIENT}) == 256


def test_who_waits_for_an_identifier_in_vain_is_told():
    world = World(answers=False)
    world.ask(257)
    assert len(world.run(40.0)) == 257
    assert world.client.next_timeout() is None


def test_what_is_cancelled_is_told_no_more_of():
    world = World()
    first, second = world.ask(2)
    world.client.cancel(first, 0.0)
    world.client.cancel(first, 0.0)
    answers = [told for told in world.run(5.0) if isinstance(told, AnswerReceived)]
    assert [told.token for told in answers] == [second]


def test_the_same_identifier_with_another_authenticator_is_another_request():
    world = World()
    for _ in range(2):
        client = RadiusClient(SERVER, SECRET, rng=random.Random(), timing=EXACT)
        client.request(Code.ACCESS_REQUEST, ASKED, 0.0)
        ((data, _),) = client.outbox
        assert data[1] == 0
        world.server.handle_message(data, CLIENT, 0.0)
    assert [type(event) for event in world.server.events] == [RequestReceived] * 2


def test_what_came_long_ago_is_forgotten():
    world = World()
    world.ask()
    world.run(1.0)
    assert world.server.next_timeout() == pytest.approx(KEPT, abs=0.1)
    world.server.handle_timeout(KEPT + 1)
    assert world.server.next_timeout() is None
    world.server.answer(1, Code.ACCESS_ACCEPT, [])
    assert not world.server.outbox


def test_a_request_that_is_dropped_may_come_again():
    world = World(answers=False)
    world.ask()
    ((data, _),) = world.client.outbox
    world.server.handle_message(data, CLIENT, 0.0)
    world.server.drop(world.server.events.popleft().token)
    world.server.handle_message(data, CLIENT, 1.0)
    assert isinstance(world.server.events.popleft(), RequestReceived)


def test_so_many_requests_are_known_and_no_more():
    server = World().server
    rng = random.Random(3)
    clients = [RadiusClient(SERVER, SECRET, rng=rng) for _ in range(MOST_KEPT // 256 + 1)]
    for port, client in enumerate(clients):
        for _ in range(256):
            client.request(Code.ACCESS_REQUEST, (), 0.0)
        for data, _ in client.outbox:
            server.handle_message(data, (CLIENT[0], 1000 + port), 0.0)
    tokens = [event.token for event in server.events]
    for token in tokens:
        server.answer(token, Code.ACCESS_REJECT, ())
    assert len(server.outbox) == MOST_KEPT


def test_strangers_and_other_requests_are_dropped():
    world = World()
    world.ask()
    ((data, _),) = world.client.outbox
    world.server.handle_message(data, ("2001:db8:2::9", 1), 0.0)
    world.client.request(Code.ACCOUNTING_REQUEST, (), 0.0)
    world.server.handle_message(world.client.outbox[-1][0], CLIENT, 0.0)
    world.server.handle_message(b"\x0c" + data[1:], CLIENT, 0.0)
    assert [type(event) for event in world.server.events] == [Discarded] * 3
    assert not world.server.outbox
