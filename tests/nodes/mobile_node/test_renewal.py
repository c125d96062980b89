"""What a mobile node does with another authentication: keys, another home agent, daemons."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address

import pytest

from agents.bootstrap.assignment import Assignment, Wish
from agents.bootstrap.sealed import SealContext, seal
from agents.eap.tls import EapKeys
from agents.kernel.model_port import ModelMobileNode
from agents.nodes.ike_daemon.ikev2 import Ike2Settings
from agents.nodes.ike_daemon.settings import IkeSettings
from agents.nodes.mobile_node import machine as mobile_node
from agents.nodes.mobile_node.access import Granted
from agents.nodes.mobile_node.settings import PanaSettings
from tests.ike import HA, HOA
from tests.nodes import stand_ins
from tests.nodes.stand_ins import NAME, Recorder, configured

HOME = Assignment(HA, 64, HOA)
OTHER = Assignment(IPv6Address("2001:db8:300::1"), 64, IPv6Address("2001:db8:300::1234"))
FIRST, NEXT = (EapKeys(bytes([n]) * 64, bytes([n]) * 64, b"\x0d" + bytes([n])) for n in (1, 2))


class Service(Recorder):
    """Says which stage it stands in for, and is up."""

    made: list[Service]

    def __init__(self, kind, *given, **named):
        super().__init__(**named)
        self.kind = kind
        self.given = {"arguments": given, **named}
        self.bootstrapped = self.up = True
        Service.made.append(self)

    def names(self):
        return [name for name, *_ in self.calls]


@pytest.fixture
def node(monkeypatch):
    """Return what makes a mobile node that PANA has given a home agent to."""
    Service.made = []
    monkeypatch.setattr(mobile_node, "LinuxMobileNode", ModelMobileNode)
    monkeypatch.setattr(mobile_node, "EapPeers", lambda *_: lambda: "EAP")
    stages = ("PanaAccess", "IkeService", "Ike2Service", "RegistrationService", "launch")
    for stage in stages:
        monkeypatch.setattr(mobile_node, stage, lambda *a, kind=stage, **n: Service(kind, *a, **n))

    async def node(granted, **settings):
        settings = settings or {"ikev1": IkeSettings()}
        access = PanaSettings(paa="2001:db8:a::1")
        node = stand_ins.mobile_node(configured(access=access, **settings))
        node.start()
        await grant(granted)
        return node

    return node


async def grant(granted):
    """Let PANA grant access."""
    only("PanaAccess").given["on_granted"](granted)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def only(kind):
    (service,) = every(kind)
    return service


def every(kind):
    return [service for service in Service.made if service.kind == kind]


def granted(assignment=HOME, keys=FIRST, sealed=None):
    return Granted(assignment, sealed, keys)


def test_ikev1_negotiates_again_with_the_new_key(node):
    async def main():
        await node(granted())
        ike, registration = only("IkeService"), only("RegistrationService")
        (first,) = (call[1] for call in ike.calls if call[0] == "add_psk")
        ike.calls.clear()
        await grant(granted(keys=NEXT))
        assert ike.names() == ["add_psk", "renew"]
        assert ike.calls[0][1] != first
        assert registration.names() == ["renew"]

    asyncio.run(main())


@pytest.mark.parametrize("up", [True, False])
def test_ikev2_keeps_its_sas_and_makes_others_only_where_there_are_none(node, up):
    async def main():
        await node(granted(), ikev2=Ike2Settings(authentication="psk"))
        ike, registration = only("Ike2Service"), only("RegistrationService")
        (first,) = ike.calls
        ike.calls.clear()
        ike.up = up
        await grant(granted(keys=NEXT))
        assert ike.names() == ([] if up else ["initiate"])
        assert up or ike.calls[0] != first  # The key is another.
        assert registration.names() == ["renew"]

    asyncio.run(main())


@pytest.mark.parametrize("version", [1, 2])
def test_another_home_agent_takes_the_place_of_the_first(node, version):
    async def main():
        ike2 = {"ikev2": Ike2Settings(authentication="psk")}
        mn = await node(granted(), **(ike2 if version == 2 else {}))
        ike = only("Ike2Service" if version == 2 else "IkeService")
        ike.calls.clear()
        await grant(granted(OTHER, NEXT))
        old, new = every("RegistrationService")
        assert old.names() == ["close"]
        assert new.given["home_agent"] == OTHER.home_agent
        assert new.given["home_address"] == OTHER.home_address
        assert ike.names()[-1] == "initiate"
        assert OTHER.home_agent in ike.calls[-1]
        assert "AssignmentChanged" in mn.written()

    asyncio.run(main())


def test_only_what_is_sealed_counts_the_next_time_too(node):
    context = SealContext(NAME, NEXT.session_id, Wish.EITHER)
    first = seal(HOME, FIRST.emsk, SealContext(NAME, FIRST.session_id, Wish.EITHER))

    async def main():
        mn = await node(granted(None, sealed=first), protection="sealed", ikev1=IkeSettings())
        ike = only("IkeService")
        ike.calls.clear()
        for sealed in (None, first):
            await grant(granted(OTHER, NEXT, sealed))
        assert ike.calls == []
        assert mn.written().count("RenewalRefused") == 2
        await grant(granted(OTHER, NEXT, seal(HOME, NEXT.emsk, context)))
        assert ike.names() == ["add_psk", "renew"]
        assert ike.calls[1][1:] == (HA, HOA)

    asyncio.run(main())


def test_daemons_that_a_script_has_started_get_the_new_key(node):
    async def main():
        await node(granted(), ikev1=IkeSettings(), launch="script")
        await grant(granted(keys=NEXT))
        first, second = every("launch")
        assert first.names() == ["close"]
        assert first.given["arguments"][2] != second.given["arguments"][2]
        assert second.calls == []

    asyncio.run(main())
