"""What a Diameter agent is told, and what its node is."""

from __future__ import annotations

import msgspec
import pytest

from agents.diameter.config import Redirect
from agents.diameter.dictionary import APPLICATION_RELAY, RedirectHostUsage
from agents.nodes.diameter_agent.machine import agent_config
from agents.nodes.diameter_agent.settings import DiameterAgentConfiguration

PLAIN = {
    "host": "B",
    "diameter_identity": "relay.test",
    "diameter_realm": "test",
    "address": "::1",
    "peers": [
        {"host": "b.test", "realm": "test", "sources": ["::2"]},
        {"host": "aaa.home.test", "realm": "home.test", "address": "::3"},
    ],
}
REDIRECT = {"realm": "home.test", "hosts": ["aaa.home.test"]}


def configured(**more):
    return msgspec.convert(PLAIN | more, DiameterAgentConfiguration)


def test_it_relays_and_says_so():
    config = agent_config(configured(), 7)
    assert (config.relay, config.redirects) == (True, ())
    assert config.advertised == (APPLICATION_RELAY,)
    assert config.origin_state_id == 7


def test_or_redirects_and_relays_nothing():
    told = REDIRECT | {"usage": "all-realm", "cache_time": 60}
    config = agent_config(configured(redirects=[told]), 7)
    assert not config.relay
    assert config.redirects == (
        Redirect("home.test", ("aaa.home.test",), RedirectHostUsage.ALL_REALM, 60),
    )
    assert config.advertised == (APPLICATION_RELAY,)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"peers": []}, "length >= 1"),
        ({"routes": [{"realm": "a.test", "peers": ["aaa.hom.test"]}]}, "there is no peer"),
        ({"redirects": [REDIRECT | {"hosts": []}]}, "length >= 1"),
        ({"redirects": [REDIRECT | {"usage": "all-realm"}]}, "belong together"),
        ({"redirects": [REDIRECT | {"cache_time": 60}]}, "belong together"),
        ({"redirects": [REDIRECT | {"usage": "all"}]}, "Invalid enum value"),
    ],
)
def test_what_cannot_work_is_refused(more, reason):
    with pytest.raises(msgspec.ValidationError, match=reason):
        configured(**more)
