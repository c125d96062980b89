"""What a mobile node does about its IKEv2 after the bootstrap."""

from __future__ import annotations

import asyncio
import io

import pytest

from agents.kernel.fake import FakeMobileNode
from agents.roles import mobile_node
from agents.roles.access import EapSettings
from agents.roles.discovery import StaticSettings
from agents.roles.ike2 import Ike2Settings
from agents.roles.mobile_node import MobileNode, MobileNodeConfiguration
from agents.roles.tls import TlsSettings
from agents.shell.eventlog import EventLog
from tests.ike import COA, HA, HOA

NEXT_COA = COA + 0x100


class Recorder:
    """Stands in for a service and keeps its calls."""

    def __init__(self, *_, **given):
        self.given = given
        self.calls = []

    def __getattr__(self, name):
        if name.startswith("on_"):
            raise AttributeError(name)
        return lambda *arguments, **named: self.calls.append((name, *arguments, *named.values()))


@pytest.fixture
def node(monkeypatch):
    """Return a mobile node on its home address, which IKEv2 with EAP has assigned."""
    monkeypatch.setattr(mobile_node, "LinuxMobileNode", FakeMobileNode)
    monkeypatch.setattr(mobile_node, "EapPeers", lambda *_: lambda: "EAP")
    monkeypatch.setattr(mobile_node, "Ike2Service", Recorder)
    monkeypatch.setattr(mobile_node, "RegistrationService", Recorder)

    def node():
        configuration = MobileNodeConfiguration(
            host="A",
            interface="eth0",
            work=".",
            eap=EapSettings(
                identity="mn@home.test",
                server_name="aaa.home.test",
                tls=TlsSettings(ca="", certificate="", key=""),
            ),
            discovery=StaticSettings(home_agent=str(HA)),
            ikev2=Ike2Settings(),
        )
        node = MobileNode(configuration, COA, EventLog("A", "role", io.StringIO()))
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
        assert mn._ikev2.calls == [("initiate", HA, HOA, None, "EAP")]
        assert mn._registration.calls == [("renew",)]

    asyncio.run(main())


def test_it_negotiates_anew_from_another_care_of_address(node):
    """RFC 4877 section 7.4: without MOBIKE or the K flag there must be another IKE SA."""

    async def main():
        mn = node()
        mn._care_of = NEXT_COA
        mn._moved()
        assert mn._ikev2.calls == [("move", NEXT_COA), ("initiate", HA, HOA, None, "EAP")]
        assert mn._registration.calls == [("move", NEXT_COA)]

    asyncio.run(main())
