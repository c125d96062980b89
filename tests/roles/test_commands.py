"""A mobile node takes the commands that its configuration names, for experiments to be checked."""

from __future__ import annotations

import asyncio

import pytest

from agents.kernel.fake import FakeMobileNode
from agents.roles import mobile_node
from agents.roles.access import PanaSettings
from agents.roles.discovery import StaticSettings
from agents.roles.ike import IkeSettings
from agents.roles.ike2 import Ike2Settings
from tests.ike import HA
from tests.roles import stand_ins
from tests.roles.stand_ins import Recorder, configured

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
    configuration = configured(**settings)

    async def main():
        node = stand_ins.mobile_node(configuration)
        assert node.commands().keys() == configuration.commands.keys()

    asyncio.run(main())
