"""What an AAA client keeps of its conversations."""

from __future__ import annotations

import asyncio
import io

import pytest

from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import ResultCode
from agents.diameter.mobility import MobilityRequest
from agents.roles import aaa_client
from agents.roles.aaa_client import AaaClient, AaaClientConfiguration
from agents.roles.diameter import DiameterPeer
from agents.shell.eventlog import EventLog
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
        assert not client._sessions

    asyncio.run(main())
