"""A mobile node takes the commands that its configuration names, for experiments to be checked."""

from __future__ import annotations

import pytest

from agents.nodes.ike_daemon.credentials import read_credentials
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.eap import EapPeers
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.settings import (
    EapSettings,
    MobileNodeConfiguration,
    PanaSettings,
    StaticSettings,
)
from agents.nodes.tls import TlsSettings
from tests.eap.conversation import IDENTITY, SERVER, Authority
from tests.nodes.net import COA, HA, ROUTER, Net

OPEN = {"discovery": StaticSettings(home_agent=str(HA))}
PANA = {"access": PanaSettings(paa=ROUTER)}


@pytest.mark.parametrize(
    "settings",
    [
        {**OPEN, "ikev2": Ikev2Settings()},
        {**PANA, "ikev2": Ikev2Settings()},
        {**PANA, "ikev1": Ikev1Settings()},
    ],
)
def test_commands_are_those_of_the_configuration(settings, tmp_path):
    authority = Authority.make(tmp_path)
    ca, own = authority.ca_path, authority.client
    tls = TlsSettings(ca=str(ca), certificate=str(own.certificate), key=str(own.key))
    configuration = MobileNodeConfiguration(
        host="A",
        interface="access",
        work=str(tmp_path),
        eap=EapSettings(identity=IDENTITY, server_name=SERVER, tls=tls),
        **settings,
    )
    net = Net()
    node = MobileNode(
        configuration,
        net.program("A"),
        net.mobile_node(),
        COA,
        net.log("A"),
        keys=KeyLog(),
        make_eap=EapPeers(configuration.eap, KeyLog()),
        credentials=read_credentials(tls, own=False),
    )
    assert node.commands().keys() == configuration.commands.keys()
