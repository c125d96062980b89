"""A DNS lookup on its UDP socket, and on a TCP connection for what does not fit (RFC 7766)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from agents.core.machine import Address, Event
from agents.dns.lookup import HomeAgentLookup
from agents.shell.datagrams import DatagramSocket
from agents.shell.driver import Driver


class LookupEndpoint:
    """One lookup, asking from the address `local`; its port counts for UDP alone.

    Must be made inside a running event loop. Raises OSError if the address cannot be bound.
    """

    def __init__(
        self, lookup: HomeAgentLookup, local: Address, on_event: Callable[[Event], None]
    ) -> None:
        self._lookup = lookup
        self._local = local
        self._on_event = on_event
        self._socket = DatagramSocket(local, self._receive)
        self._stream: asyncio.Task[None] | None = None
        self.driver = Driver(lookup, self._socket.send, self._handle)

    def _receive(self, data: bytes, source: Address) -> None:
        self.driver.receive(data, source)

    def _handle(self, event: Event) -> None:
        self._on_event(event)
        while self._lookup.streams:
            self._end_stream()
            exchange = self._exchange(*self._lookup.streams.popleft())
            self._stream = asyncio.get_running_loop().create_task(exchange)

    async def _exchange(self, query: bytes, server: Address) -> None:
        """Put one question over TCP; the lookup's own timers end what takes too long."""
        try:
            reader, writer = await asyncio.open_connection(*server, local_addr=(self._local[0], 0))
            try:
                writer.write(len(query).to_bytes(2) + query)
                length = int.from_bytes(await reader.readexactly(2))
                answer = await reader.readexactly(length)
            finally:
                writer.close()
        except asyncio.IncompleteReadError:
            self._lose("the server closed the connection")
        except OSError as error:
            self._lose(os.strerror(error.errno) if error.errno else str(error))
        else:
            self._receive(answer, server)

    def _lose(self, reason: str) -> None:
        self.driver.call(self._lookup.handle_lost, reason, self.driver.now())

    def _end_stream(self) -> None:
        if self._stream:
            self._stream.cancel()

    def close(self) -> None:
        """Close the socket and the connection; nothing is sent any more."""
        self.driver.close()
        self._end_stream()
        self._socket.close()
