"""Redirect agents: what they answer, and who believes them."""

from __future__ import annotations

import random

import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.config import NodeConfig, PeerConfig, Redirect, Route
from agents.diameter.dictionary import RedirectHostUsage as Usage
from agents.diameter.errors import ResultCode
from agents.diameter.events import (
    AnswerReceived,
    Redirected,
    Relayed,
    RequestFailed,
    RequestReceived,
    RequestSent,
)
from agents.diameter.node import Node
from agents.diameter.redirects import uri_host
from tests.diameter.network import Network
from tests.diameter.samples import (
    CLIENT,
    CLIENT_REALM,
    LOCAL,
    REQUEST,
    SECOND,
    SERVER,
    SERVER_REALM,
    TIMERS,
    serve,
    unaddressed,
)

AGENT, AGENT_REALM = "redirect.visited.test", CLIENT_REALM
EVIL = "aaa.evil.test"


def redirected(
    *, hosts=(SERVER,), trusted=(SERVER_REALM,), usage=Usage.DONT_CACHE, cache=0, routes=True
):
    """Join a client, a redirect agent that it asks first, and the servers that it knows."""
    network = Network()
    peers = (
        PeerConfig(AGENT, AGENT_REALM, (AGENT, 3868), redirects=trusted),
        PeerConfig(SERVER, SERVER_REALM, (SERVER, 3868)),
        PeerConfig(EVIL, "evil.test", (EVIL, 3868)),
    )
    config = NodeConfig(
        CLIENT,
        CLIENT_REALM,
        peers,
        routes=(Route(SERVER_REALM, (AGENT,)),) if routes else (),
        timers=TIMERS,
    )
    client = network.add(Node(config, rng=random.Random(1)))
    askers = (PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,)),)
    agent = NodeConfig(
        AGENT,
        AGENT_REALM,
        askers,
        applications=(),
        redirects=(Redirect(SERVER_REALM, hosts, usage, cache),),
        timers=TIMERS,
    )
    network.add(Node(agent, rng=random.Random(2)))
    network.add(
        Node(NodeConfig(SERVER, SERVER_REALM, askers, timers=TIMERS), rng=random.Random(3)), serve
    )
    network.add(
        Node(NodeConfig(EVIL, "evil.test", askers, timers=TIMERS), rng=random.Random(4)), serve
    )
    network.start()
    return network, client


def ask(network, client, request=REQUEST):
    client.node.request(unaddressed(request), network.now, 5.0)
    network.run(0.2)


def test_the_agent_says_whom_to_ask_and_is_heeded():
    network, client = redirected()
    ask(network, client)
    assert [e.peer for e in client.seen(RequestSent)] == [AGENT, SERVER]
    assert [e.peer for e in client.seen(AnswerReceived)] == [SERVER]
    assert [(e.peer, e.destination) for e in client.seen(Redirected)] == [(AGENT, SERVER)]
    (indication,) = [m for m in network.messages(AGENT) if m.command == 268]
    assert indication.error
    assert not indication.request
    assert d.RESULT_CODE.find(indication.avps) == ResultCode.REDIRECT_INDICATION
    assert d.REDIRECT_HOST.find_all(indication.avps) == (f"aaa://{SERVER}",)
    assert d.SESSION_ID.find(indication.avps) == REQUEST.session_id
    asked, moved = [m for m in network.messages(CLIENT) if m.command == 268]
    assert asked.end_to_end == moved.end_to_end
    assert asked.hop_by_hop != moved.hop_by_hop


def test_the_answer_to_an_unknown_realm_is_a_refusal():
    network, client = redirected(trusted=("*",))
    client.node.request(
        replace(REQUEST, destination_realm=AGENT_REALM, destination_host=None).to_message(),
        network.now,
        5.0,
    )
    network.run(0.2)
    (failed,) = client.seen(RequestFailed)
    assert failed.error.result_code == ResultCode.REALM_NOT_SERVED


@pytest.mark.parametrize(
    ("hosts", "trusted"),
    [
        (("stranger.home.test",), (SERVER_REALM,)),
        ((EVIL,), (SERVER_REALM,)),
        ((EVIL,), ("*",)),
        ((AGENT,), (SERVER_REALM,)),
        ((SERVER,), ()),
        ((SERVER,), ("other.test",)),
    ],
)
def test_nobody_is_sent_to_a_stranger_nor_by_one(hosts, trusted):
    network, client = redirected(hosts=hosts, trusted=trusted)
    ask(network, client)
    (failed,) = client.seen(RequestFailed)
    assert failed.error.result_code == ResultCode.UNABLE_TO_DELIVER
    assert f"{AGENT} redirects to aaa://{hosts[0]}, and that is not trusted here" in failed.reason
    for host in (SERVER, EVIL):
        assert not network.hosts[host].seen(RequestReceived)


def test_a_server_does_not_redirect():
    network, client = redirected(routes=False)

    def handler(message):
        avps = (
            d.SESSION_ID.avp(REQUEST.session_id),
            d.ORIGIN_HOST.avp(SERVER),
            d.ORIGIN_REALM.avp(SERVER_REALM),
            d.RESULT_CODE.avp(ResultCode.REDIRECT_INDICATION),
            d.REDIRECT_HOST.avp(f"aaa://{SERVER}"),
        )
        return replace(message, avps=avps, request=False, error=True)

    network.hosts[SERVER].handler = handler
    ask(network, client)
    assert "is not trusted here" in client.seen(RequestFailed)[0].reason


OTHER_SESSION = replace(REQUEST, session_id=f"{CLIENT};1;3")
OTHER_USER = replace(OTHER_SESSION, user_name="other@home.test")


@pytest.mark.parametrize(
    ("usage", "second", "cached"),
    [
        (Usage.DONT_CACHE, REQUEST, False),
        (Usage.ALL_SESSION, REQUEST, True),
        (Usage.ALL_SESSION, OTHER_SESSION, False),
        (Usage.ALL_USER, OTHER_SESSION, True),
        (Usage.ALL_USER, OTHER_USER, False),
        (Usage.ALL_REALM, OTHER_USER, True),
        (Usage.REALM_AND_APPLICATION, OTHER_USER, True),
        (Usage.ALL_APPLICATION, OTHER_USER, True),
        (Usage.ALL_HOST, OTHER_USER, True),
        (9, REQUEST, False),
    ],
)
def test_what_was_said_counts_for_its_usage(usage, second, cached):
    network, client = redirected(usage=usage, cache=20)
    for request in (REQUEST, second):
        ask(network, client, request)
    whom = [e.peer for e in client.seen(RequestSent)]
    assert whom == ([AGENT, SERVER, SERVER] if cached else [AGENT, SERVER] * 2)


def test_and_for_its_time():
    network, client = redirected(usage=Usage.ALL_REALM, cache=20)
    ask(network, client)
    network.run(21.0)
    ask(network, client)
    assert [e.peer for e in client.seen(RequestSent)] == [AGENT, SERVER] * 2


def test_a_host_that_is_gone_is_forgotten():
    network, client = redirected(usage=Usage.ALL_REALM, cache=600)
    ask(network, client)
    network.hosts[SERVER].node.stop(network.now)
    network.run(0.2)
    ask(network, client)
    assert [e.peer for e in client.seen(RequestSent)][:3] == [AGENT, SERVER, AGENT]


def test_a_relay_follows_too():
    network = Network()
    relay = "relay.visited.test"
    client = network.add(
        Node(
            NodeConfig(
                CLIENT,
                CLIENT_REALM,
                (PeerConfig(relay, CLIENT_REALM, (relay, 3868), relays=(SERVER_REALM,)),),
                timers=TIMERS,
            ),
            rng=random.Random(1),
        )
    )
    between = NodeConfig(
        relay,
        CLIENT_REALM,
        (
            PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,)),
            PeerConfig(AGENT, AGENT_REALM, (AGENT, 3868), redirects=(SERVER_REALM,)),
            PeerConfig(SERVER, SERVER_REALM, (SERVER, 3868)),
            PeerConfig(SECOND, SERVER_REALM, (SECOND, 3868)),
        ),
        routes=(Route(SERVER_REALM, (AGENT,)),),
        applications=(),
        relay=True,
        timers=TIMERS,
    )
    there = network.add(Node(between, rng=random.Random(2)))
    asks = (PeerConfig(relay, CLIENT_REALM, sources=(LOCAL,), relays=(CLIENT_REALM,)),)
    agent = NodeConfig(
        AGENT,
        AGENT_REALM,
        asks,
        applications=(),
        redirects=(Redirect(SERVER_REALM, (SECOND, SERVER)),),
        timers=TIMERS,
    )
    network.add(Node(agent, rng=random.Random(3)))
    network.add(
        Node(NodeConfig(SERVER, SERVER_REALM, asks, timers=TIMERS), rng=random.Random(4)), serve
    )
    network.start()  # The second server is not there.
    ask(network, client)
    assert [e.peer for e in client.seen(AnswerReceived)] == [relay]
    assert [e.destination for e in there.seen(Relayed)] == [AGENT, SERVER, CLIENT]
    (received,) = network.hosts[SERVER].seen(RequestReceived)
    assert d.ROUTE_RECORD.find_all(received.message.avps) == (CLIENT,)


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("aaa://host.example.com", "host.example.com"),
        ("aaa://host.example.com:6666;transport=tcp;protocol=diameter", "host.example.com"),
        ("AAAS://host.example.com:5868;transport=sctp", "host.example.com"),
        ("aaa://host.example.com;protocol=radius", None),
        ("aaa://host.example.com:6666;protocol=diameter;x", None),
        ("http://host.example.com", None),
        ("host.example.com", None),
        ("aaa://", None),
    ],
)
def test_uris(uri, host):
    assert uri_host(uri) == host
