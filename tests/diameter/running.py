"""A Diameter service over real sockets, in the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agents.core.host import Streams, StreamUser
from agents.core.machine import Address
from agents.core.record import replace
from agents.diameter.config import NodeConfig
from agents.diameter.events import ConnectionFailed
from agents.diameter.wire import Message
from agents.nodes.diameter import DiameterService
from agents.shell.host import LinuxHost
from agents.shell.tls import TlsFiles

DEADLINE = 10.0


class Running:
    """The service, what it has told of, and the octets that have come in, among `events`."""

    def __init__(self, config: NodeConfig, *, tls: TlsFiles | None = None, **options: Any) -> None:
        self.events: list[Any] = []
        self._more = asyncio.Event()
        config = replace(config, tls=tls is not None)
        host = _Tapped(self._note, tls)
        self.service = DiameterService(host, config, on_event=self._note, **options)

    def _note(self, event: object) -> None:
        self.events.append(event)
        self._more.set()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.service.streams.listening[0]

    async def wait(self, wanted: Callable[[Any], bool]) -> Any:
        """Wait for an event, and return it."""
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    for event in self.events:
                        if wanted(event):
                            return event
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pytest.fail(f"not among {self.events}")

    async def failure(self, text: str) -> None:
        """Wait for a connection that fails for a reason with this text."""
        await self.wait(lambda e: isinstance(e, ConnectionFailed) and text in e.reason)

    async def usable(self, realm: str, seconds: float = 5.0) -> None:
        """Wait until requests for a realm can be sent; TimeoutError if not in time."""
        loop = asyncio.get_running_loop()
        usable: asyncio.Future[None] = loop.create_future()
        self.service.when_usable(
            realm,
            seconds,
            lambda: usable.set_result(None),
            lambda reason: usable.done() or usable.set_exception(TimeoutError(reason)),
        )
        await usable

    async def request(self, message: Message, timeout: float | None = None) -> Message:
        """Send a request; return its answer, or raise what there is instead."""
        outcomes: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self.service.submit(message, outcomes.put_nowait, timeout)
        async with asyncio.timeout(DEADLINE):
            outcome = await outcomes.get()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def stop(self) -> None:
        """Disconnect; it takes seconds at most."""
        stopped = asyncio.Event()
        self.service.stop(stopped.set)
        async with asyncio.timeout(DEADLINE):
            await stopped.wait()


class _Tapped(LinuxHost):
    """Tells of every write that a stream brings as if it were an event, for tests to wait for."""

    def __init__(self, tell: Callable[[bytes], None], tls: TlsFiles | None) -> None:
        super().__init__(tls)
        self._tell = tell

    def open_streams(self, user: StreamUser, listen: Sequence[Address] = ()) -> Streams:
        return super().open_streams(_Tap(user, self._tell), listen)


class _Tap:
    def __init__(self, user: StreamUser, tell: Callable[[bytes], None]) -> None:
        self._user = user
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._user, name)

    def received(self, number: int, data: bytes) -> None:
        self._user.received(number, data)
        self._tell(data)


@asynccontextmanager
async def running(config: NodeConfig, **options: Any) -> AsyncIterator[Running]:
    """Run a service, and stop it in the end."""
    service = Running(config, **options)
    try:
        service.service.start()
        yield service
    finally:
        await service.stop()
