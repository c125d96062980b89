"""Several realms and several servers of one: who is asked, and what comes of one that is lost."""

from __future__ import annotations

import random

import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.config import NodeConfig, PeerConfig
from agents.diameter.errors import ResultCode
from agents.diameter.events import AnswerReceived, RequestFailed, RequestReceived, RequestSent
from agents.diameter.node import Node
from tests.diameter.network import Network
from tests.diameter.samples import (
    ANSWER,
    CLIENT,
    CLIENT_REALM,
    LOCAL,
    REQUEST,
    SECOND,
    SERVER,
    SERVER_REALM,
    TIMERS,
    unaddressed,
)

FAR, FAR_REALM = "aaa.far.test", "far.test"
REALMS = {SERVER: SERVER_REALM, SECOND: SERVER_REALM, FAR: FAR_REALM}


def answering(host):
    """Return a handler that answers in a server's own name."""
    answer = replace(ANSWER, origin_host=host, origin_realm=REALMS[host], origin_state_id=None)

    def handler(message):
        avps = [avp for avp in answer.to_message().avps if not d.SESSION_ID.is_code_of(avp)]
        avps.insert(0, d.SESSION_ID.avp(d.SESSION_ID.need(message.avps)))
        return replace(answer.to_message(), avps=tuple(avps))

    return handler


def network_of(*hosts, **settings):
    network = Network()
    peers = tuple(PeerConfig(h, REALMS[h], (h, 3868)) for h in hosts)
    config = NodeConfig(CLIENT, CLIENT_REALM, peers, timers=TIMERS, **settings)
    client = network.add(Node(config, rng=random.Random(1)))
    known = (PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,)),)
    for number, host in enumerate(hosts, 2):
        server = NodeConfig(host, REALMS[host], known, timers=TIMERS)
        network.add(Node(server, rng=random.Random(number)), answering(host))
    network.start()
    return network, client


def to(realm, host=None):
    return replace(REQUEST, destination_realm=realm, destination_host=host).to_message()


@pytest.mark.parametrize(("realm", "host"), [(SERVER_REALM, SERVER), (FAR_REALM.upper(), FAR)])
def test_the_realm_chooses_the_server(realm, host):
    network, client = network_of(SERVER, FAR)
    client.node.request(to(realm), network.now, 5.0)
    network.run(0.1)
    assert [e.peer for e in client.seen(AnswerReceived)] == [host]


def test_an_unknown_realm_is_refused_at_once():
    network, client = network_of(SERVER, FAR)
    client.node.request(to("strange.test"), network.now, 5.0)
    network.settle()
    (failed,) = client.seen(RequestFailed)
    assert failed.error.result_code == ResultCode.REALM_NOT_SERVED
    assert failed.reason == "no route to realm 'strange.test'"
    assert failed.at == network.now
    assert not client.seen(RequestSent)


def kill(network, host):
    """End a node without a word; its host refuses connections from then on."""
    network.refusing.add(host)
    network.cut(host)


def start_anew(network, host):
    """Have a host run a node again, which knows nothing of what was."""
    network.refusing.discard(host)
    network.add(Node(network.hosts[host].node.config, rng=random.Random(9)), answering(host))


def test_a_conversation_whose_server_is_gone_ends_soon_if_there_is_another():
    network, client = network_of(SERVER, SECOND)
    network.hosts[SERVER].handler = None
    client.node.request(to(SERVER_REALM, SERVER), network.now, 60.0)
    network.run(0.1)
    kill(network, SERVER)
    network.run(3.0)
    (failed,) = client.seen(RequestFailed)
    assert failed.error.result_code == ResultCode.UNABLE_TO_DELIVER
    assert failed.reason == f"{SERVER} has the conversation, and is not to be had"
    client.node.request(unaddressed(), network.now, 5.0)
    network.run(0.1)
    assert [e.peer for e in client.seen(AnswerReceived)] == [SECOND]


def test_alone_it_is_waited_for():
    network, client = network_of(SERVER, FAR)
    network.hosts[SERVER].handler = None
    client.node.request(to(SERVER_REALM, SERVER), network.now, 60.0)
    network.run(0.1)
    kill(network, SERVER)
    network.run(5.0)
    assert not client.seen(RequestFailed)
    start_anew(network, SERVER)
    network.run(30.0)
    assert [e.peer for e in client.seen(AnswerReceived)] == [SERVER]
    assert client.seen(RequestSent)[-1].retransmitted


def test_a_request_for_the_realm_goes_to_the_other_server_with_the_t_flag_and_comes_back():
    network, client = network_of(SERVER, SECOND)
    network.hosts[SERVER].handler = None
    client.node.request(unaddressed(), network.now, 60.0)
    network.run(0.1)
    kill(network, SERVER)
    network.run(5.0)
    sent = [(e.peer, e.retransmitted) for e in client.seen(RequestSent)]
    assert sent == [(SERVER, False), (SECOND, True)]
    assert [e.peer for e in client.seen(AnswerReceived)] == [SECOND]

    start_anew(network, SERVER)
    network.run(60.0)  # Three watchdogs have been answered by then (RFC 3539 section 3.4.1).
    client.node.request(unaddressed(), network.now, 5.0)
    network.run(0.1)
    assert client.seen(AnswerReceived)[-1].peer == SERVER


RELAYS = ("relay1.visited.test", "relay2.visited.test")


def test_two_relays_stand_in_for_each_other_amid_a_conversation():
    network = Network()
    ways = tuple(PeerConfig(r, CLIENT_REALM, (r, 3868), relays=("*",)) for r in RELAYS)
    config = NodeConfig(CLIENT, CLIENT_REALM, ways, timers=TIMERS)
    client = network.add(Node(config, rng=random.Random(1)))
    home = PeerConfig(SERVER, SERVER_REALM, (SERVER, 3868))
    asks = PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,))
    for number, relay in enumerate(RELAYS, 2):
        config = NodeConfig(
            relay, CLIENT_REALM, (asks, home), applications=(), relay=True, timers=TIMERS
        )
        network.add(Node(config, rng=random.Random(number)))
    known = tuple(
        PeerConfig(r, CLIENT_REALM, sources=(LOCAL,), relays=(CLIENT_REALM,)) for r in RELAYS
    )
    server = NodeConfig(SERVER, SERVER_REALM, known, timers=TIMERS)
    there = network.add(Node(server, rng=random.Random(9)))
    network.start()
    client.node.request(to(SERVER_REALM, SERVER), network.now, 60.0)
    network.run(0.1)
    kill(network, RELAYS[0])
    network.run(5.0)
    sent = [(e.peer, e.retransmitted) for e in client.seen(RequestSent)]
    assert sent == [(RELAYS[0], False), (RELAYS[1], True)]
    (once,) = there.seen(RequestReceived)  # The second time it is known for a duplicate.
    there.node.answer(once.token, answering(SERVER)(once.message), network.now)
    network.run(0.1)
    assert [e.peer for e in client.seen(AnswerReceived)] == [RELAYS[1]]
