import random
from itertools import pairwise

import pytest

from agents.core.machine import Discarded
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import (
    capabilities_request,
    disconnect_request,
    watchdog_request,
)
from agents.diameter.config import DiameterTimers, NodeConfig, PeerConfig
from agents.diameter.errors import ResultCode
from agents.diameter.events import (
    AnswerReceived,
    ConnectionFailed,
    PeerDown,
    PeerSuspect,
    PeerUp,
    RequestFailed,
    RequestSent,
    Send,
)
from agents.diameter.node import Node
from agents.diameter.states import TRANSITIONS, State
from agents.diameter.wire import Message
from tests.diameter.network import Network
from tests.diameter.samples import (
    CLIENT,
    CLIENT_REALM,
    LOCAL,
    REQUEST,
    SERVER,
    SERVER_REALM,
    TIMERS,
    client_config,
    serve,
    server_config,
)

HERE = (SERVER, 3868)


def pair(client=None, server=None, **options):
    network = Network(**options)
    client_node = Node(client or client_config((SERVER, HERE)), rng=random.Random(1))
    server_node = Node(server or server_config(), rng=random.Random(2))
    return network, network.add(client_node), network.add(server_node, serve)


def commands(network, sender):
    return [(message.command, message.request) for message in network.messages(sender)]


@pytest.mark.parametrize("sliced", [False, True])
def test_capabilities(sliced):
    network, client, server = pair(sliced=sliced)
    network.start()
    assert client.events == [PeerUp(client.events[0].at, SERVER, SERVER_REALM, (5,), True)]
    assert server.events == [PeerUp(server.events[0].at, CLIENT, CLIENT_REALM, (5,), False)]
    assert commands(network, CLIENT) == [(257, True)]
    assert commands(network, SERVER) == [(257, False)]
    assert client.node.usable(SERVER_REALM)
    assert not client.node.usable("other.test")
    assert not client.node.usable(SERVER_REALM, application=1)


def test_no_common_application():
    client = replace(client_config((SERVER, HERE)), applications=(1,))
    network, a, b = pair(client=client)
    network.start()
    (answer,) = network.messages(SERVER)
    assert d.RESULT_CODE.find(answer.avps) == ResultCode.NO_COMMON_APPLICATION
    assert "5010" in a.seen(ConnectionFailed)[0].reason
    assert "no common application" in b.seen(ConnectionFailed)[0].reason
    assert (a.node.state(SERVER), b.node.state(CLIENT)) == (State.CLOSED, State.CLOSED)


def test_relay_application_is_common_to_all():
    client = replace(client_config((SERVER, HERE)), applications=(), relay=True)
    network, a, _ = pair(client=client)
    network.start()
    assert a.node.usable(SERVER_REALM, application=5)


def test_unknown_peer():
    somebody = PeerConfig("else.visited.test", CLIENT_REALM, sources=(LOCAL,))
    network, a, _ = pair(server=replace(server_config(), peers=(somebody,)))
    network.start()
    (answer,) = network.messages(SERVER)
    assert d.RESULT_CODE.find(answer.avps) == ResultCode.UNKNOWN_PEER
    assert answer.error
    assert "3010" in a.seen(ConnectionFailed)[0].reason


def test_unknown_peer_that_is_welcome_is_forgotten_afterwards():
    network, a, b = pair(server=replace(server_config(), peers=(), accept_unknown=True))
    network.start()
    assert b.node.state(CLIENT) is State.R_OPEN
    a.node.stop(network.now)
    network.run(1.0)
    with pytest.raises(KeyError):
        b.node.state(CLIENT)


def test_another_host_answers():
    network, a, _ = pair(client=client_config(("other.home.test", HERE)))
    network.start()
    assert "answered in place" in a.seen(ConnectionFailed)[0].reason


def test_certificate_of_another_name():
    node = Node(replace(server_config(), tls=True), rng=random.Random(1))
    cer = capabilities_request(client_config(), LOCAL).encode()
    for names, state in (
        (set(), State.CLOSED),
        ({"other.test"}, State.CLOSED),
        ({CLIENT.upper()}, State.R_OPEN),
    ):
        number = node.handle_accepted(0.0, LOCAL, LOCAL)
        node.handle_secured(number, frozenset(names))
        node.handle_data(number, cer, 0.0)
        assert node.state(CLIENT) is state


@pytest.mark.parametrize("low", [True, False])
def test_election(low):
    # Both ends connect at once; one connection survives and carries a request.
    mine = "a.visited.test" if low else "z.visited.test"
    server = PeerConfig(SERVER, SERVER_REALM, HERE, (LOCAL,))
    a = NodeConfig(mine, CLIENT_REALM, (server,), timers=TIMERS)
    b = NodeConfig(
        SERVER, SERVER_REALM, (PeerConfig(mine, CLIENT_REALM, (mine, 1), (LOCAL,)),), timers=TIMERS
    )
    network, one, two = pair(client=a, server=b)
    network.start()
    (up,), (other_up,) = one.seen(PeerUp), two.seen(PeerUp)
    # The responder of the higher name survives: its initiator is the lower name.
    assert (up.initiator, other_up.initiator) == ((True, False) if low else (False, True))
    assert len(network._pairs) == 2
    network.run(100.0)
    assert one.seen(PeerDown) == []


def test_the_peers_connection_is_used_if_ours_fails_meanwhile():
    peer = PeerConfig(SERVER, SERVER_REALM, HERE, (LOCAL,))
    node = Node(replace(client_config(), peers=(peer,)), rng=random.Random(1))
    node.start(0.0)
    ours = node.outbox.popleft().connection
    theirs = node.handle_accepted(0.0, LOCAL, LOCAL)
    node.handle_data(theirs, capabilities_request(server_config(), LOCAL).encode(), 0.0)
    assert node.state(SERVER) is State.WAIT_CONN_ACK_ELECT
    node.handle_closed(ours, 0.0, "refused")
    assert node.state(SERVER) is State.R_OPEN
    node.stop(0.0)
    sent = [(send.connection, Message.decode(send.data).command) for send in node.outbox]
    assert sent == [(theirs, 257), (theirs, 282)]


def test_watchdogs_keep_a_connection():
    network, a, b = pair()
    network.start()
    network.run(100.0)
    assert a.seen(PeerDown) == b.seen(PeerDown) == a.seen(PeerSuspect) == []
    probes = [t for t, _, data in network.sent if Message.decode(data).command == 280]
    assert len(probes) > 20
    asked = [
        t
        for t, _, data in network.sent
        if (message := Message.decode(data)).command == 280 and message.request
    ]
    # Whoever asks first resets the other's timer: 4 to 8 s after the last traffic.
    assert all(4.0 <= late - early <= 8.1 for early, late in pairwise(asked))


def test_silent_peer_is_suspected_then_closed_then_called_again():
    network, a, _ = pair()
    network.start()
    network.deaf.add(SERVER)
    network.run(30.0)
    suspect, down = a.seen(PeerSuspect)[0], a.seen(PeerDown)[0]
    # DWR after Tw, suspect after another, closed after a third (RFC 3539): 4 to 8 s each.
    assert 8.0 <= suspect.at <= 17.0
    assert 4.0 <= down.at - suspect.at <= 8.0
    assert down.reason == "no answer to watchdogs"
    network.deaf.clear()
    network.run(20.0)
    assert a.node.state(SERVER) is State.I_OPEN
    # The reopened connection is probed at once.
    assert (280, True) in commands(network, CLIENT)[-3:]


def test_disconnect():
    network, a, b = pair()
    network.start()
    a.node.stop(network.now)
    assert not a.node.stopped
    network.run(1.0)
    assert a.node.stopped
    assert commands(network, CLIENT)[-1] == (282, True)
    assert commands(network, SERVER)[-1] == (282, False)
    assert b.seen(PeerDown)[0].reason == "the peer disconnects, cause 0"
    network.run(60.0)
    assert a.node.state(SERVER) is b.node.state(CLIENT) is State.CLOSED


def test_both_disconnect_at_once():
    network, a, b = pair()
    network.start()
    a.node.stop(network.now)
    b.node.stop(network.now)
    network.run(1.0)
    assert a.node.stopped
    assert b.node.stopped


def test_disconnect_that_is_not_answered_has_a_deadline():
    network, a, _ = pair()
    network.start()
    network.deaf.add(SERVER)
    a.node.stop(network.now)
    network.run(TIMERS.disconnect + 0.1)
    assert a.node.stopped


@pytest.mark.parametrize(("cause", "again"), [(0, True), (1, False), (2, False)])
def test_peer_that_disconnected_is_called_again_only_after_a_reboot(cause, again):
    network, a, b = pair()
    network.start()
    b.node.stop(network.now, cause)
    network.run(0.1)
    b.node.start(network.now)
    network.run(3600.0)
    assert (a.node.state(SERVER) is State.I_OPEN) == again


@pytest.mark.parametrize("cause", [1, 2])
def test_peer_that_wanted_to_be_left_alone_is_called_for_a_request(cause):
    network, a, b = pair()
    network.start()
    b.node.stop(network.now, cause)
    network.run(0.1)
    b.node.start(network.now)
    network.run(60.0)
    for _ in range(2):
        a.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(0.1)
    assert len(a.seen(AnswerReceived)) == 2
    assert (len(a.seen(PeerUp)), len(b.seen(PeerUp))) == (2, 2)
    network.cut()  # It has talked to us since.
    network.run(5.0)
    assert a.node.state(SERVER) is State.I_OPEN


def test_request_in_hand_when_the_peer_wants_to_be_left_alone_follows_it():
    network, a, b = pair()
    b.handler = None
    network.start()
    a.node.request(REQUEST.to_message(), network.now, 30.0)
    network.run(0.1)
    b.node.stop(network.now, d.DisconnectCause.BUSY)
    network.run(0.1)
    b.node.start(network.now)
    network.run(2.0)
    assert [e.retransmitted for e in a.seen(RequestSent)] == [False, True]


def test_peer_that_disconnects_again_and_again_is_not_called_without_pause():
    network, a, b = pair()
    network.start()
    b.handler = None
    a.node.request(REQUEST.to_message(), network.now, 20.0)
    for _ in range(2000):
        network.run(0.01)
        if b.node.state(CLIENT) is State.R_OPEN:
            b.node.stop(network.now, d.DisconnectCause.BUSY)
        elif b.node.stopped:
            b.node.start(network.now)
    assert 10 <= len(b.seen(PeerUp)) <= 21


def test_request_that_nobody_waits_for_any_more_calls_nobody():
    network, a, b = pair()
    network.start()
    b.node.stop(network.now, d.DisconnectCause.BUSY)
    network.run(0.1)
    network.refusing.add(SERVER)
    a.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(6.0)
    (failed,) = a.seen(RequestFailed)
    assert failed.error.result_code == ResultCode.UNABLE_TO_DELIVER
    tried = len(a.seen(ConnectionFailed))
    assert 5 <= tried <= 6
    network.run(2.0)
    tried = len(a.seen(ConnectionFailed))
    network.run(3600.0)
    assert len(a.seen(ConnectionFailed)) == tried


def test_stopped_node_calls_nobody():
    network, a, _ = pair()
    network.start()
    a.node.stop(network.now)
    network.run(1.0)
    assert a.node.next_timeout() is None
    a.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(6.0)
    assert len(a.seen(PeerUp)) == 1


def test_lost_connection_is_made_again_after_a_pause():
    network, a, b = pair()
    network.start()
    network.cut()
    cut_at = network.now
    assert a.seen(PeerDown)[0].reason == "reset"
    network.run(10.0)
    up = a.seen(PeerUp)[1]
    assert 0.75 <= up.at - cut_at <= 1.26
    assert len(b.seen(PeerUp)) == 2


def test_server_that_starts_a_little_later_is_found_at_once():
    network, a, _ = pair(client=replace(client_config((SERVER, HERE)), timers=DiameterTimers()))
    network.refusing.add(SERVER)
    network.start()
    network.run(20.0)
    network.refusing.clear()
    started_at = network.now
    network.run(1.0)
    assert a.seen(PeerUp)[0].at - started_at < 0.11


def test_refused_connection_is_tried_again():
    network, a, _ = pair()
    network.refusing.add(SERVER)
    network.start()
    assert a.seen(ConnectionFailed)[0].reason == "refused"
    network.refusing.clear()
    network.run(3.0)
    assert a.node.state(SERVER) is State.I_OPEN


def test_connection_that_never_comes_up_has_a_deadline():
    network, a, _ = pair()
    network.deaf.add(SERVER)
    network.start()
    network.run(TIMERS.connect)
    assert a.seen(ConnectionFailed)[0].reason == "no progress in state Wait-Conn-Ack"


def test_capabilities_that_are_never_answered_have_a_deadline():
    network, a, _ = pair()
    a.node.start(0.0)
    network.settle()
    while a.node.state(SERVER) is State.WAIT_CONN_ACK:
        network.run(0.001)
    network.deaf.add(SERVER)
    network.run(TIMERS.capabilities + 0.1)
    assert a.seen(ConnectionFailed)[0].reason == "no progress in state Wait-I-CEA"


def test_incoming_connection_without_a_cer_has_a_deadline():
    network, _, b = pair()
    b.node.handle_accepted(0.0, LOCAL, LOCAL)
    network.run(TIMERS.capabilities + 0.1)
    assert b.seen(ConnectionFailed)[0].reason == "no CER came"
    assert b.node.next_timeout() is None


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\1\xff\xff\xfc", b"\1\0\0\x13"])
def test_garbage_closes_an_open_connection(data):
    network, a, b = pair()
    network.start()
    network.inject(SERVER, data)
    assert b.seen(PeerDown)[0].reason.startswith("no Diameter: ")
    network.run(0.1)
    assert len(a.seen(PeerDown)) == 1
    network.run(5.0)
    assert a.node.state(SERVER) is State.I_OPEN


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", REQUEST.to_message().encode()])
def test_first_message_must_be_a_cer(data):
    network, _, b = pair()
    number = b.node.handle_accepted(0.0, LOCAL, LOCAL)
    b.node.handle_data(number, data, 0.0)
    network.settle()
    assert len(b.seen(ConnectionFailed)) == 1
    b.node.handle_data(number, data, 0.0)
    assert not b.node.outbox


def test_cea_is_awaited_and_nothing_else():
    node = Node(client_config((SERVER, HERE)), rng=random.Random(1))
    node.start(0.0)
    connect = node.outbox.popleft()
    node.handle_connected(connect.connection, 0.0, LOCAL)
    assert isinstance(node.outbox.popleft(), Send)
    node.handle_data(connect.connection, watchdog_request(server_config()).encode(), 0.0)
    assert "another message than the CEA" in node.events.popleft().reason
    assert node.state(SERVER) is State.CLOSED


def connect_again(network, server):
    """Let the client connect once more, beside the connection that it has."""
    number = server.node.handle_accepted(network.now, LOCAL, LOCAL)
    cer = capabilities_request(client_config(), LOCAL).encode()
    server.node.handle_data(number, cer, network.now)
    network.settle()
    return number


def test_second_connection_of_an_open_peer_that_lives_is_rejected():
    network, a, b = pair()
    network.start()
    connect_again(network, b)
    network.run(1.0)
    assert b.seen(ConnectionFailed)[0].reason == "a second connection was rejected"
    assert b.node.state(CLIENT) is State.R_OPEN
    assert b.seen(PeerDown) == a.seen(PeerDown) == []


def test_third_connection_takes_the_place_of_the_second_that_waits():
    network, _, b = pair()
    network.start()
    network.deaf.add(CLIENT)
    connect_again(network, b)
    connect_again(network, b)
    probes = [m for m in network.messages(SERVER) if m.command == 280]
    assert len(probes) == 1
    assert [e.reason for e in b.seen(ConnectionFailed)] == ["a second connection was rejected"]


def test_second_connection_is_taken_if_the_first_is_dead():
    network, _, b = pair()
    network.start()
    network.deaf.add(CLIENT)  # Its power has failed: no FIN, no RST.
    network.run(1.0)
    ceas = len(network.messages(SERVER))
    number = connect_again(network, b)
    network.run(TIMERS.probe - 0.1)
    assert len(b.seen(PeerUp)) == 1
    network.run(0.2)
    (down,) = b.seen(PeerDown)
    assert down.reason == "it connects again, and the old connection is dead"
    assert len(b.seen(PeerUp)) == 2
    assert b.node.state(CLIENT) is State.R_OPEN
    cea = network.messages(SERVER)[ceas + 1]
    assert (cea.command, d.RESULT_CODE.find(cea.avps)) == (257, 2001)
    b.node.handle_data(number, REQUEST.to_message().encode(), network.now)
    network.settle()
    assert [m.command for m in network.messages(SERVER)].count(268) == 1


def test_second_connection_is_taken_as_soon_as_the_first_is_known_to_be_dead():
    network, _, b = pair()
    network.start()
    first = next(number for name, number in network._pairs if name == SERVER)
    network.deaf.add(CLIENT)
    connect_again(network, b)
    b.node.handle_closed(first, network.now, "reset")  # The answer of a host that has restarted.
    network.settle()
    assert len(b.seen(PeerUp)) == 2


def test_second_connection_that_ends_leaves_the_first_alone():
    network, _, b = pair()
    network.start()
    network.deaf.add(CLIENT)
    number = connect_again(network, b)
    b.node.handle_closed(number, network.now, "closed")
    network.deaf.clear()
    network.run(TIMERS.probe + 1.0)
    assert b.seen(PeerDown) == []


def test_second_connection_waits_for_the_end_of_a_first_that_closes():
    network, _, b = pair()
    network.start()
    network.deaf.add(CLIENT)
    connect_again(network, b)
    dpr = disconnect_request(client_config(), d.DisconnectCause.REBOOTING)
    first = next(number for name, number in network._pairs if name == SERVER)
    b.node.handle_data(first, dpr.encode(), network.now)
    network.run(TIMERS.disconnect + 0.1)
    assert len(b.seen(PeerUp)) == 2


def test_request_under_way_goes_over_the_second_connection():
    # The server of the first connection has restarted, and connects to its client.
    peer = PeerConfig(SERVER, SERVER_REALM, HERE, (LOCAL,))
    network, a, b = pair(client=replace(client_config(), peers=(peer,)))
    b.handler = None
    network.start()
    a.node.request(REQUEST.to_message(), network.now, 30.0)
    network.run(0.1)
    network.deaf.add(SERVER)
    number = a.node.handle_accepted(network.now, LOCAL, LOCAL)
    cer = capabilities_request(server_config(), LOCAL).encode()
    a.node.handle_data(number, cer, network.now)
    network.run(TIMERS.probe + 0.1)
    assert a.node.state(SERVER) is State.R_OPEN
    assert [e.retransmitted for e in a.seen(RequestSent)] == [False, True]


def test_bad_base_requests_and_stray_answers_in_an_open_connection():
    network, a, b = pair()
    network.start()
    before = len(network.messages(SERVER))
    for message in (
        Message(280, 0, (), proxiable=False),
        capabilities_request(client_config(), LOCAL),
    ):
        network.inject(SERVER, message.encode())
    first, second = network.messages(SERVER)[before:]
    assert d.RESULT_CODE.find(first.avps) == ResultCode.MISSING_AVP
    assert d.RESULT_CODE.find(second.avps) == ResultCode.UNABLE_TO_COMPLY
    for stray in (280, 282, 257, 268):
        application = 5 if stray == 268 else 0
        network.inject(SERVER, Message(stray, application, (), request=False).encode())
    assert len(b.seen(Discarded)) == 4
    network.run(0.1)
    assert a.node.state(SERVER) is State.I_OPEN


def test_table_leads_only_to_states_that_it_has():
    reached = {state for row in TRANSITIONS.values() for _, state in row.values()}
    assert reached | {State.CLOSED} == set(State) == set(TRANSITIONS)


def test_random_octets_never_raise():
    rng = random.Random(3)
    for _ in range(300):
        node = Node(server_config(), rng=rng)
        number = node.handle_accepted(0.0, LOCAL, LOCAL)
        node.handle_data(number, capabilities_request(client_config(), LOCAL).encode(), 0.0)
        data = bytearray(REQUEST.to_message().encode())
        for _ in range(rng.randrange(1, 9)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        node.handle_data(number, bytes(data), 0.0)
        node.handle_timeout(100.0)
