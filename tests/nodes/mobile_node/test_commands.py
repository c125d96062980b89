"""A mobile node takes the commands that its configuration names, for experiments to be checked."""

from __future__ import annotations

import asyncio

import pytest

from agents.kernel.model_port import ModelMobileNode
from agents.nodes.ike_daemon.ikev2 import Ike2Settings
from agents.nodes.ike_daemon.settings import IkeSettings
from agents.nodes.mobile_node import machine as mobile_node
from agents.nodes.mobile_node.settings import PanaSettings, StaticSettings
from tests.ike import HA
from tests.nodes import stand_ins
from tests.nodes.stand_ins import Recorder, configured

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
    monkeypatch.setattr(mobile_node, "LinuxMobileNode", ModelMobileNode)
    for service in ("EapPeers", "PanaAccess", "IkeService", "Ike2Service"):
        monkeypatch.setattr(mobile_node, service, Recorder)
    configuration = configured(**settings)

    async def main():
        node = stand_ins.mobile_node(configuration)
        assert node.commands().keys() == configuration.commands.keys()

    asyncio.run(main())
