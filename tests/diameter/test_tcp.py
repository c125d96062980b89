"""The service over real loopback TCP, with and without TLS."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from agents.diameter import dictionary as d
from agents.diameter.capabilities import capabilities_request
from agents.diameter.config import NodeConfig, PeerConfig, Timers
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.events import ConnectionFailed, PeerDown, PeerUp, RequestSent
from agents.diameter.wire import Message
from agents.shell.tcp import DiameterService
from tests.diameter.certificates import Authority
from tests.diameter.samples import (
    ANSWER,
    CLIENT,
    CLIENT_REALM,
    REQUEST,
    SERVER,
    SERVER_REALM,
    serve,
)

TIMERS = Timers(connect=5, capabilities=5, disconnect=2, reconnect=0.05, watchdog=20)


class Recorder:
    """Keeps events and lets a test wait for one."""

    def __init__(self) -> None:
        self.events = []
        self._more = asyncio.Event()

    def __call__(self, event) -> None:
        self.events.append(event)
        self._more.set()

    async def wait(self, wanted: Callable[[object], bool]):
        try:
            async with asyncio.timeout(10):
                while True:
                    for event in self.events:
                        if wanted(event):
                            return event
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pytest.fail(f"not among {self.events}")

    async def failure(self, text):
        return await self.wait(lambda e: isinstance(e, ConnectionFailed) and text in e.reason)


@asynccontextmanager
async def service(config, **options):
    recorder = Recorder()
    running = DiameterService(config, on_event=recorder, **options)
    try:
        await running.start()
        yield running, recorder
    finally:
        await running.close()


def server(handler=serve, tls=None, port=0):
    peer = PeerConfig(CLIENT, CLIENT_REALM, sources=() if tls else (IPv6Address("::1"),))
    config = NodeConfig(SERVER, SERVER_REALM, (peer,), timers=TIMERS)
    return service(config, handler=handler, listen=[("::1", port)], tls=tls)


def client(address, tls=None):
    peer = PeerConfig(SERVER, SERVER_REALM, address)
    config = NodeConfig(CLIENT, CLIENT_REALM, (peer,), timers=TIMERS)
    return service(config, tls=tls)


@asynccontextmanager
async def both(handler=serve, server_tls=None, client_tls=None):
    async with AsyncExitStack() as stack:
        there, there_events = await stack.enter_async_context(server(handler, server_tls))
        here, here_events = await stack.enter_async_context(client(there.listening[0], client_tls))
        yield here, here_events, there, there_events


def test_request_and_answer():
    async def run():
        async with both() as (here, events, there, there_events):
            await here.connected(SERVER_REALM, 5.0)
            answers = await asyncio.gather(*(here.request(REQUEST.to_message()) for _ in range(20)))
            assert {DiameterEapAnswer.from_message(a) for a in answers} == {ANSWER}
            outcomes = []
            here.submit(REQUEST.to_message(), outcomes.append)
            while not outcomes:
                await asyncio.sleep(0)
            assert DiameterEapAnswer.from_message(outcomes[0]) == ANSWER
            for end in (here, there):
                (connection,) = end._connections.values()
                sock = connection.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            await here.close()
            down = await there_events.wait(lambda e: isinstance(e, PeerDown))
            assert down.reason == "the peer disconnects, cause 0"
        assert ANSWER.msk is not None
        assert repr(ANSWER.msk) not in repr(events.events)

    asyncio.run(run())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_tls(authority, tmp_path):
    async def run():
        keylog = tmp_path / "keys"
        mine = replace(authority.issue(CLIENT), keylog=keylog)
        async with both(server_tls=authority.issue(SERVER), client_tls=mine) as (here, *_):
            await here.connected(SERVER_REALM, 5.0)
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
            case ["client", "has another name"]:
                here_tls = authority.issue("elsewhere.test")
            case _:
                here_tls = None
        async with both(server_tls=there_tls, client_tls=here_tls) as (here, events, _, others):
            await events.failure(here_says)
            await others.failure(there_says)
            with pytest.raises(TimeoutError, match="no Diameter peer"):
                await here.connected(SERVER_REALM, 0.01)
            assert not any(isinstance(e, PeerUp) for e in events.events)

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
    ):
        with pytest.raises(ValueError, match=r"none\.pem|bad\.pem"):
            files.context(server=True)


def test_server_that_comes_back():
    async def run():
        async with AsyncExitStack() as stack:
            async with server(handler=None) as (first, first_events):
                address = first.listening[0]
                here, events = await stack.enter_async_context(client(address))
                await here.connected(SERVER_REALM, 5.0)
                first_events.handler = None
                first._handler = lambda message: first.node.outbox.clear() or serve(message)
                for connection in tuple(first._open):
                    connection.transport.pause_reading()
                pending = asyncio.ensure_future(here.request(REQUEST.to_message()))
                await events.wait(lambda e: isinstance(e, RequestSent))
                for connection in tuple(first._open):
                    connection.transport.abort()
                await events.wait(lambda e: isinstance(e, PeerDown))
            async with server(port=address[1]):
                assert DiameterEapAnswer.from_message(await pending) == ANSWER
            sent = [e.retransmitted for e in events.events if isinstance(e, RequestSent)]
            assert sent == [False, True]

    asyncio.run(run())


def refuse(_):
    raise DiameterError("not you", ResultCode.AUTHORIZATION_REJECTED)


def test_handler_that_refuses():
    async def run():
        async with both(handler=refuse) as (here, *_):
            with pytest.raises(DiameterError, match="not you") as caught:
                await here.request(REQUEST.to_message())
            assert caught.value.result_code == ResultCode.AUTHORIZATION_REJECTED

    asyncio.run(run())


def test_handler_that_fails_does_not_stop_the_server():
    async def run():
        reported = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["exception"])
        )
        async with both(handler=lambda _: 1 // 0) as (here, *_):
            for _ in range(2):
                with pytest.raises(DiameterError) as caught:
                    await here.request(REQUEST.to_message())
                assert caught.value.result_code == ResultCode.UNABLE_TO_COMPLY
        assert [type(error) for error in reported] == [ZeroDivisionError] * 2

    asyncio.run(run())


def test_requests_end_by_their_deadline():
    async def run():
        async with client(("::1", 1)) as (here, _):
            with pytest.raises(DiameterError) as caught:
                await here.request(REQUEST.to_message(), timeout=0.05)
            assert caught.value.result_code == ResultCode.UNABLE_TO_DELIVER
            with pytest.raises(TimeoutError, match=r"no Diameter peer .* port 1"):
                await here.connected(SERVER_REALM, 0.05)
            task = asyncio.ensure_future(here.request(REQUEST.to_message()))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert here.node.next_timeout() is not None
            assert not here._outcomes

    asyncio.run(run())


def test_garbage_from_a_stranger():
    async def run():
        async with server() as (there, events):
            reader, writer = await asyncio.open_connection(*there.listening[0])
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await events.failure("no Diameter: version 71")
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize("tls", [False, True])
def test_garbage_on_an_open_connection_is_a_reset(authority, tls):
    files = [authority.issue(name) if tls else None for name in (SERVER, CLIENT)]

    async def run():
        async with both(server_tls=files[0], client_tls=files[1]) as (here, events, _, others):
            await here.connected(SERVER_REALM, 5.0)
            (connection,) = here._open
            connection.transport.write(b"GET / HTTP/1.1\r\n\r\n")
            down = await events.wait(lambda e: isinstance(e, PeerDown))
            assert "reset by peer" in down.reason
            await others.wait(lambda e: isinstance(e, PeerDown) and "version 71" in e.reason)
            await events.wait(lambda e: isinstance(e, PeerUp) and e.at > down.at)

    asyncio.run(run())


def test_a_cer_that_is_refused_gets_its_answer_and_then_the_end():
    async def run():
        async with server() as (there, _):
            reader, writer = await asyncio.open_connection(*there.listening[0])
            config = NodeConfig(CLIENT, "evil.test")
            writer.write(capabilities_request(config, IPv6Address("::1")).encode())
            answer = Message.decode(await reader.read())
            assert d.RESULT_CODE.find(answer.avps) == ResultCode.UNKNOWN_PEER
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())


def test_closing_with_strangers_connected_and_twice():
    async def run():
        async with server() as (there, _):
            _, writer = await asyncio.open_connection(*there.listening[0])
            await asyncio.sleep(0.01)
            await there.close()
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    asyncio.run(run())


def test_address_in_use():
    async def run():
        async with server() as (there, _):
            with pytest.raises(OSError, match="in use"):
                async with server(port=there.listening[0][1]):
                    pass

    asyncio.run(run())


def test_realm_not_served():
    async def run():
        async with both() as (here, *_):
            other = replace(REQUEST, destination_realm="nowhere.test", destination_host=None)
            with pytest.raises(DiameterError) as caught:
                await here.request(other.to_message())
            assert caught.value.result_code == ResultCode.REALM_NOT_SERVED
            assert d.DESTINATION_REALM.find(other.to_message().avps) == "nowhere.test"

    asyncio.run(run())
