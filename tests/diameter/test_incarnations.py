"""Origin-State-Id: who has lost its state."""

from __future__ import annotations

import random

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.config import NodeConfig, PeerConfig
from agents.diameter.events import AnswerReceived, RequestReceived, Restarted
from agents.diameter.incarnations import Incarnations
from agents.diameter.node import Node
from tests.diameter.network import Network
from tests.diameter.samples import (
    CLIENT,
    CLIENT_REALM,
    LOCAL,
    REQUEST,
    SERVER,
    SERVER_REALM,
    TIMERS,
    serve,
)

PLAIN = replace(REQUEST, origin_state_id=None).to_message()


def test_only_a_higher_number_tells_of_a_new_start():
    known = Incarnations()
    said = [5, 5, None, 0, 4, 6, 6, 7]
    assert [known.is_new("A.test", one) for one in said] == [False] * 5 + [True, False, True]
    assert not known.is_new("b.test", 9)
    assert known.is_new("a.TEST", 8)


def network_of(client_state=7, server_state=9):
    network = Network()
    peer = PeerConfig(SERVER, SERVER_REALM, (SERVER, 3868))
    config = NodeConfig(CLIENT, CLIENT_REALM, (peer,), origin_state_id=client_state, timers=TIMERS)
    client = network.add(Node(config, rng=random.Random(1)))
    server = NodeConfig(
        SERVER,
        SERVER_REALM,
        (PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,)),),
        origin_state_id=server_state,
        timers=TIMERS,
    )
    there = network.add(Node(server, rng=random.Random(2)), serve)
    network.start()
    return network, client, there


def restart(network, host, state_id):
    """Start a node anew with another number; the connections are gone."""
    old = network.hosts[host]
    config = replace(old.node.config, origin_state_id=state_id)
    network.cut()
    new = network.add(Node(config, rng=random.Random(3)), old.handler)
    new.node.start(network.now)
    network.run(5.0)
    return new


def test_every_message_says_which_incarnation_it_is_of():
    network, client, _ = network_of()
    client.node.request(PLAIN, network.now, 5.0)
    network.run(20.0)
    for host, state_id in ((CLIENT, 7), (SERVER, 9)):
        commands = {m.command: d.ORIGIN_STATE_ID.find(m.avps) for m in network.messages(host)}
        assert commands == {257: state_id, 268: 8 if host == SERVER else 7, 280: state_id}


def test_a_server_hears_of_a_client_that_was_started_again():
    network, _, there = network_of()
    again = restart(network, CLIENT, 8)
    assert [e.origin for e in there.seen(Restarted)] == [CLIENT]
    again.node.request(PLAIN, network.now, 5.0)
    network.run(0.1)
    assert len(there.seen(Restarted)) == len(there.seen(RequestReceived)) == 1


def test_a_lost_connection_alone_is_no_new_start():
    network, client, there = network_of()
    network.cut()
    network.run(5.0)
    client.node.request(PLAIN, network.now, 5.0)
    network.run(0.1)
    assert len(client.seen(AnswerReceived)) == 1
    assert not there.seen(Restarted)
    assert not client.seen(Restarted)


def test_a_client_hears_of_a_server_that_was_started_again():
    network, client, _ = network_of()
    restart(network, SERVER, 10)
    assert [e.origin for e in client.seen(Restarted)] == [SERVER]


def test_behind_a_relay_it_is_in_the_request_alone():
    network = Network()
    relay = PeerConfig("relay.test", "test", sources=(LOCAL,), relays=(CLIENT_REALM,))
    config = NodeConfig(SERVER, SERVER_REALM, (relay,), timers=TIMERS)
    there = network.add(Node(config, rng=random.Random(1)), serve)
    way = PeerConfig(SERVER, SERVER_REALM, (SERVER, 3868))
    network.add(Node(NodeConfig("relay.test", "test", (way,), timers=TIMERS), rng=random.Random(2)))
    network.start()
    for number, state_id in enumerate((7, 7, 8, 7)):
        message = replace(REQUEST, origin_state_id=state_id).to_message()
        avps = (*message.avps, d.ROUTE_RECORD.avp(CLIENT))
        sent = replace(message, avps=avps, hop_by_hop=number, end_to_end=number)
        network.inject(SERVER, sent.encode())
    assert [e.origin for e in there.seen(Restarted)] == [CLIENT]
    assert len(there.seen(RequestReceived)) == 4
