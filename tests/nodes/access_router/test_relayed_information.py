"""When the access router's relay agent has information about a mobile node's home agent."""

from __future__ import annotations

from ipaddress import IPv6Address
from types import SimpleNamespace

import pytest

from agents.dhcpv6.relay import Relay
from agents.nodes.access_router.machine import AccessRouter
from agents.pana import events
from tests.dhcpv6.world import HOME, NETWORK, SERVER, World

COA, NEXT_COA = IPv6Address("2001:db8:a::2"), IPv6Address("2001:db8:a::3")
REQUEST = World().run().sent[0][2]


@pytest.fixture
def relay():
    relay = Relay(interface="access", link_address=IPv6Address("2001:db8:a::1"), servers=[SERVER])
    relay.set_information(1, COA, HOME, NETWORK)
    return relay


def router(relay):
    def nothing(*_):
        pass

    router = AccessRouter.__new__(AccessRouter)
    router._relay, router._pinholes, router._open = (relay, None, NETWORK), None, [1]
    router._log, router._client = nothing, SimpleNamespace(forget=nothing)
    router._enforcement = SimpleNamespace(authorise=nothing, revoke=nothing)
    router._paa, router._local = SimpleNamespace(may_pass=lambda _: False), None
    router._served = {}
    return router


def supplied(relay, address):
    relay.events.clear()
    relay.from_client(REQUEST, (f"{address}%access", 546), 0.0)
    return relay.events[0].supplied


@pytest.mark.parametrize(
    "end",
    [
        events.Terminated(1.0, session_id=1, pac=(str(COA), 716), cause="LOGOUT"),
        events.Failed(1.0, "no answer", session_id=1, pac=(str(COA), 716)),
    ],
)
def test_it_ends_with_the_session(relay, end):
    assert supplied(relay, COA)
    router(relay)._handle(end)
    assert not supplied(relay, COA)


def test_it_moves_with_the_session(relay):
    moved = events.AddressChanged(1.0, 1, (str(NEXT_COA), 716), (str(COA), 716))
    router(relay)._handle(moved)
    assert supplied(relay, NEXT_COA)
    assert not supplied(relay, COA)
