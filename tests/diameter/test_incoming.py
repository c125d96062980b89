"""Who may connect, how many at once, and for how long without saying who it is."""

from __future__ import annotations

import asyncio
import random
from ipaddress import IPv4Address, IPv6Address

import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import capabilities_request
from agents.diameter.config import NodeConfig, PeerConfig
from agents.diameter.errors import ResultCode
from agents.diameter.events import Close, ConnectionFailed, PeerUp
from agents.diameter.node import Node
from agents.diameter.states import State
from agents.diameter.wire import Message
from tests.diameter.certificates import Authority
from tests.diameter.running import running
from tests.diameter.samples import (
    CLIENT,
    CLIENT_REALM,
    LOCAL,
    SERVER,
    SERVER_REALM,
    TIMERS,
    client_config,
    serve,
)

HOME_AGENT = "ha.home.test"
ROUTERS, AGENTS = IPv6Address("2001:db8:b::1"), IPv6Address("2001:db8:b::5")
STRANGER = IPv6Address("2001:db8:bad::1")
CER = capabilities_request(client_config(), LOCAL).encode()


def node_of(**changes):
    peers = (
        PeerConfig(CLIENT, CLIENT_REALM, sources=(ROUTERS,)),
        PeerConfig(HOME_AGENT, SERVER_REALM, sources=(AGENTS,)),
    )
    config = NodeConfig(SERVER, SERVER_REALM, peers, timers=TIMERS)
    return Node(replace(config, **changes), rng=random.Random(1))


def closed(node):
    """Return the numbers of the connections that were reset."""
    return [act.connection for act in node.outbox if isinstance(act, Close) and act.reset]


def test_a_stranger_is_refused_before_it_can_say_a_peers_name():
    node = node_of()
    assert node.handle_accepted(0.0, STRANGER, LOCAL) is None
    assert not node.outbox
    assert node.next_timeout() is None
    number = node.handle_accepted(0.0, ROUTERS, LOCAL)
    node.handle_data(number, CER, 0.0)
    assert node.state(CLIENT) is State.R_OPEN


def test_a_peer_cannot_take_anothers_name():
    node = node_of()
    number = node.handle_accepted(0.0, AGENTS, LOCAL)
    node.handle_data(number, CER, 0.0)
    answer, close = node.outbox
    code = d.RESULT_CODE.find(Message.decode(answer.data).avps)
    assert code == ResultCode.UNKNOWN_PEER
    assert close == Close(number)  # Not by RST, which may overtake the answer.
    assert node.state(CLIENT) is State.CLOSED


def test_a_peers_realm_is_the_configured_one():
    node = node_of()
    evil = NodeConfig(CLIENT, SERVER_REALM, timers=TIMERS)
    number = node.handle_accepted(0.0, ROUTERS, LOCAL)
    node.handle_data(number, capabilities_request(evil, LOCAL).encode(), 0.0)
    assert node.state(CLIENT) is State.CLOSED
    assert "of realm 'visited.test', not of 'home.test'" in node.events[-1].reason


def test_a_peer_with_an_address_alone_connects_from_there():
    peer = PeerConfig(CLIENT, CLIENT_REALM, (str(ROUTERS), 3868))
    node = node_of(peers=(peer, PeerConfig(HOME_AGENT, SERVER_REALM, ("ha.home.test", 3868))))
    assert node.handle_accepted(0.0, STRANGER, LOCAL) is None
    number = node.handle_accepted(0.0, ROUTERS, LOCAL)
    node.handle_data(number, CER, 0.0)
    assert node.state(CLIENT) is State.R_OPEN


def test_a_peer_without_addresses_needs_tls():
    peers = (PeerConfig(CLIENT, CLIENT_REALM),)
    assert node_of(peers=peers).handle_accepted(0.0, STRANGER, LOCAL) is None
    node = node_of(peers=peers, tls=True)
    number = node.handle_accepted(0.0, STRANGER, LOCAL)
    node.handle_secured(number, frozenset({CLIENT}))
    node.handle_data(number, CER, 0.0)
    assert node.state(CLIENT) is State.R_OPEN


def test_a_peers_addresses_count_with_tls_too():
    node = node_of(tls=True)
    assert node.handle_accepted(0.0, STRANGER, LOCAL) is None
    number = node.handle_accepted(0.0, AGENTS, LOCAL)
    node.handle_secured(number, frozenset({CLIENT}))
    node.handle_data(number, CER, 0.0)
    assert node.state(CLIENT) is State.CLOSED


def test_silent_connections_of_a_peers_host_give_way_to_the_newest():
    node = node_of()
    numbers = [node.handle_accepted(0.0, ROUTERS, LOCAL) for _ in range(50)]
    assert closed(node) == numbers[:-8]
    node.handle_data(numbers[-1], CER, 0.0)
    assert node.state(CLIENT) is State.R_OPEN


@pytest.mark.parametrize("tls", [False, True])
def test_silent_connections_end_by_one_deadline(tls):
    node = node_of(tls=tls)
    first = node.handle_accepted(0.0, ROUTERS, LOCAL)
    second = node.handle_accepted(1.0, AGENTS, LOCAL)
    if tls:
        node.handle_secured(second, frozenset({HOME_AGENT}))
    assert node.next_timeout() == TIMERS.capabilities
    node.handle_timeout(TIMERS.capabilities)
    assert closed(node) == [first]
    node.handle_data(second, CER[:20], TIMERS.capabilities)
    node.handle_timeout(1.0 + TIMERS.capabilities)
    assert closed(node) == [first, second]
    assert node.next_timeout() is None


def test_strangers_with_tls_are_bounded_and_do_not_crowd_out_known_hosts():
    peers = (*node_of().config.peers, PeerConfig("roaming.visited.test", CLIENT_REALM))
    node = node_of(peers=peers, tls=True)
    known = node.handle_accepted(0.0, ROUTERS, LOCAL)
    # One link's addresses count as one host; more of these are bounded, too.
    link = [node.handle_accepted(0.0, STRANGER + n, LOCAL) for n in range(20)]
    assert closed(node) == link[:-8]
    for n in range(1, 300):
        node.handle_accepted(0.0, STRANGER + (n << 64), LOCAL)
    assert len(closed(node)) == 12 + 8 + 299 - 64
    assert known not in closed(node)
    node.handle_secured(known, frozenset({CLIENT}))
    node.handle_data(known, CER, 0.0)
    assert node.state(CLIENT) is State.R_OPEN


def test_a_first_message_is_not_long():
    node = node_of()
    number = node.handle_accepted(0.0, ROUTERS, LOCAL)
    node.handle_data(number, b"\x01\x00\x40\x00", 0.0)
    assert closed(node) == [number]


def test_refusals_are_reported_once_a_second():
    node = node_of()
    for n in range(500):
        node.handle_accepted(n / 100, STRANGER, LOCAL)
    reasons = [event.reason for event in node.events]
    assert reasons == ["no peer connects from 2001:db8:bad::1"] * 5


# From here on with real sockets: 127.0.0.0/8 is all one host's.
ROUTER_SOURCE, OTHER_SOURCE = "127.0.0.2", "127.0.0.66"


def server(tls=None):
    sources = () if tls else (IPv4Address(ROUTER_SOURCE),)
    peer = PeerConfig(CLIENT, CLIENT_REALM, sources=sources)
    config = NodeConfig(SERVER, SERVER_REALM, (peer,), timers=TIMERS)
    return running(config, handler=serve, listen=[("127.0.0.1", 0)], tls=tls)


async def connect(address, source):
    return await asyncio.open_connection(*address, local_addr=(source, 0))


async def read_to_the_end(reader):
    """Return what comes until the other end closes or resets the connection."""
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""


async def what_a_cer_gets(address, source):
    try:
        reader, writer = await connect(address, source)
    except ConnectionResetError:
        return b""
    writer.write(CER)
    try:
        return await read_to_the_end(reader)
    finally:
        writer.transport.abort()


def test_the_router_gets_in_after_a_stranger_has_said_its_name():
    async def run():
        async with server() as there:
            address = there.address
            assert await what_a_cer_gets(address, OTHER_SOURCE) == b""
            _, router = await connect(address, ROUTER_SOURCE)
            router.write(CER)
            await there.wait(lambda event: isinstance(event, PeerUp))
            router.transport.abort()

    asyncio.run(run())


def test_handshakes_that_do_not_end_are_bounded(tmp_path):
    async def run():
        authority = Authority(tmp_path)
        async with server(authority.issue(SERVER)) as there:
            silent = [await connect(there.address, OTHER_SOURCE) for _ in range(30)]
            ends = [asyncio.ensure_future(read_to_the_end(reader)) for reader, _ in silent]
            await asyncio.wait(ends[:22])
            assert [end.done() for end in ends] == [True] * 22 + [False] * 8
            gone = [e for e in there.events if isinstance(e, ConnectionFailed)]
            assert len(gone) == 22
            for end in ends:
                end.cancel()
            for _, writer in silent:
                writer.transport.abort()

    asyncio.run(run())
