"""In whose name a peer may speak."""

from __future__ import annotations

import random

import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import watchdog_request
from agents.diameter.config import NodeConfig, PeerConfig
from agents.diameter.events import AnswerReceived, RequestFailed, RequestReceived
from agents.diameter.node import Node
from tests.diameter.network import Network
from tests.diameter.samples import (
    ANSWER,
    CLIENT,
    CLIENT_REALM,
    LOCAL,
    RELAY,
    RELAY_REALM,
    REQUEST,
    SERVER,
    SERVER_REALM,
    TIMERS,
    serve,
)

HOME_AGENT = "ha.home.test"
INVALID_VALUE, REJECTED = 5004, 5003


def joined(sender, *, relays=()):
    """Join a server that has two peers, of which only `sender` is there; return both hosts."""
    peers = (
        PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,)),
        PeerConfig(HOME_AGENT, SERVER_REALM, sources=(LOCAL,)),
        PeerConfig(RELAY, RELAY_REALM, sources=(LOCAL,), relays=relays),
    )
    realm = {CLIENT: CLIENT_REALM, HOME_AGENT: SERVER_REALM, RELAY: RELAY_REALM}[sender]
    home = PeerConfig(SERVER, SERVER_REALM, (SERVER, 3868))
    network = Network()
    here = network.add(
        Node(NodeConfig(sender, realm, (home,), timers=TIMERS), rng=random.Random(1))
    )
    config = NodeConfig(SERVER, SERVER_REALM, peers, timers=TIMERS)
    there = network.add(Node(config, rng=random.Random(2)), serve)
    network.start()
    return network, here, there


def ask(network, origin, realm, *route):
    """Let the server receive a request in somebody's name; return the answer's Result-Code."""
    request = replace(REQUEST, origin_host=origin, origin_realm=realm).to_message()
    avps = (*request.avps, *(d.ROUTE_RECORD.avp(name) for name in route))
    network.inject(SERVER, replace(request, avps=avps, hop_by_hop=9, end_to_end=9).encode())
    answer = network.messages(SERVER)[-1]
    assert (answer.command, answer.request) == (268, False)
    return d.RESULT_CODE.find(answer.avps)


@pytest.mark.parametrize(
    ("origin", "realm", "code"),
    [
        (CLIENT, CLIENT_REALM, 2001),
        (CLIENT.upper(), CLIENT_REALM.upper(), 2001),
        (HOME_AGENT, SERVER_REALM, INVALID_VALUE),
        (CLIENT, SERVER_REALM, INVALID_VALUE),
        ("nobody.visited.test", CLIENT_REALM, INVALID_VALUE),
    ],
)
def test_a_peer_speaks_for_itself_alone(origin, realm, code):
    network, _, there = joined(CLIENT)
    assert ask(network, origin, realm) == code
    assert len(there.seen(RequestReceived)) == (code == 2001)


def test_the_refusal_names_the_avp():
    network, *_ = joined(CLIENT)
    ask(network, HOME_AGENT, SERVER_REALM)
    failed = d.FAILED_AVP.find(network.messages(SERVER)[-1].avps)
    assert failed == (d.ORIGIN_HOST.avp(HOME_AGENT),)


@pytest.mark.parametrize("route", [(HOME_AGENT,), (HOME_AGENT, CLIENT), (CLIENT,)])
def test_a_route_record_of_its_own_making_does_not_help_a_router(route):
    network, _, there = joined(CLIENT)
    assert ask(network, HOME_AGENT, SERVER_REALM, *route) == REJECTED
    assert not there.seen(RequestReceived)


@pytest.mark.parametrize(
    ("relays", "origin", "realm", "route", "code"),
    [
        ((CLIENT_REALM,), CLIENT, CLIENT_REALM, (CLIENT,), 2001),
        ((CLIENT_REALM.upper(),), CLIENT, CLIENT_REALM, (CLIENT.upper(), RELAY), 2001),
        # Another client of the relay says that it has the request from this one.
        ((CLIENT_REALM,), CLIENT, CLIENT_REALM, (CLIENT, "r.visited.test"), REJECTED),
        (("*",), CLIENT, CLIENT_REALM, (CLIENT, HOME_AGENT), REJECTED),
        (("*",), CLIENT, CLIENT_REALM, (CLIENT,), 2001),
        (("*",), "far.away.test", "away.test", ("far.away.test",), 2001),
        ((), CLIENT, CLIENT_REALM, (CLIENT,), REJECTED),
        ((CLIENT_REALM,), HOME_AGENT, SERVER_REALM, (HOME_AGENT,), REJECTED),
        # The name is one of another realm's peer; or not that of who sent it to the first relay.
        ((CLIENT_REALM,), HOME_AGENT, CLIENT_REALM, (HOME_AGENT,), REJECTED),
        (("*",), HOME_AGENT, SERVER_REALM, (CLIENT,), REJECTED),
        # Without a Route-Record nothing was relayed.
        (("*",), CLIENT, CLIENT_REALM, (), INVALID_VALUE),
        ((), RELAY, RELAY_REALM, (), 2001),
    ],
)
def test_a_relay_speaks_for_whom_it_may_relay(relays, origin, realm, route, code):
    network, _, there = joined(RELAY, relays=relays)
    assert ask(network, origin, realm, *route) == code
    assert len(there.seen(RequestReceived)) == (code == 2001)


def test_requests_for_a_realm_go_to_the_relay_that_is_trusted_with_it():
    relay = PeerConfig(RELAY, RELAY_REALM, (RELAY, 3868), relays=(SERVER_REALM,))
    network = Network()
    client = NodeConfig(CLIENT, CLIENT_REALM, (relay,), timers=TIMERS)
    here = network.add(Node(client, rng=random.Random(1)))
    peer = PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,))
    there = NodeConfig(RELAY, RELAY_REALM, (peer,), applications=(), relay=True, timers=TIMERS)
    network.add(Node(there, rng=random.Random(2)))
    network.start()
    assert here.node.usable(SERVER_REALM)
    assert not here.node.usable("away.test")


def test_base_messages_are_the_peers_own():
    network, *_ = joined(CLIENT)
    elses = watchdog_request(NodeConfig(HOME_AGENT, SERVER_REALM))
    network.inject(SERVER, elses.encode())
    answer = network.messages(SERVER)[-1]
    assert (answer.command, d.RESULT_CODE.find(answer.avps)) == (280, INVALID_VALUE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"origin_host": "other.home.test"}, "relays nothing for realm 'home.test'"),
        (
            {"origin_host": "other.away.test", "origin_realm": "away.test"},
            "relays nothing for realm 'away.test'",
        ),
        ({"session_id": "router.visited.test;9;9"}, "about session 'router.visited.test;9;9'"),
    ],
)
def test_an_answer_in_anothers_name_or_about_another_session_is_none(changes, reason):
    network, here, there = joined(CLIENT)
    there.handler = lambda _: replace(ANSWER, **changes).to_message()
    here.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(1.0)
    assert not here.seen(AnswerReceived)
    (failed,) = here.seen(RequestFailed)
    assert reason in failed.reason
