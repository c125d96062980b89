"""The service over real loopback TCP, with and without TLS."""

import asyncio
import os
import resource
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ipaddress import IPv6Address

import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import capabilities_request
from agents.diameter.config import DiameterTimers, NodeConfig, PeerConfig
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.events import PeerDown, PeerUp, RequestSent
from agents.diameter.wire import Message
from agents.shell.streams import TcpStreams
from tests.diameter.certificates import Authority
from tests.diameter.running import DEADLINE, running
from tests.diameter.samples import (
    ANSWER,
    CLIENT,
    CLIENT_REALM,
    REQUEST,
    SERVER,
    SERVER_REALM,
    serve,
)

TIMERS = DiameterTimers(connect=5, capabilities=5, disconnect=2, reconnect=0.05, watchdog=20)
HTTP = b"GET / HTTP/1.1\r\n\r\n"


def server(handler=serve, tls=None, port=0):
    peer = PeerConfig(CLIENT, CLIENT_REALM, sources=() if tls else (IPv6Address("::1"),))
    config = NodeConfig(SERVER, SERVER_REALM, (peer,), timers=TIMERS)
    return running(config, handler=handler, listen=[("::1", port)], tls=tls)


def client(address, tls=None):
    peer = PeerConfig(SERVER, SERVER_REALM, address)
    config = NodeConfig(CLIENT, CLIENT_REALM, (peer,), timers=TIMERS)
    return running(config, tls=tls)


@asynccontextmanager
async def both(handler=serve, server_tls=None, client_tls=None):
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(server(handler, server_tls))
        here = await stack.enter_async_context(client(there.address, client_tls))
        yield here, there


@asynccontextmanager
async def stranger(there):
    """Connect to a server without Diameter."""
    reader, writer = await asyncio.open_connection(*there.address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def undelayed(port):
    """Return TCP_NODELAY of this process's sockets that are connected from or to a port."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as one:
            if one.family == socket.AF_INET6:
                ports = one.getsockname()[1], one.getpeername()[1]
                if port in ports:
                    found.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    return found


def test_request_and_answer():
    async def run():
        async with both() as (here, there):
            await here.usable(SERVER_REALM)
            answers = await asyncio.gather(*(here.request(REQUEST.to_message()) for _ in range(20)))
            assert {DiameterEapAnswer.from_message(a) for a in answers} == {ANSWER}
            assert undelayed(there.address[1]) == [1, 1]
            await here.stop()
            down = await there.wait(lambda e: isinstance(e, PeerDown))
            assert down.reason == "the peer disconnects, cause 0"
        assert ANSWER.msk is not None
        assert repr(ANSWER.msk) not in repr(here.events)

    asyncio.run(run())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_tls(authority, tmp_path):
    async def run():
        keylog = tmp_path / "keys"
        crl = authority.withdraw()
        mine = replace(authority.issue(CLIENT), keylog=keylog, crl=crl)
        server_tls = replace(authority.issue(SERVER), crl=crl)
        async with both(server_tls=server_tls, client_tls=mine) as (here, _):
            await here.usable(SERVER_REALM)
            answer = await here.request(REQUEST.to_message())
            assert DiameterEapAnswer.from_message(answer) == ANSWER
        assert "CLIENT_TRAFFIC_SECRET_0" in keylog.read_text()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("case", "here_says", "there_says"),
    [
        ("client's certificate has expired", "the peer closed", "expired"),
        ("client is of another CA", "the peer closed", "certificate verify failed"),
        ("server is of another CA", "certificate verify failed", "TLS failed: the peer closed"),
        ("server has another name", "ostname mismatch", ""),
        ("client has another name", "3010", "the certificate is not one of"),
        ("client speaks no TLS", "closed", "TLS failed"),
        ("revoked is the client's certificate", "the peer closed", "certificate revoked"),
        ("revoked is the server's certificate", "certificate revoked", "the peer closed"),
        ("outdated is the CRL", "CRL has expired", "the peer closed"),
    ],
)
def test_bad_certificates(tmp_path, case, here_says, there_says):
    async def run():
        authority, other = Authority(tmp_path), Authority(tmp_path, "other")
        there_tls, here_tls = authority.issue(SERVER), authority.issue(CLIENT)
        match case.split(" ", 1):
            case ["client's", _]:
                here_tls = authority.issue(CLIENT, days=-1)
            case ["client", "is of another CA"]:
                here_tls = other.issue(CLIENT, authority=authority)
            case ["server", "is of another CA"]:
                there_tls = other.issue(SERVER, authority=authority)
            case ["server", _]:
                there_tls = authority.issue("elsewhere.test")
            case ["revoked", "is the client's certificate"]:
                there_tls = replace(there_tls, crl=authority.withdraw(here_tls))
            case ["revoked", _]:
                here_tls = replace(here_tls, crl=authority.withdraw(there_tls))
            case ["outdated", _]:
                here_tls = replace(here_tls, crl=authority.withdraw(days=-1))
            case ["client", "has another name"]:
                here_tls = authority.issue("elsewhere.test")
            case _:
                here_tls = None
        async with both(server_tls=there_tls, client_tls=here_tls) as (here, there):
            await here.failure(here_says)
            await there.failure(there_says)
            with pytest.raises(TimeoutError, match="no Diameter peer"):
                await here.usable(SERVER_REALM, 0.01)
            assert not any(isinstance(e, PeerUp) for e in here.events)

    asyncio.run(run())


def test_missing_and_bad_tls_files(authority, tmp_path):
    good = authority.issue(CLIENT)
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    for files in (
        replace(good, authority=tmp_path / "none.pem"),
        replace(good, authority=bad),
        replace(good, certificate=bad),
        replace(good, key=tmp_path / "none.pem"),
        replace(good, crl=tmp_path / "none.pem"),
        replace(good, crl=bad),
    ):
        with pytest.raises(ValueError, match=r"none\.pem|bad\.pem"):
            files.context(server=True)


def test_server_that_comes_back():
    async def run():
        async with AsyncExitStack() as stack:

            def crash(message):
                first.service.streams.close()
                return serve(message)

            async with server(crash) as first:
                address = first.address
                here = await stack.enter_async_context(client(address))
                await here.usable(SERVER_REALM)
                pending = asyncio.ensure_future(here.request(REQUEST.to_message()))
                await here.wait(lambda e: isinstance(e, PeerDown))
            async with server(port=address[1]):
                assert DiameterEapAnswer.from_message(await pending) == ANSWER
            sent = [e.retransmitted for e in here.events if isinstance(e, RequestSent)]
            assert sent == [False, True]

    asyncio.run(run())


def test_handler_that_fails_does_not_stop_the_server():
    async def run():
        reported = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["exception"])
        )
        async with both(handler=lambda _: 1 // 0) as (here, _):
            for _ in range(2):
                with pytest.raises(DiameterError) as caught:
                    await here.request(REQUEST.to_message())
                assert caught.value.result_code == ResultCode.UNABLE_TO_COMPLY
        assert [type(error) for error in reported] == [ZeroDivisionError] * 2

    asyncio.run(run())


def test_nobody_listens():
    async def run():
        async with client(("::1", 1)) as here:
            await here.failure("port 1")
            with pytest.raises(TimeoutError, match=r"no Diameter peer .* port 1"):
                await here.usable(SERVER_REALM, 0.01)

    asyncio.run(run())


def test_garbage_from_a_stranger():
    async def run():
        async with server() as there, stranger(there) as (reader, writer):
            writer.write(HTTP)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await there.failure("no Diameter: version 71")

    asyncio.run(run())


@pytest.mark.parametrize("tls", [False, True])
def test_garbage_on_an_open_connection_is_a_reset(authority, tls):
    files = [authority.issue(name) if tls else None for name in (SERVER, CLIENT)]

    async def run():
        async with both(server_tls=files[0], client_tls=files[1]) as (here, there):
            await here.usable(SERVER_REALM)
            here.service.streams.send(1, HTTP)
            down = await here.wait(lambda e: isinstance(e, PeerDown))
            assert "reset by peer" in down.reason
            await there.wait(lambda e: isinstance(e, PeerDown) and "version 71" in e.reason)
            await here.wait(lambda e: isinstance(e, PeerUp) and e.at > down.at)

    asyncio.run(run())


def test_a_cer_that_is_refused_gets_its_answer_and_then_the_end():
    async def run():
        async with server() as there, stranger(there) as (reader, writer):
            config = NodeConfig(CLIENT, "evil.test")
            writer.write(capabilities_request(config, IPv6Address("::1")).encode())
            answer = Message.decode(await reader.read())
            assert d.RESULT_CODE.find(answer.avps) == ResultCode.UNKNOWN_PEER

    asyncio.run(run())


def test_stopping_with_strangers_connected_and_twice():
    async def run():
        async with server() as there, stranger(there) as (reader, writer):
            writer.write(b"\1")
            await there.stop()
            with suppress(ConnectionResetError):
                assert await reader.read() == b""

    asyncio.run(run())


def test_stopping_at_once_after_the_start():
    async def run():
        async with server() as there, client(there.address):
            pass

    asyncio.run(run())


def test_address_in_use():
    async def run():
        async with server() as there:
            with pytest.raises(OSError, match="in use"):
                async with server(port=there.address[1]):
                    pass

    asyncio.run(run())


def test_where_no_more_connections_can_be_accepted_they_are_later():
    async def run():
        async with server() as there:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            with socket.socket(socket.AF_INET6) as knocking:
                knocking.setblocking(False)
                free = os.dup(0)
                os.close(free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
                try:
                    with suppress(BlockingIOError):
                        knocking.connect(there.address)
                    await there.failure("none can be accepted")
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                knocking.send(HTTP)
                await there.failure("no Diameter: version 71")

    asyncio.run(run())


class Talker:
    """Answers at length, and takes note of the end."""

    def __init__(self):
        self.ended = asyncio.Event()

    def accepted(self, _source, _local):
        return 7

    def received(self, number, _data):
        assert number == 7
        for _ in range(16):
            self.streams.send(7, bytes(1 << 20))

    def closed(self, number, _reason):
        assert number == 7
        self.ended.set()


def test_who_does_not_read_is_cut():
    async def run():
        talker = Talker()
        talker.streams = TcpStreams(talker, [("::1", 0)])
        with socket.socket(socket.AF_INET6) as deaf:
            deaf.setblocking(False)
            with suppress(BlockingIOError):
                deaf.connect(talker.streams.listening[0])
            await asyncio.get_running_loop().sock_sendall(deaf, b"?")
            async with asyncio.timeout(DEADLINE):
                await talker.ended.wait()
            assert talker.streams.idle
        talker.streams.close()

    asyncio.run(run())
