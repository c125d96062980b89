"""A mobile node takes the commands that its configuration names, for experiments to be checked."""

from __future__ import annotations

import asyncio
import io

import pytest

from agents.kernel.fake import FakeMobileNode
from agents.roles import mobile_node
from agents.roles.access import EapSettings, PanaSettings
from agents.roles.discovery import StaticSettings
from agents.roles.ike import IkeSettings
from agents.roles.ike2 import Ike2Settings
from agents.roles.mobile_node import MobileNode, MobileNodeConfiguration
from agents.roles.tls import TlsSettings
from agents.shell.eventlog import EventLog
from tests.ike import COA, HA
from tests.roles.test_mobile_node_ike2 import Recorder

OPEN = {"discovery": StaticSettings(home_agent=str(HA))}
PANA = {"access": PanaSettings(paa="2001:db8:a::1")}


@pytest.mark.parametrize(
    "settings",
    [
        {**OPEN, "ikev2": Ike2Settings()},
        {**PANA, "ikev2": Ike2Settings()},
        {**PANA, "ikev1": IkeSettings()},
    ],
)
def test_commands_are_those_of_the_configuration(settings, monkeypatch):
    monkeypatch.setattr(mobile_node, "LinuxMobileNode", FakeMobileNode)
    for service in ("EapPeers", "PanaAccess", "IkeService", "Ike2Service"):
        monkeypatch.setattr(mobile_node, service, Recorder)
    configuration = MobileNodeConfiguration(
        host="A",
        interface="eth0",
        work=".",
        eap=EapSettings(
            identity="mn@home.test",
            server_name="aaa.home.test",
            tls=TlsSettings(ca="", certificate="", key=""),
        ),
        **settings,
    )

    async def main():
        node = MobileNode(configuration, COA, EventLog("A", "role", io.StringIO()))
        assert node.commands().keys() == configuration.commands.keys()

    asyncio.run(main())
