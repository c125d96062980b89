import random

import pytest

from agents.core.machine import Discarded
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import error_answer
from agents.diameter.config import NodeConfig, PeerConfig, Route
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.events import (
    AnswerReceived,
    DuplicateReceived,
    PeerUp,
    Relayed,
    RequestFailed,
    RequestReceived,
    RequestSent,
)
from agents.diameter.node import Node
from agents.diameter.wire import Avp, Message
from tests.diameter.network import Network
from tests.diameter.samples import (
    ANSWER,
    CLIENT,
    CLIENT_REALM,
    LOCAL,
    RELAY,
    RELAY_REALM,
    REQUEST,
    SECOND,
    SERVER,
    SERVER_REALM,
    TIMERS,
    client_config,
    serve,
    serve_as,
    server_config,
    unaddressed,
)


def network_of(*servers, client=None):
    network = Network()
    config = client or client_config(*((name, (name, 3868)) for name in servers))
    host = network.add(Node(config, rng=random.Random(1)))
    for seed, name in enumerate(servers, 2):
        network.add(Node(server_config(name), rng=random.Random(seed)), serve_as(name))
    network.start()
    return network, host


def asked(network, server):
    return [m for m in network.messages(server) if m.command == 268]


def test_request_and_answer():
    network, client = network_of(SERVER)
    token = client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(1.0)
    (answer,) = client.seen(AnswerReceived)
    assert answer.token == token
    assert DiameterEapAnswer.from_message(answer.message) == ANSWER
    (sent,) = asked(network, CLIENT)
    assert (sent.request, sent.proxiable, sent.retransmitted) == (True, True, False)
    assert (answer.message.hop_by_hop, answer.message.end_to_end) == (
        sent.hop_by_hop,
        sent.end_to_end,
    )


def test_identifiers_differ():
    network, client = network_of(SERVER)
    for _ in range(5):
        client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(1.0)
    assert len({m.hop_by_hop for m in network.messages(CLIENT)}) == 6
    assert len({m.end_to_end for m in network.messages(CLIENT)}) == 6
    assert [e.token for e in client.seen(AnswerReceived)] == [1, 2, 3, 4, 5]


def test_request_waits_for_its_peer():
    network, client = network_of(client=client_config((SERVER, (SERVER, 3868))))
    client.node.request(REQUEST.to_message(), network.now, 30.0)
    network.add(Node(server_config(), rng=random.Random(2)), serve)
    network.run(5.0)
    (sent,) = client.seen(RequestSent)
    assert not sent.retransmitted
    assert len(client.seen(AnswerReceived)) == 1


def test_request_without_a_peer_cannot_be_delivered():
    network, client = network_of(client=client_config((SERVER, (SERVER, 3868))))
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(6.0)
    (failed,) = client.seen(RequestFailed)
    assert failed.error.result_code == ResultCode.UNABLE_TO_DELIVER


def test_realm_not_served():
    network, client = network_of(SERVER)
    message = replace(REQUEST, destination_realm="nowhere.test", destination_host=None)
    client.node.request(message.to_message(), network.now, 5.0)
    network.run(0.1)
    (failed,) = client.seen(RequestFailed)
    assert failed.error.result_code == ResultCode.REALM_NOT_SERVED


def test_answer_that_never_comes():
    network, client = network_of(SERVER)
    network.hosts[SERVER].handler = None
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(6.0)
    (failed,) = client.seen(RequestFailed)
    assert (failed.error, failed.reason) == (None, f"no answer from {SERVER}")
    token = network.hosts[SERVER].seen(RequestReceived)[0].token
    network.hosts[SERVER].node.answer(token, ANSWER.to_message(), network.now)
    network.run(1.0)
    assert "an answer to no request" in [e.reason for e in client.seen(Discarded)]


def test_cancelled_request():
    network, client = network_of(SERVER)
    token = client.node.request(REQUEST.to_message(), network.now, 5.0)
    client.node.cancel(token)
    network.run(10.0)
    assert client.seen(AnswerReceived) == client.seen(RequestFailed) == []


def test_lost_connection_resends_with_the_t_flag_and_the_server_answers_once():
    network, client = network_of(SERVER)
    server = network.hosts[SERVER]
    client.node.request(REQUEST.to_message(), network.now, 30.0)
    network.run(0.0015)  # The request has arrived, its answer is under way.
    assert len(server.seen(RequestReceived)) == 1
    network.cut()
    network.run(5.0)
    first, again = asked(network, CLIENT)
    assert (first.retransmitted, again.retransmitted) == (False, True)
    assert first.end_to_end == again.end_to_end
    assert first.hop_by_hop != again.hop_by_hop
    assert len(server.seen(RequestReceived)) == 1
    assert len(server.seen(DuplicateReceived)) == 1
    assert len(client.seen(AnswerReceived)) == 1


def test_duplicate_of_a_request_under_way_is_answered_on_the_new_connection():
    network, client = network_of(SERVER)
    server = network.hosts[SERVER]
    server.handler = None
    client.node.request(REQUEST.to_message(), network.now, 30.0)
    network.run(0.1)
    network.cut()
    network.run(5.0)
    (received,) = server.seen(RequestReceived)
    server.node.answer(received.token, ANSWER.to_message(), network.now)
    network.run(0.1)
    assert len(client.seen(AnswerReceived)) == 1
    server.node.answer(received.token, ANSWER.to_message(), network.now)
    network.settle()
    assert server.seen(Discarded)[-1].reason == "an answer came too late"


def test_failover_to_the_second_server():
    network, client = network_of(SERVER, SECOND)
    network.hosts[SERVER].handler = None
    client.node.request(unaddressed(), network.now, 60.0)
    network.run(0.1)
    network.hosts[SERVER].node.stop(network.now)
    network.run(0.1)
    assert [(e.peer, e.retransmitted) for e in client.seen(RequestSent)] == [
        (SERVER, False),
        (SECOND, True),
    ]
    assert client.seen(AnswerReceived)[0].peer == SECOND


def test_suspect_server_loses_its_requests_to_a_healthy_one():
    network, client = network_of(SERVER, SECOND)
    network.deaf.add(SERVER)
    client.node.request(unaddressed(), network.now, 60.0)
    network.run(20.0)
    assert [e.peer for e in client.seen(AnswerReceived)] == [SECOND]


def test_server_that_cannot_deliver_is_passed_over():
    network, client = network_of(SERVER, SECOND)
    busy = DiameterError("later", ResultCode.TOO_BUSY)
    host = network.hosts[SERVER]
    host.handler = lambda message: error_answer(host.node.config, message, busy)
    client.node.request(unaddressed(), network.now, 5.0)
    network.run(0.1)
    assert client.seen(AnswerReceived)[0].peer == SECOND
    assert [e.retransmitted for e in client.seen(RequestSent)] == [False, False]
    client.node.request(REQUEST.to_message(), network.now, 5.0)  # For the busy host alone.
    network.run(0.1)
    assert client.seen(RequestFailed)[0].error.result_code == ResultCode.TOO_BUSY


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: replace(m, application=1), ResultCode.APPLICATION_UNSUPPORTED),
        (lambda m: replace(m, command=4711), ResultCode.COMMAND_UNSUPPORTED),
        (lambda m: replace(m, error=True), ResultCode.INVALID_HDR_BITS),
        (
            lambda m: replace(m, avps=tuple(a for a in m.avps if a.code != 462)),
            ResultCode.MISSING_AVP,
        ),
        (lambda m: replace(m, avps=(*m.avps, Avp(4242, b"?"))), ResultCode.AVP_UNSUPPORTED),
        (lambda m: replace(m, avps=(*m.avps, Avp(27, b"?"))), ResultCode.INVALID_AVP_LENGTH),
        (
            lambda m: replace(m, avps=tuple(a for a in m.avps if a.code != 283)),
            ResultCode.UNABLE_TO_DELIVER,
        ),
        (
            lambda m: replace(
                m, avps=tuple(replace(a, value=b"x.test") if a.code == 293 else a for a in m.avps)
            ),
            ResultCode.UNABLE_TO_DELIVER,
        ),
        (
            lambda m: replace(
                m, avps=tuple(replace(a, value=b"x.test") if a.code == 283 else a
                              for a in m.avps if a.code != 293)
            ),
            ResultCode.REALM_NOT_SERVED,
        ),
    ],
)  # fmt: skip
def test_refused_requests(change, code):
    network, client = network_of(SERVER)
    message = change(REQUEST.to_message())
    network.inject(SERVER, replace(message, hop_by_hop=1, end_to_end=2).encode())
    answer = network.messages(SERVER)[-1]
    assert d.RESULT_CODE.find(answer.avps) == code
    assert (answer.request, answer.error) == (False, True)
    assert (answer.hop_by_hop, answer.end_to_end) == (1, 2)
    assert d.ERROR_MESSAGE.find(answer.avps)
    if code >= 5000:
        assert d.FAILED_AVP.find(answer.avps)
    assert not network.hosts[SERVER].seen(RequestReceived)
    network.run(0.1)
    assert client.seen(Discarded)[0].reason == "an answer to no request"


def test_avp_that_cannot_be_read_is_sent_back():
    network, _ = network_of(SERVER)
    data = bytearray(REQUEST.to_message().encode())
    position = bytes(data).rindex((487).to_bytes(4))
    data[position + 5 : position + 8] = (5000).to_bytes(3)
    network.inject(SERVER, bytes(data))
    answer = network.messages(SERVER)[-1]
    assert d.RESULT_CODE.find(answer.avps) == ResultCode.INVALID_AVP_LENGTH
    ((failed,),) = d.FAILED_AVP.find_all(answer.avps)
    assert failed.code == 487


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: replace(m, avps=(*m.avps[:-1], Avp(4242, b"?"))),
        lambda m: replace(m, avps=m.avps[1:]),
    ],
)
def test_answer_that_breaks_its_grammar_fails_the_request(spoil):
    network, client = network_of(SERVER)
    network.hosts[SERVER].handler = lambda message: spoil(serve(message))
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(1.0)
    assert client.seen(RequestFailed)[0].error.result_code in {5001, 5005}


def test_rejected_request_names_its_avp():
    network, client = network_of(SERVER)
    server = network.hosts[SERVER]
    server.handler = None
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(0.1)
    error = DiameterError("no", ResultCode.UNKNOWN_SESSION_ID, failed=d.SESSION_ID.avp("x"))
    server.node.reject(server.seen(RequestReceived)[0].token, error, network.now)
    network.run(0.1)
    (failed,) = client.seen(RequestFailed)
    assert failed.reason == "DIAMETER_UNKNOWN_SESSION_ID (5002): 'no'"
    assert d.FAILED_AVP.find(failed.error.answer.avps) == (d.SESSION_ID.avp("x"),)


def test_proxy_info_and_p_bit_come_back():
    network, _ = network_of(SERVER)
    proxy = d.PROXY_INFO.avp((d.PROXY_HOST.avp("p.test"), d.PROXY_STATE.avp(b"s")))
    message = REQUEST.to_message()
    message = replace(message, avps=(*message.avps, proxy), proxiable=False)
    network.inject(SERVER, message.encode())
    answer = network.messages(SERVER)[-1]
    assert not answer.proxiable
    assert answer.avps[-1] == proxy


def test_route_record_in_an_answer_is_tolerated():
    network, client = network_of(SERVER)

    def handler(message: Message) -> Message:
        answer = serve(message)
        return replace(answer, avps=(*answer.avps, d.ROUTE_RECORD.avp("relay.test")))

    network.hosts[SERVER].handler = handler
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(1.0)
    assert len(client.seen(AnswerReceived)) == 1


def relayed(**relay_options):
    network = Network()
    relay_peer = PeerConfig(RELAY, RELAY_REALM, (RELAY, 3868), relays=(SERVER_REALM,))
    client = NodeConfig(
        CLIENT, CLIENT_REALM, (relay_peer,), routes=(Route("*", (RELAY,)),), timers=TIMERS
    )
    relay = NodeConfig(
        RELAY,
        RELAY_REALM,
        (
            PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,)),
            PeerConfig(SERVER, SERVER_REALM, (SERVER, 3868)),
        ),
        applications=(),
        relay=True,
        timers=TIMERS,
        **relay_options,
    )
    relay_peer = PeerConfig(RELAY, RELAY_REALM, sources=(LOCAL,), relays=(CLIENT_REALM,))
    server = NodeConfig(SERVER, SERVER_REALM, (relay_peer,), timers=TIMERS)
    hosts = [
        network.add(Node(config, rng=random.Random(n)), serve if config is server else None)
        for n, config in enumerate((client, relay, server))
    ]
    network.start()
    return network, *hosts


def test_relay():
    network, client, relay, server = relayed()
    assert client.node.usable(SERVER_REALM)
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(1.0)
    (received,) = server.seen(RequestReceived)
    assert received.peer == RELAY
    assert d.ROUTE_RECORD.find_all(received.message.avps) == (CLIENT,)
    (answer,) = client.seen(AnswerReceived)
    assert DiameterEapAnswer.from_message(answer.message) == ANSWER
    assert [e.request for e in relay.seen(Relayed)] == [True, False]


def test_relay_detects_a_loop():
    network, _, _, server = relayed()
    message = REQUEST.to_message()
    message = replace(message, avps=(*message.avps, d.ROUTE_RECORD.avp(RELAY)))
    network.inject(RELAY, message.encode())
    network.run(0.1)
    assert server.seen(RequestReceived) == []
    assert ResultCode.LOOP_DETECTED in [d.RESULT_CODE.find(m.avps) for m in network.messages(RELAY)]


def test_relay_says_what_it_cannot_deliver():
    network, client, relay, server = relayed()
    server.node.stop(network.now, d.DisconnectCause.BUSY)
    network.run(1.0)
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(1.0)
    assert client.seen(RequestFailed)[0].error.result_code == ResultCode.UNABLE_TO_DELIVER
    other = replace(REQUEST, destination_realm="nowhere.test", destination_host=None)
    client.node.request(other.to_message(), network.now, 5.0)
    network.run(1.0)
    assert client.seen(RequestFailed)[1].error.result_code == ResultCode.REALM_NOT_SERVED
    assert len(relay.seen(PeerUp)) == 2


@pytest.mark.parametrize("there", [True, False])
def test_relay_calls_a_peer_that_wanted_to_be_left_alone_for_a_request(there):
    network, client, relay, server = relayed()
    server.node.stop(network.now, d.DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU)
    network.run(60.0)
    assert len(relay.seen(PeerUp)) == 2
    if there:
        server.node.start(network.now)
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(0.1)
    assert len(client.seen(AnswerReceived)) == there
    failed = [e.error.result_code for e in client.seen(RequestFailed)]
    assert failed == ([] if there else [ResultCode.UNABLE_TO_DELIVER])


def test_request_that_is_too_long_is_not_sent():
    network, client = network_of(SERVER)
    long = replace(REQUEST, eap_payload=bytes(65480))
    client.node.request(long.to_message(), network.now, 5.0)
    (failed,) = (network.settle(), client.seen(RequestFailed))[1]
    assert "is longer than 65536" in failed.reason
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(0.1)
    assert len(client.seen(AnswerReceived)) == len(client.seen(PeerUp)) == 1


def test_stopping_fails_what_is_pending():
    network, client = network_of(SERVER)
    network.hosts[SERVER].handler = None
    client.node.request(REQUEST.to_message(), network.now, 5.0)
    network.run(0.1)
    client.node.stop(network.now)
    network.run(1.0)
    assert client.seen(RequestFailed)[0].reason == "the node stops"


def test_answers_are_forgotten_after_their_lifetime():
    network, _ = network_of(SERVER)
    server = network.hosts[SERVER]
    message = replace(REQUEST.to_message(), end_to_end=7).encode()
    network.inject(SERVER, message)
    network.run(TIMERS.duplicates - 1)
    network.inject(SERVER, message)
    assert len(server.seen(RequestReceived)) == 1
    network.run(2.0)
    network.inject(SERVER, message)
    assert len(server.seen(RequestReceived)) == 2
