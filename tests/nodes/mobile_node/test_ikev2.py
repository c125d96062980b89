"""What a mobile node does about its IKEv2 after the bootstrap."""

from __future__ import annotations

import asyncio

import pytest

from agents.kernel.model_port import ModelMobileNode
from agents.nodes import retry
from agents.nodes.ike_daemon.ikev2 import Ike2Settings
from agents.nodes.mobile_node import machine as mobile_node
from agents.nodes.mobile_node.settings import StaticSettings
from tests.ike import COA, HA, HOA
from tests.nodes import stand_ins
from tests.nodes.stand_ins import Recorder, configured

NEXT_COA = COA + 0x100
AGAIN = ("initiate", HA, HOA, None, "EAP")


async def called(mn, times=1):
    """Wait until a mobile node's IKE has been called so often."""
    async with asyncio.timeout(5):
        while len(mn._ikev2.calls) < times:
            await asyncio.sleep(0.001)


@pytest.fixture
def node(monkeypatch):
    """Return a mobile node on its home address, which IKEv2 with EAP has assigned."""
    monkeypatch.setattr(mobile_node, "LinuxMobileNode", ModelMobileNode)
    monkeypatch.setattr(mobile_node, "EapPeers", lambda *_: lambda: "EAP")
    monkeypatch.setattr(mobile_node, "Ike2Service", Recorder)
    monkeypatch.setattr(mobile_node, "RegistrationService", Recorder)
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.02)

    def node():
        known = StaticSettings(home_agent=str(HA))
        node = stand_ins.mobile_node(configured(discovery=known, ikev2=Ike2Settings()))
        node.start()
        assert node._ikev2.calls == [("initiate", HA, None, None, "EAP")]
        node._on_address(HOA)
        node._ikev2.calls.clear()
        return node

    return node


def test_it_negotiates_and_registers_again_when_the_ike_sa_is_lost(node):
    async def main():
        mn = node()
        mn._ikev2.on_lost()
        assert not mn._ikev2.calls
        await called(mn)
        assert mn._ikev2.calls == [AGAIN]
        assert mn._registration.calls == [("renew",)]
        mn.close()

    asyncio.run(main())


def test_it_tries_again_until_there_are_sas(node):
    async def main():
        mn = node()
        mn._registration.bootstrapped = True
        mn._ikev2.on_lost()
        for times in range(1, 4):
            await called(mn, times)
            mn._ikev2.given["on_failure"]("no answer")
            mn._ikev2.given["on_failure"]("no answer at all")
        mn._ikev2.up = True
        await asyncio.sleep(0.3)
        assert mn._ikev2.calls == [AGAIN] * 3
        assert mn._registration.calls == [("renew",)] * 3
        assert mn.written() == ["IkeFailed"] * 6
        mn.close()

    asyncio.run(main())


def test_a_failure_ends_a_bootstrap_that_is_under_way(node):
    async def main():
        mn = node()
        mn._ikev2.given["on_failure"]("no answer")
        await asyncio.sleep(0.05)
        assert not mn._ikev2.calls
        assert mn.written() == ["BootstrapFailed"]
        mn.close()

    asyncio.run(main())


def test_closed_it_tries_no_more(node):
    async def main():
        mn = node()
        mn._ikev2.on_lost()
        mn.close()
        await asyncio.sleep(0.05)
        assert mn._ikev2.calls == [("close",)]

    asyncio.run(main())


def test_deregistered_it_stays_so_until_it_is_asked(node):
    async def main():
        mn = node()
        assert mn._deregister()
        mn._ikev2.on_lost()
        await asyncio.sleep(0.05)
        assert not mn._ikev2.calls
        mn._care_of = NEXT_COA
        mn._ikev2.up = True
        mn._moved()
        mn._ikev2.up = False
        assert mn._refresh()
        assert mn._registration.calls == [("deregister",), ("move", NEXT_COA, False), ("renew",)]
        assert mn._ikev2.calls == [("move", NEXT_COA), AGAIN]
        mn._ikev2.on_lost()
        await called(mn, 3)
        mn.close()

    asyncio.run(main())


def test_it_negotiates_anew_from_another_care_of_address(node):
    """RFC 4877 section 7.4: without MOBIKE or the K flag there must be another IKE SA."""

    async def main():
        mn = node()
        mn._care_of = NEXT_COA
        mn._moved()
        assert mn._ikev2.calls == [("move", NEXT_COA), AGAIN]
        assert mn._registration.calls == [("move", NEXT_COA, True)]

    asyncio.run(main())


def test_it_does_not_negotiate_where_there_are_sas(node):
    async def main():
        mn = node()
        mn._ikev2.up = True
        mn._moved()
        assert mn._ikev2.calls == [("move", COA)]
        assert mn._registration.calls == [("move", COA, True)]

    asyncio.run(main())
