"""Diameter over TCP and TLS: the sockets, the clock and the timer of a node."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import cast

from agents.core.machine import Address, Event
from agents.diameter.config import NodeConfig
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.events import (
    Action,
    AnswerReceived,
    Close,
    Connect,
    ConnectionFailed,
    PeerUp,
    RequestFailed,
    RequestReceived,
    Send,
)
from agents.diameter.node import Node
from agents.diameter.values import IPAddress
from agents.diameter.wire import Message
from agents.shell.tls import TlsFiles, certified_names

Handler = Callable[[Message], Message]
Outcome = Callable[[Message | Exception], None]

_MAXIMUM_BACKLOG = 1 << 22
"""Octets that wait for a peer which does not read; then its connection is cut."""


_BACKLOG = 128
"""Connections that the kernel keeps until they are accepted; as many are taken in one go."""

_PAUSE = 1.0
"""Seconds until the next attempt to accept connections where the system has no room for them."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that has close() send RST: nothing of the connection stays in the kernel."""


class _Connection(asyncio.Protocol):
    """One TCP connection, with TLS if there is any."""

    transport: asyncio.Transport

    def __init__(self, service: DiameterService, number: int, *, incoming: bool) -> None:
        self.number = number
        self.incoming = incoming
        self._service = service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._service.made(self)

    def reset(self) -> None:
        """End the connection by RST."""
        with suppress(OSError):  # TLS tells later of a socket's end than TCP.
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET
            )
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._service.received(self.number, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.lost(self, str(exc) if exc else "the peer closed the connection")


class DiameterService:
    """Runs a node in the running event loop.

    `handler` answers requests; it may raise DiameterError to refuse one. `on_event` is told every
    event of the node before what follows from it is sent. `listen` are addresses to listen on,
    port 0 for a free one. With `tls` every connection is mutually authenticated TLS.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        handler: Handler | None = None,
        on_event: Callable[[Event], None] | None = None,
        listen: Sequence[Address] = (),
        tls: TlsFiles | None = None,
        request_timeout: float = 10.0,
        rng: random.Random | None = None,
    ) -> None:
        self._config = config = replace(config, tls=tls is not None)
        self.node = Node(config, rng=rng or random.SystemRandom())
        self.request_timeout = request_timeout
        self._handler = handler
        self._on_event = on_event
        self._listen = tuple(listen)
        self._server_tls = tls.context(server=True) if tls else None
        self._client_tls = tls.context(server=False) if tls else None
        self._listeners: list[socket.socket] = []
        self._connections: dict[int, _Connection] = {}
        self._open: set[_Connection] = set()
        self._attempts: dict[int, asyncio.Task[None]] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._closed = False
        self._last_failure = ""

    # For the role

    @property
    def listening(self) -> tuple[Address, ...]:
        """The addresses and ports listened on."""
        names = [listener.getsockname() for listener in self._listeners]
        return tuple((name[0], name[1]) for name in names)

    async def start(self) -> None:
        """Listen and begin to connect; raises OSError if an address is not to be had."""
        loop = asyncio.get_running_loop()
        for host, port in self._listen:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
            listener.setblocking(False)
            self._listeners.append(listener)
            loop.add_reader(listener, self._accept, listener)
        self.node.start(self._now())
        self._pump()

    async def connected(self, realm: str, deadline: float) -> None:
        """Wait until requests for `realm` can be sent; TimeoutError after `deadline` seconds."""
        try:
            async with asyncio.timeout(deadline):
                while not self.node.usable(realm):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            reason = f"no Diameter peer for realm {realm!r} within {deadline:g} s"
            if self._last_failure:
                reason += f": {self._last_failure}"
            raise TimeoutError(reason) from None

    def submit(self, message: Message, outcome: Outcome, timeout: float | None = None) -> int:
        """Send a request; `outcome` is called once with the answer, DiameterError or TimeoutError.

        It is called from the event loop as soon as the answer is there. Returns the request's
        token for `withdraw`.
        """
        seconds = self.request_timeout if timeout is None else timeout
        token = self.node.request(message, self._now(), seconds)
        self._outcomes[token] = outcome
        self._pump()
        return token

    def withdraw(self, token: int) -> None:
        """Forget a request that was submitted; its outcome is not called."""
        self._outcomes.pop(token, None)
        self.node.cancel(token)

    async def request(self, message: Message, timeout: float | None = None) -> Message:
        """Send a request and return its answer; raises DiameterError or TimeoutError.

        DiameterError is for an answer with the E bit, one that breaks its grammar (`answer` holds
        the former), and for a request that cannot be routed. `timeout` is in seconds.
        """
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        def settle(outcome: Message | Exception) -> None:
            if future.done():
                return
            if isinstance(outcome, Message):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        token = self.submit(message, settle, timeout)
        try:
            return await future
        finally:
            self.withdraw(token)

    async def close(self) -> None:
        """Disconnect from every peer (DPR), and stop; it takes a few seconds at most."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self._listeners.clear()
        self.node.stop(self._now())
        self._pump()
        try:
            async with asyncio.timeout(self._config.timers.disconnect + 1.0):
                while not self.node.stopped or self._open:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            for connection in tuple(self._open):
                connection.transport.abort()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = tuple(self._attempts.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # For the connections

    def made(self, connection: _Connection) -> None:
        """Tell the node about a transport that is established, TLS included."""
        number, transport, now = connection.number, connection.transport, self._now()
        self._open.add(connection)
        self._connections[number] = connection
        self._attempts.pop(number, None)
        names = certified_names(transport)
        if not connection.incoming:
            local = _ip_address(transport.get_extra_info("sockname"))
            self.node.handle_connected(number, now, local, names)
        elif names is not None:
            self.node.handle_secured(number, names)
        self._pump()

    def received(self, number: int, data: bytes) -> None:
        """Hand octets to the node."""
        self.node.handle_data(number, data, self._now())
        self._pump()

    def lost(self, connection: _Connection, reason: str) -> None:
        """Tell the node about a closed transport."""
        self._open.discard(connection)
        self._changed.set()
        self._connections.pop(connection.number, None)
        self.node.handle_closed(connection.number, self._now(), reason)
        self._pump()

    def _accept(self, listener: socket.socket) -> None:
        """Take what the kernel has accepted; whom the node does not want is refused at once."""
        for _ in range(_BACKLOG):
            try:
                connection, source = listener.accept()
            except BlockingIOError:
                break
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(listener, error)
                break
            local = _ip_address(connection.getsockname())
            number = self.node.handle_accepted(self._now(), _ip_address(source), local)
            if number is None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.close()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.get_running_loop().create_task(self._take(number, connection))
            task.add_done_callback(partial(_close_if_cancelled, connection))
            self._attempts[number] = task
        self._pump()

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Accept nothing for a while, for the system has no room for more connections."""
        self._report(ConnectionFailed(self._now(), "", f"none can be accepted: {error}"))
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)

        def go_on() -> None:
            if listener in self._listeners:
                loop.add_reader(listener, self._accept, listener)

        loop.call_later(_PAUSE, go_on)

    async def _take(self, number: int, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Connection(self, number, incoming=True), connection, ssl=self._server_tls
            )
        except OSError as error:
            self._failed(number, f"TLS failed: {_words(error)}")

    def _failed(self, number: int, reason: str) -> None:
        self._attempts.pop(number, None)
        self.node.handle_closed(number, self._now(), reason)
        self._pump()

    async def _connect(self, action: Connect) -> None:
        host, port = action.address
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self, action.connection, incoming=False),
                host,
                port,
                ssl=self._client_tls,
                server_hostname=action.peer if self._client_tls else None,
            )
        except OSError as error:
            reason = f"no connection to {host} port {port}: {_words(error)}"
            self._failed(action.connection, reason)

    # The node's loop

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _pump(self) -> None:
        if self._pumping or self._closed:
            return
        self._pumping = True
        try:
            while self.node.events or self.node.outbox:
                while self.node.events:
                    self._handle(self.node.events.popleft())
                while self.node.outbox:
                    self._act(self.node.outbox.popleft())
        finally:
            self._pumping = False
        if self.node.stopped:
            self._changed.set()
        self._arm()

    def _handle(self, event: Event) -> None:
        self._report(event)
        match event:
            case RequestReceived(token=token, message=message):
                self._serve(token, message)
            case AnswerReceived(token=token, message=message):
                self._finish(token, message)
            case RequestFailed(token=token, reason=reason, error=error):
                self._finish(token, error or TimeoutError(reason))
            case PeerUp():
                self._changed.set()

    def _report(self, event: Event) -> None:
        if isinstance(event, ConnectionFailed):
            self._last_failure = event.reason
        if self._on_event is not None:
            self._on_event(event)

    def _finish(self, token: int, outcome: Message | Exception) -> None:
        call = self._outcomes.pop(token, None)
        if call is not None:
            call(outcome)

    def _serve(self, token: int, message: Message) -> None:
        try:
            if self._handler is None:
                raise DiameterError("this node serves nothing", ResultCode.COMMAND_UNSUPPORTED)
            answer = self._handler(message)
        except DiameterError as error:
            self.node.reject(token, error, self._now())
        except Exception as error:  # A server outlives the bug that one request meets.
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a Diameter request's handler failed", "exception": error}
            )
            refusal = DiameterError("internal error", ResultCode.UNABLE_TO_COMPLY)
            self.node.reject(token, refusal, self._now())
        else:
            self.node.answer(token, answer, self._now())

    def _act(self, action: Action) -> None:
        match action:
            case Send(connection=number, data=data):
                connection = self._connections.get(number)
                if connection is None:
                    return
                connection.transport.write(data)
                if connection.transport.get_write_buffer_size() > _MAXIMUM_BACKLOG:
                    connection.transport.abort()
            case Close(connection=number, reset=reset):
                attempt = self._attempts.pop(number, None)
                if attempt is not None:
                    attempt.cancel()
                connection = self._connections.pop(number, None)
                if connection is not None and reset:
                    connection.reset()
                elif connection is not None:
                    connection.transport.close()
            case Connect(connection=number):
                task = asyncio.get_running_loop().create_task(self._connect(action))
                self._attempts[number] = task

    def _arm(self) -> None:
        """See that the timer runs out no later than the node's next deadline."""
        deadline = self.node.next_timeout()
        if deadline is None or (self._timer is not None and self._timer.when() <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(deadline, self._expire, deadline)

    def _expire(self, deadline: float) -> None:
        self._timer = None
        # The loop may call up to its clock's resolution early; the node must see its deadline.
        self.node.handle_timeout(max(self._now(), deadline))
        self._pump()


def _close_if_cancelled(connection: socket.socket, task: asyncio.Task[None]) -> None:
    """Close a connection for which no transport has been made."""
    if task.cancelled():
        connection.close()


def _ip_address(name: tuple[str, int]) -> IPAddress:
    """Return the IP address of a socket's name, an IPv4 one if it only stands for that."""
    address = ip_address(name[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _words(error: BaseException) -> str:
    return str(error) or "the peer closed the connection"
