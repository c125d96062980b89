"""TCP and TLS streams, numbered by their user, in the running event loop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import cast

from agents.core.host import IPAddress, StreamUser
from agents.core.machine import Address
from agents.shell.tls import TlsFiles, certified_names

_MAXIMUM_BACKLOG = 1 << 22
"""Octets that wait for a host which does not read; then its stream is cut."""

_BACKLOG = 128
"""Streams that the kernel keeps until they are accepted; as many are taken in one go."""

_PAUSE = 1.0
"""Seconds until the next attempt to accept streams where the system has no room for them."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that has close() send RST: nothing of the stream stays in the kernel."""


_RECEIVED = memoryview(bytearray(1 << 16))
"""Where all streams of the process receive: a new buffer each time costs more than the rest."""


class _Connection(asyncio.BufferedProtocol):
    """One TCP connection, with TLS if there is any."""

    transport: asyncio.Transport

    def __init__(self, streams: TcpStreams, number: int, *, incoming: bool) -> None:
        self.number = number
        self.incoming = incoming
        self._streams = streams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._streams.made(self)

    def reset(self) -> None:
        """End the connection by RST."""
        with suppress(OSError):  # TLS tells later of a socket's end than TCP.
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET
            )
        self.transport.abort()

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        self._streams.user.received(self.number, bytes(_RECEIVED[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.lost(self, str(exc) if exc else "the peer closed the connection")


class TcpStreams:
    """Streams by TCP (agents.core.host.Streams).

    `listen` are addresses to listen on, port 0 for a free one. With `tls` every stream is mutually
    authenticated TLS. Must be made inside a running event loop; raises OSError if an address is
    not to be had.
    """

    def __init__(
        self, user: StreamUser, listen: Sequence[Address] = (), tls: TlsFiles | None = None
    ) -> None:
        self.user = user
        self._loop = asyncio.get_running_loop()
        self._server_tls = tls.context(server=True) if tls else None
        self._client_tls = tls.context(server=False) if tls else None
        self._listeners: list[socket.socket] = []
        self._connections: dict[int, _Connection] = {}
        self._open: set[_Connection] = set()
        self._attempts: dict[int, asyncio.Task[None]] = {}
        try:
            for address in listen:
                self._listen(*address)
        except OSError:
            self.stop_listening()
            raise

    def _listen(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        listener.setblocking(False)
        self._listeners.append(listener)
        self._loop.add_reader(listener, self._accept, listener)

    def stop_listening(self) -> None:
        """Accept no more."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()

    @property
    def listening(self) -> tuple[Address, ...]:
        """The addresses and ports listened on."""
        names = [listener.getsockname() for listener in self._listeners]
        return tuple((name[0], name[1]) for name in names)

    @property
    def idle(self) -> bool:
        """Whether no stream is open any more."""
        return not self._open

    def connect(self, number: int, name: str, address: Address) -> None:
        """Open a stream to a host; with TLS `name` must be in its certificate."""
        self._attempts[number] = self._loop.create_task(self._connect(number, name, address))

    def send(self, number: int, data: bytes) -> None:
        """Send octets; a stream on which too many wait is cut."""
        connection = self._connections.get(number)
        if connection is None:
            return
        connection.transport.write(data)
        if connection.transport.get_write_buffer_size() > _MAXIMUM_BACKLOG:
            connection.transport.abort()

    def end(self, number: int, *, reset: bool = False) -> None:
        """End a stream after what was sent before, or by RST."""
        attempt = self._attempts.pop(number, None)
        if attempt is not None:
            attempt.cancel()
        connection = self._connections.pop(number, None)
        if connection is not None and reset:
            connection.reset()
        elif connection is not None:
            connection.transport.close()

    def close(self) -> None:
        """Accept no more, and cut what is open."""
        self.stop_listening()
        for connection in tuple(self._open):
            connection.transport.abort()
        for attempt in self._attempts.values():
            attempt.cancel()
        self._attempts.clear()

    # For the connections

    def made(self, connection: _Connection) -> None:
        """Tell the user about a stream that is established, TLS included."""
        number, transport = connection.number, connection.transport
        self._open.add(connection)
        self._connections[number] = connection
        self._attempts.pop(number, None)
        names = certified_names(transport)
        if not connection.incoming:
            local = _ip_address(transport.get_extra_info("sockname"))
            self.user.connected(number, local, names)
        elif names is not None:
            self.user.secured(number, names)

    def lost(self, connection: _Connection, reason: str) -> None:
        """Tell the user about a closed stream."""
        self._open.discard(connection)
        self._connections.pop(connection.number, None)
        self.user.closed(connection.number, reason)

    def _accept(self, listener: socket.socket) -> None:
        """Take what the kernel has accepted; whom the user does not want is refused at once."""
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
            number = self.user.accepted(_ip_address(source), local)
            if number is None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.close()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._take(number, connection))
            task.add_done_callback(partial(_close_if_cancelled, connection))
            self._attempts[number] = task

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Accept nothing for a while, for the system has no room for more connections."""
        self.user.troubled(f"none can be accepted: {error}")
        self._loop.remove_reader(listener)

        def go_on() -> None:
            if listener in self._listeners:
                self._loop.add_reader(listener, self._accept, listener)

        self._loop.call_later(_PAUSE, go_on)

    async def _take(self, number: int, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                lambda: _Connection(self, number, incoming=True), connection, ssl=self._server_tls
            )
        except OSError as error:
            self._failed(number, f"TLS failed: {_words(error)}")

    def _failed(self, number: int, reason: str) -> None:
        self._attempts.pop(number, None)
        self.user.closed(number, reason)

    async def _connect(self, number: int, name: str, address: Address) -> None:
        host, port = address
        try:
            await self._loop.create_connection(
                lambda: _Connection(self, number, incoming=False),
                host,
                port,
                ssl=self._client_tls,
                server_hostname=name if self._client_tls else None,
            )
        except OSError as error:
            self._failed(number, f"no connection to {host} port {port}: {_words(error)}")


class Exchange:
    """One question and its answer over a TCP connection, a length in front of each (RFC 7766)."""

    def __init__(
        self,
        query: bytes,
        local: Address,
        server: Address,
        answered: Callable[[bytes | OSError], None],
    ) -> None:
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        # Made here, for when its task goes on this program may be in another namespace.
        self._socket = socket.socket(socket.AF_INET6)
        self._socket.setblocking(False)
        self._task = self._loop.create_task(self._exchange(query, local, server))
        self._task.add_done_callback(lambda _: self._socket.close())

    async def _exchange(self, query: bytes, local: Address, server: Address) -> None:
        answer: bytes | OSError
        try:
            self._socket.bind(local)
            await self._loop.sock_connect(self._socket, server)
            await self._loop.sock_sendall(self._socket, len(query).to_bytes(2) + query)
            answer = await self._receive(int.from_bytes(await self._receive(2)))
        except OSError as error:
            answer = error
        self._answered(answer)

    async def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = await self._loop.sock_recv(self._socket, count - len(data))
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        return data

    def close(self) -> None:
        """Wait for the answer no longer."""
        self._task.cancel()


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
