"""A host in the event loop of this process: its clock, its alarm, and what it says of bugs."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque

from agents.core.eventlog import EventLog
from agents.shell import host as shell_host
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT, Output


class Clockwork:
    """A machine with one deadline."""

    def __init__(self, deadline, done):
        self.deadline = deadline
        self.outbox, self.events = deque(), deque()
        self._done = done

    def handle_timeout(self, now):
        self.deadline = None
        self._done.set_result(now)

    def next_timeout(self):
        return self.deadline


def run(work):
    """Carry out what a test does, within 5 s."""

    async def main():
        async with asyncio.timeout(5):
            await work(LinuxHost(), asyncio.get_running_loop())

    asyncio.run(main())


def test_a_deadline_is_not_acted_on_before_its_time():
    async def work(host, loop):
        deadline = host.now() + 0.01
        done = loop.create_future()
        host.run(Clockwork(deadline, done), lambda _: None, lambda _: None)
        assert await done >= deadline

    run(work)


def test_the_earliest_of_machines_and_timers_is_the_first():
    async def work(host, loop):
        last, rung = loop.create_future(), []
        host.run(Clockwork(host.now() + 0.02, last), lambda _: None, lambda _: None)
        host.timer(lambda: rung.append("timer")).start(0.01)
        host.later(lambda: rung.append("later"))
        await last
        assert rung == ["later", "timer"]

    run(work)


def test_the_loop_goes_on_after_a_bug_and_tells_of_it():
    async def work(host, loop):
        told, done = [], loop.create_future()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        bug = RuntimeError("a bug")

        def fail():
            raise bug

        host.timer(fail).start(0.01)
        host.run(Clockwork(host.now() + 0.02, done), lambda _: None, lambda _: None)
        await done
        host.report(bug, "again")
        assert told == [bug, bug]

    run(work)


class Teller:
    """A machine that tells of what it does before it sends, and of something after it."""

    def __init__(self):
        self.outbox, self.events = deque(), deque()

    def speak(self):
        self.events.extend(["first", "second"])
        self.outbox.append("message")

    def next_timeout(self):
        return None


def test_events_are_told_in_one_go_and_before_what_follows_from_them_is_sent(monkeypatch):
    written = []
    monkeypatch.setattr(os, "write", lambda _, data: written.append(data) or len(data))

    async def work(host, _loop):
        told, teller = [], Teller()

        def tell(event):
            OUTPUT.write(f"{event}\n")
            OUTPUT.flush()

        def send(message):
            told.append(list(written))
            tell(f"sent {message}")

        endpoint = host.run(teller, send, tell)
        written.clear()
        endpoint.call(teller.speak)
        assert told == [[b"first\nsecond\n"]]
        assert written == [b"first\nsecond\n", b"sent message\n"]

    run(work)


def test_what_cannot_be_told_hinders_nobody(monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full:
        output = Output(full.fileno())
        monkeypatch.setattr(shell_host, "OUTPUT", output)

        async def work(host, _loop):
            sent, teller = [], Teller()

            def tell(event):
                EventLog("A", "role", output).write("KernelFailed", reason=event)

            endpoint = host.run(teller, sent.append, tell)
            for _ in range(2):
                endpoint.call(teller.speak)
            assert sent == ["message", "message"]

        run(work)


class Place:
    """A network namespace by name, and where this process is."""

    current = None

    def enter(self):
        Place.current = self


def test_a_stream_is_of_the_namespace_of_the_host_that_asks(monkeypatch):
    made = []

    class Noted(socket.socket):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(Place.current)

    async def work(_, loop):
        asking, other, answered = Place(), Place(), loop.create_future()
        closed = await asyncio.start_server(lambda _, writer: writer.close(), "::1", 0)
        server = closed.sockets[0].getsockname()[:2]
        monkeypatch.setattr(socket, "socket", Noted)
        host = LinuxHost(namespace=asking)
        host.enter(host.exchange, b"?", ("::1", 0), server, answered.set_result)
        LinuxHost(namespace=other).enter(lambda: None)  # Before the loop has gone on.
        assert isinstance(await answered, ConnectionError)
        assert made[0] is asking  # The next one is the server's.
        closed.close()

    run(work)


def test_the_end_of_a_turn_comes_when_all_sockets_have_been_read():
    async def work(host, loop):
        heard, done = [], loop.create_future()
        pairs = [socket.socketpair() for _ in range(5)]

        def read(near):
            heard.append(near.recv(1))
            if len(heard) == 1:
                host.after_turn(lambda: done.set_result(list(heard)))

        for number, (near, far) in enumerate(pairs):
            loop.add_reader(near, host.enter, read, near)
            far.send(bytes([number]))
        assert sorted(await done) == [bytes([number]) for number in range(5)]
        for near, far in pairs:
            loop.remove_reader(near)
            near.close()
            far.close()

    run(work)
