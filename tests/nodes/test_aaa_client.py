"""What an AAA client keeps of its conversations."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import pytest

from agents.core.eventlog import EventLog
from agents.diameter import dictionary as d
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.mobility import MobilityRequest
from agents.eap.wire import Code, Packet, Type
from agents.nodes import aaa_client
from agents.nodes.aaa_client import AaaClient
from agents.nodes.diameter import AaaClientConfiguration, DiameterPeer
from tests.ike import COA


class FakeService:
    """Answers a request when it is told to."""

    def __init__(self, *_, **__):
        self.requests = []
        self.answer = asyncio.get_running_loop().create_future()

    async def request(self, message):
        self.requests.append(message)
        return await self.answer


@pytest.mark.parametrize("home_realm", [None, "far.test"])
def test_requests_are_for_the_home_realm_even_if_a_relay_takes_them(monkeypatch, home_realm):
    monkeypatch.setattr(aaa_client, "DiameterService", FakeService)

    async def main():
        home = DiameterPeer(host="aaa.home.test", realm="home.test", address="::1")
        configuration = AaaClientConfiguration(
            host="B",
            diameter_identity="b.test",
            diameter_realm="test",
            home=home,
            home_realm=home_realm,
        )
        client = AaaClient(configuration, EventLog("B", "role", io.StringIO()))
        answer = DiameterEapAnswer("s", ResultCode.MULTI_ROUND_AUTH, "aaa.home.test", "home.test")
        client._service.answer.set_result(answer.to_message())
        await client.exchange(1, b"", asked=MobilityRequest(), care_of=COA)
        (request,) = map(DiameterEapRequest.from_message, client._service.requests)
        assert request.destination_realm == (home_realm or "home.test")

    asyncio.run(main())


class Home:
    """Two servers of a realm behind a relay that hands them requests in turn."""

    def __init__(self, *_, **__):
        self.requests = []
        self.last = {}

    async def request(self, message):
        request = DiameterEapRequest.from_message(message)
        turn = f"aaa{len(self.requests) % 2}.home.test"
        self.requests.append(request)
        answer = DiameterEapAnswer(
            request.session_id,
            ResultCode.MULTI_ROUND_AUTH,
            request.destination_host or turn,
            "home.test",
            eap_payload=b"\1\2\0\6\x0d\x20",
            state=(f"state {len(self.requests)}".encode(),),
        )
        return replace(answer, **self.last).to_message()


@pytest.fixture
def converse(monkeypatch):
    """Return what runs something with an AAA client and its home."""
    monkeypatch.setattr(aaa_client, "DiameterService", Home)

    def converse(work):
        async def main():
            home = DiameterPeer(host="relay.test", realm="home.test", address="::1")
            configuration = AaaClientConfiguration(
                host="B", diameter_identity="b.test", diameter_realm="test", home=home
            )
            client = AaaClient(configuration, EventLog("B", "role", io.StringIO()))

            async def say(packet, key=1, **more):
                await client.exchange(key, packet, asked=MobilityRequest(), care_of=COA, **more)
                return client._service.requests[-1]

            await work(say, client)

        asyncio.run(main())

    return converse


def identity(name):
    return Packet(Code.RESPONSE, 1, Type.IDENTITY, name).encode()


TLS = Packet(Code.RESPONSE, 2, Type.TLS, b"\0").encode()


def test_a_conversation_stays_with_the_server_that_has_it(converse):
    async def work(say, client):
        first = await say(identity(b"mn@home.test"))
        other = await say(identity(b"other@home.test"), key=2)
        assert (first.destination_host, other.destination_host) == (None, None)
        for _ in range(3):
            first, other = await say(TLS), await say(TLS, key=2)
            assert first.destination_host == "aaa0.home.test"
            assert other.destination_host == "aaa1.home.test"
            assert first.destination_realm == "home.test"
        assert first.state == (b"state 5",)
        client.forget(1)
        assert (await say(identity(b"mn@home.test"))).destination_host is None

    converse(work)


def test_every_request_names_the_user_as_eap_does(converse):
    async def work(say, _):
        for _ in range(2):
            assert (await say(identity("mn\u00e9@home.test".encode()))).user_name == "mné@home.test"
            assert (await say(TLS)).user_name == "mné@home.test"
        assert (await say(TLS, user_name="ike@home.test")).user_name == "ike@home.test"

    converse(work)


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
def test_what_is_no_name_is_no_user_name(converse, packet):
    async def work(say, _):
        request = await say(packet)
        assert (request.user_name, request.eap_payload) == (None, packet)

    converse(work)


@pytest.mark.parametrize("code", [ResultCode.MULTI_ROUND_AUTH, ResultCode.SUCCESS])
def test_an_answer_with_conditions_that_cannot_be_kept_is_an_error(converse, code):
    async def work(say, client):
        client._service.last = {"result_code": code, "unknown": (d.FILTER_ID.avp("no-net"),)}
        with pytest.raises(DiameterError, match="Filter-Id") as caught:
            await say(identity(b"mn@home.test"))
        assert caught.value.code == ResultCode.AVP_UNSUPPORTED

    converse(work)


def test_the_conditions_of_a_refusal_are_nobodys_business(converse):
    async def work(say, client):
        refused = ResultCode.AUTHENTICATION_REJECTED
        client._service.last = {"result_code": refused, "unknown": (d.FILTER_ID.avp("no-net"),)}
        await say(identity(b"mn@home.test"))

    converse(work)


def test_a_conversation_that_is_forgotten_does_not_come_back_with_its_answer(monkeypatch):
    monkeypatch.setattr(aaa_client, "DiameterService", FakeService)

    async def main():
        home = DiameterPeer(host="aaa.home.test", realm="home.test", address="::1")
        configuration = AaaClientConfiguration(
            host="B", diameter_identity="b.test", diameter_realm="test", home=home
        )
        client = AaaClient(configuration, EventLog("B", "role", io.StringIO()))
        conversation = client.exchange(1, b"", asked=MobilityRequest(), care_of=COA)
        asked = asyncio.get_running_loop().create_task(conversation)
        await asyncio.sleep(0)
        client.forget(1)
        answer = DiameterEapAnswer("s", ResultCode.MULTI_ROUND_AUTH, "aaa.home.test", "home.test")
        client._service.answer.set_result(answer.to_message())
        assert (await asked).result_code == ResultCode.MULTI_ROUND_AUTH
        assert not client._conversations

    asyncio.run(main())
