"""The owner's loop of a machine: handle events, send the outbox, arm one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from agents.core.machine import Address, Event, Machine

P = ParamSpec("P")
T = TypeVar("T")


class Driver:
    """Runs one machine in the running event loop.

    `send` puts a datagram on the wire and `on_event` handles an event; both are called inside
    `call` and `receive`, events first (see agents.core.machine.Machine). An event's handler may
    call the driver again: that call's work is done by the one under way.
    """

    def __init__(
        self,
        machine: Machine,
        send: Callable[[bytes, Address], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self.machine = machine
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._on_event = on_event
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._closed = False
        self._arm()

    def now(self) -> float:
        """Return the machine's time: the event loop's clock, in seconds."""
        return self._loop.time()

    def call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the machine, do what follows from it, and return its result."""
        try:
            return method(*args, **kwargs)
        finally:
            self._pump()

    def receive(self, data: bytes, source: Address) -> None:
        """Hand a datagram to the machine."""
        self.call(self.machine.handle_message, data, source, self.now())

    def close(self) -> None:
        """Stop the timer; nothing is sent any more."""
        self._closed = True
        if self._timer:
            self._timer.cancel()

    def _pump(self) -> None:
        if self._pumping or self._closed:
            return
        self._pumping = True
        try:
            while self.machine.events or self.machine.outbox:
                while self.machine.events:
                    self._on_event(self.machine.events.popleft())
                while self.machine.outbox:
                    self._send(*self.machine.outbox.popleft())
        finally:
            self._pumping = False
            self._arm()

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.next_timeout()
        if deadline is not None and not self._closed:
            self._timer = self._loop.call_at(deadline, self._expire, deadline)

    def _expire(self, deadline: float) -> None:
        self._timer = None
        # The loop may call up to its clock's resolution early; the machine must see its deadline.
        self.call(self.machine.handle_timeout, max(self.now(), deadline))
