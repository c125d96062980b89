"""The service against a node of python-diameter, which speaks IPv4 only."""

import asyncio
import socket
import threading
from ipaddress import IPv4Address

import pytest
from diameter.message import constants as c
from diameter.message.commands.diameter_eap import DiameterEapRequest as OtherRequest
from diameter.node import Node as OtherNode
from diameter.node.application import SimpleThreadingApplication
from diameter.node.peer import DISCONNECT_REASON_DPR

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.config import DiameterTimers, NodeConfig, PeerConfig
from agents.diameter.dictionary import APPLICATION_EAP
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.events import PeerDown, PeerUp
from agents.diameter.wire import Message
from tests.diameter.running import running
from tests.diameter.samples import (
    ANSWER,
    CLIENT,
    CLIENT_REALM,
    EAP_RESPONSE,
    EAP_SUCCESS,
    REQUEST,
    SECOND,
    SERVER,
    SERVER_REALM,
    serve,
)

TIMERS = DiameterTimers(reconnect=0.05, watchdog=0.3)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_watchdog(event, *, request=True):
    if not isinstance(event, bytes):
        return False
    message = Message.decode(event)
    return message.command == d.Command.DEVICE_WATCHDOG and message.request == request


def is_watchdog_answer(event):
    return is_watchdog(event, request=False)


@pytest.fixture(scope="module")
def run_node():
    """Start a node of python-diameter; all of them end together, for each takes its time."""
    nodes = []

    def start(node):
        node.wakeup_interval = 0.05
        node.start()
        nodes.append(node)

    yield start
    ends = [threading.Thread(target=node.stop, args=(5,)) for node in nodes]
    for end in ends:
        end.start()
    for end in ends:
        end.join()


def its_server(name=SERVER):
    """Return a server of its, its port, and the peer that our client is to it."""
    port = free_port()
    other = OtherNode(name, SERVER_REALM, ip_addresses=["127.0.0.1"], tcp_port=port)

    def handle(application, message):
        answer = application.generate_answer(message, c.E_RESULT_CODE_DIAMETER_SUCCESS)
        answer.auth_request_type = message.auth_request_type
        answer.eap_payload = EAP_SUCCESS
        answer.eap_master_session_key = ANSWER.msk
        return answer

    application = SimpleThreadingApplication(
        APPLICATION_EAP, is_auth_application=True, request_handler=handle
    )
    peer = other.add_peer(f"aaa://{CLIENT}", CLIENT_REALM)
    other.add_application(application, [peer], realms=[SERVER_REALM])
    return other, PeerConfig(name, SERVER_REALM, ("127.0.0.1", port)), peer


def our_client(*known, timers=TIMERS):
    return running(NodeConfig(CLIENT, CLIENT_REALM, known, timers=timers))


async def ask(here):
    """Have our client ask anybody in the realm; return the answer."""
    message = replace(REQUEST, unknown=(), destination_host=None).to_message()
    return DiameterEapAnswer.from_message(await here.request(message))


def test_our_client_and_its_server(run_node):
    other, known, _ = its_server()

    async def run():
        async with our_client(known) as here:
            await here.usable(SERVER_REALM)
            answer = await ask(here)
            assert answer.eap_payload == EAP_SUCCESS
            assert answer.msk == ANSWER.msk
            await here.wait(is_watchdog_answer)
            assert not any(isinstance(event, PeerDown) for event in here.events)

    run_node(other)
    asyncio.run(run())


def test_its_watchdogs_are_answered(run_node):
    other, known, _ = its_server()
    other.idle_timeout = 0  # As whole seconds are compared, it asks after one.

    async def run():
        async with our_client(known, timers=DiameterTimers()) as here:
            # It asks again only once it has been answered.
            await here.wait(lambda _: sum(map(is_watchdog, here.events)) >= 2)
            assert not any(isinstance(event, PeerDown) for event in here.events)

    run_node(other)
    asyncio.run(run())


def test_it_is_told_that_our_client_leaves(run_node):
    other, known, peer = its_server()

    async def run():
        async with our_client(known) as here:
            await here.usable(SERVER_REALM)

    run_node(other)
    asyncio.run(run())
    assert (peer.counters.dpr, peer.disconnect_reason) == (1, DISCONNECT_REASON_DPR)


def test_what_its_server_leaves_goes_to_another(run_node):
    others = [its_server(name) for name in (SERVER, SECOND)]

    async def run():
        async with our_client(*(known for _, known, _ in others)) as here:
            for name in (SERVER, SECOND):
                await here.wait(lambda e, name=name: isinstance(e, PeerUp) and e.peer == name)
            first = (await ask(here)).origin_host
            leaving = next(other for other, known, _ in others if known.host == first)
            leaving.send_dpr(*leaving.connections.values())
            down = await here.wait(lambda e: isinstance(e, PeerDown))
            assert down.peer == first
            second = await ask(here)
            assert second.msk == ANSWER.msk
            assert {first, second.origin_host} == {SERVER, SECOND}

    for other, *_ in others:
        run_node(other)
    asyncio.run(run())


@pytest.mark.parametrize("mobile", [True, False])
def test_its_client_and_our_server(mobile, run_node):
    received = []

    def handler(message):
        received.append(message)
        return serve(message) if mobile else replace(ANSWER, assignment=None).to_message()

    async def run():
        peer = PeerConfig(CLIENT, CLIENT_REALM, sources=(IPv4Address("127.0.0.1"),))
        config = NodeConfig(SERVER, SERVER_REALM, (peer,), timers=TIMERS)
        async with running(config, handler=handler, listen=[("127.0.0.1", 0)]) as there:
            return await asyncio.to_thread(ask_it, there.address[1])

    def ask_it(port):
        other = OtherNode(CLIENT, CLIENT_REALM, ip_addresses=["127.0.0.1"])
        application = SimpleThreadingApplication(APPLICATION_EAP, is_auth_application=True)
        peer = other.add_peer(
            f"aaa://{SERVER}:{port}",
            SERVER_REALM,
            ip_addresses=["127.0.0.1"],
            is_persistent=True,
        )
        other.add_application(application, [peer])
        run_node(other)
        application.wait_for_ready(timeout=5)
        request = OtherRequest()
        request.session_id = other.session_generator.next_id()
        request.auth_application_id = APPLICATION_EAP
        request.origin_host = CLIENT.encode()
        request.origin_realm = CLIENT_REALM.encode()
        request.destination_realm = SERVER_REALM.encode()
        request.auth_request_type = c.E_AUTH_REQUEST_TYPE_AUTHORIZE_AUTHENTICATE
        request.eap_payload = EAP_RESPONSE
        return application.send_request(request, timeout=5)

    answer = asyncio.run(run())
    assert len(received) == 1
    assert answer.result_code == c.E_RESULT_CODE_DIAMETER_SUCCESS
    assert answer.eap_master_session_key == ANSWER.msk
    info = [avp for avp in answer.avps if avp.code == c.AVP_MIP6_AGENT_INFO]
    assert len(info) == mobile
