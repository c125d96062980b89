"""What a home agent's IKEv2 makes of the home AAA server's answers."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.ikev2.config import Grant
from agents.ikev2.events import EapResponse
from agents.nodes.diameter_settings import DiameterPeer
from agents.nodes.home_agent import machine as home_agent
from agents.nodes.home_agent.machine import EapAuthenticator
from agents.nodes.home_agent.settings import HomeAgentConfiguration, HomeAgentSettings
from agents.nodes.ike_daemon.ikev2 import Ike2Settings
from agents.nodes.tls import TlsSettings
from tests.ike import COA, HA, HOA
from tests.nodes.beside import HomeAgentBeside

SPI, NAME = b"8 octets", "mn@home.test"
SUCCESS = DiameterEapAnswer(
    "session",
    ResultCode.SUCCESS,
    "aaa.home.test",
    "home.test",
    eap_payload=b"\3\1\0\4",
    msk=bytes(64),
    assignment=Assignment(HA, 56, HOA),
    user_name=NAME,
)

CONFIGURATION = HomeAgentConfiguration(
    host="C",
    diameter_identity="ha.home.test",
    diameter_realm="home.test",
    home=DiameterPeer(host="aaa.home.test", realm="home.test", address="::1"),
    home_agent=HomeAgentSettings(address=str(HA), interface="eth0", prefix="2001:db8:100::/56"),
    ikev2=Ike2Settings(),
    certificate=TlsSettings(ca="", certificate="", key=""),
    identity="ha.home.test",
)


GONE = object()
"""In the place of an answer: the last IKE SA of NAME is gone."""

LEAVES, RETURNS = object(), object()
"""Likewise: who asks from now on is gone before the answer comes, or is not any more."""


class FakeIke:
    """Keeps the calls of the authenticator; those who wait do until `waiting` is changed."""

    def __init__(self, *_, **__):
        self.calls = []
        self.waiting = True

    def awaits_eap(self, spi):
        return spi == SPI and self.waiting

    def __getattr__(self, name):
        return lambda *arguments, **named: self.calls.append((name, arguments, named))


class FakeAaa:
    """Answers every request alike, or raises."""

    def __init__(self, answer):
        self.answer = answer
        self.forgotten = []

    async def exchange(self, _key, _packet, **_):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def forget(self, key):
        self.forgotten.append(key)


@pytest.fixture
def ask(monkeypatch):
    """Return what asks the AAA server for one peer, and tells what IKE and the AAA client saw."""
    monkeypatch.setattr(home_agent, "Ike2Service", FakeIke)

    def ask(*answers):
        async def main():
            aaa = FakeAaa(answers[0])
            log = EventLog("C", "role", io.StringIO())
            beside = HomeAgentBeside(HA, "2001:db8:100::/56", log)
            authenticator = EapAuthenticator(CONFIGURATION, aaa, beside, log)
            for aaa.answer in answers:
                if aaa.answer is GONE:
                    authenticator._ike.on_gone(NAME)
                    continue
                if aaa.answer in (LEAVES, RETURNS):
                    authenticator._ike.waiting = aaa.answer is RETURNS
                    continue
                authenticator._on_eap(EapResponse(0.0, SPI, COA, "@home.test", b"\2\0\0\5\1"))
                await asyncio.gather(*authenticator._tasks, return_exceptions=True)
                await asyncio.sleep(0.01)
            return authenticator._ike.calls, aaa.forgotten

        return asyncio.run(main())

    return ask


def test_the_peer_is_whom_the_aaa_server_names(ask):
    calls, forgotten = ask(SUCCESS)
    who = {"identity": NAME, "grant": Grant(HOA, 56), "lifetime": None}
    assert calls == [("eap_success", (SPI, b"\3\1\0\4", bytes(64)), who)]
    assert forgotten == [SPI]


@pytest.mark.parametrize(
    ("timeout", "authorised", "lifetime"),
    [(None, None, None), (0.0, None, None), (600.0, None, 600.0), (600.0, 30.0, 30.0)],
)
def test_the_authorisation_lasts_as_long_as_the_aaa_server_says(ask, timeout, authorised, lifetime):
    calls, _ = ask(replace(SUCCESS, session_timeout=timeout, authorization_lifetime=authorised))
    assert calls[0][2]["lifetime"] == lifetime


@pytest.mark.parametrize("error", [DiameterError("down", 3004), TimeoutError(), OSError()])
def test_an_aaa_client_that_fails_is_a_failure(ask, error):
    calls, forgotten = ask(error)
    assert calls == [("eap_failure", (SPI, None), {})]
    assert forgotten == [SPI]


@pytest.mark.parametrize("missing", ["user_name", "msk", "eap_payload", "assignment"])
def test_a_success_that_lacks_something_is_a_failure(ask, missing):
    calls, forgotten = ask(replace(SUCCESS, **{missing: None}))
    assert [(name, arguments[0]) for name, arguments, _ in calls] == [("eap_failure", SPI)]
    assert forgotten == [SPI]


def test_a_home_address_of_another_link_is_refused(ask):
    elsewhere = Assignment(HA, 56, IPv6Address("2001:db8:200::1234"))
    calls, forgotten = ask(replace(SUCCESS, assignment=elsewhere))
    assert calls == [("eap_failure", (SPI, None), {})]
    assert forgotten == [SPI]


def test_a_home_address_is_one_subscribers(ask):
    another = replace(SUCCESS, user_name="another@home.test")
    calls, _ = ask(SUCCESS, another, SUCCESS)
    assert [name for name, *_ in calls] == ["eap_success", "eap_failure", "eap_success"]


def test_what_the_server_authorised_ends_when_it_says(ask):
    brief, another = replace(SUCCESS, session_timeout=1e-9), replace(SUCCESS, user_name="another")
    calls, _ = ask(brief, another)
    assert [name for name, *_ in calls] == ["eap_success", "delete_identity", "eap_success"]
    assert calls[1][1] == (NAME,)


def test_who_is_gone_holds_no_home_address(ask):
    another = replace(SUCCESS, user_name="another@home.test")
    calls, _ = ask(replace(SUCCESS, session_timeout=3600.0), GONE, another, GONE)
    assert [name for name, *_ in calls] == ["eap_success", "delete_identity", "eap_success"]
    assert calls[1][1] == (NAME,)


@pytest.mark.parametrize("code", [ResultCode.SUCCESS, ResultCode.MULTI_ROUND_AUTH])
def test_who_is_gone_before_the_server_answers_gets_and_keeps_nothing(ask, code):
    other = replace(SUCCESS, user_name="other@home.test")
    calls, forgotten = ask(LEAVES, replace(SUCCESS, result_code=code), RETURNS, other)
    assert forgotten == [SPI, SPI]
    assert [(name, more["identity"]) for name, _, more in calls] == [
        ("eap_success", "other@home.test")
    ]
