"""The loop around a machine: its timer and its errors."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from agents.core.machine import Discarded
from agents.shell.driver import Driver


class Clockwork:
    """A machine with one deadline that it may move by itself."""

    def __init__(self, deadline):
        self.deadline = deadline
        self.outbox, self.events = deque(), deque()
        self.timeouts = []

    def handle_message(self, data, source, now):
        self.events.append(Discarded(now, source[0], "all the same"))
        self.outbox.append((data, source))

    def handle_timeout(self, now):
        self.timeouts.append(now)
        self.deadline = None if self.deadline <= now else self.deadline

    def next_timeout(self):
        return self.deadline

    async def woken(self):
        """Wait until the deadline has been acted on."""
        async with asyncio.timeout(5):
            while not self.timeouts:
                await asyncio.sleep(0.001)


def test_the_timer_runs_on_after_a_handler_that_fails():
    async def main():
        now = asyncio.get_running_loop().time()
        machine = Clockwork(now + 0.01)

        def fail(_):
            raise RuntimeError("a bug")

        sent = []
        driver = Driver(machine, lambda *datagram: sent.append(datagram), fail)
        with pytest.raises(RuntimeError):
            driver.receive(b"ping", ("::1", 500))
        await machine.woken()
        assert sent == [(b"ping", ("::1", 500))]
        driver.close()

    asyncio.run(main())


def test_a_machine_that_has_a_deadline_already_need_not_wait_for_a_call():
    async def main():
        machine = Clockwork(asyncio.get_running_loop().time() + 0.01)
        driver = Driver(machine, lambda *_: None, lambda _: None)
        await machine.woken()
        driver.close()

    asyncio.run(main())


def test_the_timer_runs_on_after_a_machine_that_fails():
    async def main():
        now = asyncio.get_running_loop().time()
        machine = Clockwork(now + 0.01)

        def fail():
            machine.events.append(Discarded(now, "::1", "all the same"))
            raise RuntimeError("a bug")

        handled = []
        driver = Driver(machine, lambda *_: None, handled.append)
        driver._timer.cancel()
        with pytest.raises(RuntimeError):
            driver.call(fail)
        assert len(handled) == 1
        await machine.woken()
        driver.close()

    asyncio.run(main())


def test_a_timer_that_is_out_of_date_does_not_move_the_machine_into_the_future():
    async def main():
        now = asyncio.get_running_loop().time()
        machine = Clockwork(now + 0.01)
        driver = Driver(machine, lambda *_: None, lambda _: None)
        driver.call(lambda: None)
        machine.deadline = now + 3600
        await machine.woken()
        assert now + 0.01 <= machine.timeouts[0] < now + 3600
        driver.close()

    asyncio.run(main())
