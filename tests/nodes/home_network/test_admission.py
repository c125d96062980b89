"""What the home network does with the keys of the subscribers that its AAA server lets in."""

from __future__ import annotations

import asyncio
import io
from ipaddress import IPv6Address
from types import SimpleNamespace
from typing import ClassVar

import pytest

from agents.aaa.events import (
    SubscriberAuthenticated,
    SubscriberVerified,
    VerificationWithdrawn,
)
from agents.aaa.policy import Place
from agents.bootstrap.assignment import Assignment, ike_psk
from agents.core.eventlog import EventLog
from agents.nodes.home_network import machine as home_network
from agents.nodes.home_network.machine import Admission
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.tls import TlsSettings

NAME, COA = "mn@home.test", IPv6Address("2001:db8:a::2")
HOA = IPv6Address("2001:db8:100::1234")
ASSIGNMENT = Assignment(IPv6Address("2001:db8:100::1"), 64, HOA)
MSK, ROOT = bytes(64), bytes([1]) * 64


class FakePresharedIke:
    """Notes what it is told."""

    def __init__(self, *_):
        self.told = []

    def __getattr__(self, name):
        return lambda *arguments: self.told.append((name, *arguments))


@pytest.fixture
def make(monkeypatch, tmp_path):
    monkeypatch.setattr(home_network, "PresharedIke", FakePresharedIke)

    def make(**settings):
        configuration = HomeNetworkConfiguration(
            host="C",
            diameter_identity="aaa.home.test",
            diameter_realm="home.test",
            diameter_address="::1",
            diameter_peers=(),
            subscribers="",
            leases="",
            tls=TlsSettings(ca="", certificate="", key=""),
            work=str(tmp_path),
            **{"session_lifetime": 600.0, **settings},
        )
        log = EventLog("C", "role", io.StringIO())
        authorisations = SimpleNamespace(on_ended=[], authorise=lambda *_: True)
        home_agent = SimpleNamespace(authorisations=authorisations, address=ASSIGNMENT.home_agent)
        return Admission(configuration, home_agent, log)

    return make


def authenticated(place=Place.HOME):
    return SubscriberAuthenticated(0.0, NAME, ASSIGNMENT, COA, MSK, ROOT, place)


def test_a_key_lasts_as_long_as_the_session_that_was_granted(make):
    admission = make()
    admission.admit(authenticated())
    psk = ike_psk(MSK, ASSIGNMENT)
    assert admission._ike.told == [("share", NAME, HOA, psk, COA, 600.0)]


def test_the_visited_networks_home_agent_is_not_ours(make):
    admission = make()
    admission.admit(authenticated(Place.LOCAL))
    assert not admission._ike.told


def test_an_early_key_comes_and_goes(make):
    admission = make(psk_source="emsk", protection="sealed", early=True)
    psk = ike_psk(ROOT, ASSIGNMENT)
    admission.expect(SubscriberVerified(0.0, NAME, ASSIGNMENT, COA, ROOT))
    admission.withdraw(VerificationWithdrawn(30.0, NAME, ASSIGNMENT, ROOT))
    assert admission._ike.told == [("expect", NAME, HOA, psk, COA), ("withdraw", NAME, psk)]


class FakeLaunchedIke:
    """Notes what it is told."""

    made: ClassVar[list[FakeLaunchedIke]] = []

    def __init__(self, *_):
        self.told = []
        self.made.append(self)

    def __getattr__(self, name):
        return lambda *arguments: self.told.append((name, *arguments))


@pytest.fixture
def launched(monkeypatch):
    monkeypatch.setattr(home_network, "LaunchedIke", FakeLaunchedIke)
    monkeypatch.setattr(FakeLaunchedIke, "made", [])
    return FakeLaunchedIke.made


def test_one_daemon_is_launched_for_all_and_each_key_ends_with_its_session(make, launched):
    other = Assignment(ASSIGNMENT.home_agent, 64, HOA + 1)
    events = [
        authenticated(),
        SubscriberAuthenticated(0.0, "other@home.test", other, COA + 1, MSK, ROOT, Place.HOME),
        authenticated(),
    ]

    async def main():
        admission = make(launch="script", session_lifetime=10.0)
        for event in events:
            admission.admit(event)
            await asyncio.sleep(0)
        (ike,) = launched
        assert [(name, who) for name, who, *_ in ike.told] == [
            ("share", NAME),
            ("share", "other@home.test"),
            ("share", NAME),
        ]
        assert ike.told[0][2:] == (HOA, ike_psk(MSK, ASSIGNMENT), COA)
        ike.told.clear()
        (ended,) = admission._home_agent.authorisations.on_ended
        ended(NAME, HOA)
        assert ike.told == [("forget", NAME)]
        admission.close()
        assert ike.told[1:] == [("close",)]

    asyncio.run(main())
