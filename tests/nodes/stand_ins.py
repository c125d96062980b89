"""A mobile node whose services are stood in for."""

from __future__ import annotations

import io
import json

from agents.core.eventlog import EventLog
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.settings import EapSettings, MobileNodeConfiguration
from agents.nodes.tls import TlsSettings
from tests.ike import COA

NAME = "mn@home.test"


class Recorder:
    """Stands in for a service and keeps its calls."""

    def __init__(self, *_, **given):
        self.given = given
        self.home_address = given.get("home_address")
        self.calls = []
        self.bootstrapped = False
        self.up = False

    def secured(self, _home_agent):
        return self.up

    def __getattr__(self, name):
        if name.startswith("on_"):
            raise AttributeError(name)
        return lambda *arguments, **named: self.calls.append((name, *arguments, *named.values()))


def configured(**settings):
    """Return a mobile node's configuration."""
    tls = TlsSettings(ca="", certificate="", key="")
    eap = EapSettings(identity=NAME, server_name="aaa.home.test", tls=tls)
    return MobileNodeConfiguration(host="A", interface="eth0", work=".", eap=eap, **settings)


def mobile_node(configuration):
    """Return a mobile node; `written` lists the events that it has told of."""
    log = io.StringIO()
    node = MobileNode(configuration, COA, EventLog("A", "role", log))
    node.written = lambda: [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    return node
