"""How a mobile node keeps its network access, and gets it back."""

from __future__ import annotations

import asyncio
import io
import json
import random
from functools import partial

import pytest

from agents.core.eventlog import EventLog
from agents.nodes import retry
from agents.nodes.mobile_node import access
from agents.nodes.mobile_node.access import PanaAccess
from agents.nodes.mobile_node.settings import PanaSettings
from agents.pana.config import PaaConfig
from agents.pana.paa import Paa
from agents.shell.driver import Driver
from tests.ike import COA
from tests.pana.fakes import PAA, FakeAaa, FakePeer, PaaWithAaa

NEXT_COA = COA + 0x100


class Network:
    """The access link: PaCs on their sockets, and a PAA; it counts what came of each PaC."""

    def __init__(self):
        self.aaa = FakeAaa()
        self.server = PaaWithAaa(Paa(PaaConfig(), rng=random.Random(1)), self.aaa)
        self.hosts = {}
        self.told = io.StringIO()
        self.granted, self.failed, self.moved = [], [], []
        self.bound = 0
        self.refuses = 0

    def join(self):
        """Have a mobile node look for access."""
        self.access = PanaAccess(
            PanaSettings(paa=PAA[0]),
            FakePeer,
            COA,
            log=EventLog("A", "pana", self.told),
            on_granted=self.granted.append,
            on_failure=self.failed.append,
        )
        self.access.on_moved = lambda: self.moved.append(max(self.hosts))
        self.access.start()

    def events(self):
        return [json.loads(line)["event"] for line in self.told.getvalue().splitlines()]

    def sessions(self):
        """The open sessions at the PAA."""
        return [s.number for s in self.server.paa.sessions if s.authorised]

    def revoke(self):
        (number,) = self.sessions()
        self.server.paa.terminate(number, asyncio.get_running_loop().time())
        self.deliver()

    def carry(self, data, source):
        now = asyncio.get_running_loop().time()
        self.server.handle_message(data, source, now)
        self.deliver()

    def deliver(self):
        while self.server.outbox:
            data, to = self.server.outbox.popleft()
            if to in self.hosts:
                asyncio.get_running_loop().call_soon(self.hosts[to].hear, data)

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)


class Endpoint:
    """A socket on the network, with a port of its own."""

    def __init__(self, network, machine, local, on_event):
        if network.refuses:
            network.refuses -= 1
            raise OSError(99, "Cannot assign requested address")
        network.bound += 1
        self._address = (local[0], 50000 + network.bound)
        self._network = network
        network.hosts[self._address] = self
        self.driver = Driver(machine, self._send, on_event)

    def _send(self, data, _to):
        asyncio.get_running_loop().call_soon(self._network.carry, data, self._address)

    def hear(self, data):
        self.driver.receive(data, PAA)

    def close(self):
        self._network.hosts.pop(self._address, None)
        self.driver.close()


@pytest.fixture
def run(monkeypatch):
    """Carry out what a test does inside an event loop, from a session that is open."""
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)

    def run(work, *, opened=True):
        async def main():
            network = Network()
            monkeypatch.setattr(access, "DatagramEndpoint", partial(Endpoint, network))
            network.join()
            if opened:
                await network.until(network.sessions)
            await work(network)
            network.access.close()

        asyncio.run(main())

    return run


def test_a_session_that_the_paa_ends_is_followed_by_another(run):
    async def work(network):
        network.revoke()
        await network.until(lambda: len(network.granted) == 2)
        assert network.events().count("Terminated") == 1
        assert network.failed == []

    run(work)


def test_who_logs_out_stays_out(run):
    async def work(network):
        assert network.access.terminate()
        await network.until(lambda: "Terminated" in network.events())
        await asyncio.sleep(0.1)
        assert network.bound == len(network.granted) == 1

    run(work)


@pytest.mark.parametrize("busy", ["reauthenticate", "ping"])
def test_who_logs_out_meanwhile_is_out_when_that_is_over(run, busy):
    async def work(network):
        assert getattr(network.access, busy)()
        assert network.access.terminate()
        await network.until(lambda: "Terminated" in network.events())
        await asyncio.sleep(0.1)
        assert network.sessions() == []
        assert network.bound == len(network.granted) == 1
        assert not network.access.terminate()

    run(work)


def test_who_logs_out_before_being_let_in_is_not_let_in(run):
    async def work(network):
        assert network.access.terminate()
        await network.until(lambda: "Terminated" in network.events())
        await asyncio.sleep(0.1)
        assert network.sessions() == network.granted == network.failed == []
        assert network.bound == 1

    run(work, opened=False)


def test_an_address_that_is_not_there_leaves_all_as_it_was(run):
    async def work(network):
        network.refuses = 1
        assert not network.access.move(NEXT_COA)
        assert "AccessFailed" in network.events()
        assert network.access.ping()
        await network.until(lambda: "PingAnswered" in network.events())
        assert network.moved == []
        assert network.access.move(NEXT_COA)
        await network.until(lambda: network.moved)

    run(work)


def test_who_moves_while_it_waits_for_a_sign_of_life_tells_it_afterwards(run):
    async def work(network):
        assert network.access.ping()
        assert network.access.move(NEXT_COA)
        await network.until(lambda: network.moved)
        (number,) = network.sessions()
        assert network.server.paa.sessions.get(number).pac == network.moved[0]

    run(work)


def test_a_first_attempt_that_fails_is_the_end(run):
    async def work(network):
        network.aaa._code = 1
        await network.until(lambda: network.failed)
        await asyncio.sleep(0.1)
        assert network.bound == len(network.failed) == 1

    run(work, opened=False)


def test_after_that_it_tries_until_it_is_let_in_again(run):
    async def work(network):
        network.aaa._code = 1
        network.revoke()
        await network.until(lambda: network.events().count("Rejected") == 3)
        network.aaa._code = 0
        await network.until(lambda: len(network.granted) == 2)
        assert network.failed == []

    run(work)


def test_a_refused_re_authentication_is_followed_by_another_attempt(run):
    async def work(network):
        network.aaa._code = 1
        assert network.access.reauthenticate()
        await network.until(lambda: "Rejected" in network.events())
        network.aaa._code = 0
        await network.until(lambda: len(network.granted) == 2)

    run(work)


def test_it_begins_anew_where_it_has_moved_to(run):
    async def work(network):
        network.revoke()
        await network.until(lambda: "Terminated" in network.events())
        assert not network.access.move(NEXT_COA)
        network.refuses = 1  # As while the address is not there yet.
        await network.until(lambda: len(network.granted) == 2)
        assert "AccessFailed" in network.events()
        assert network.moved == [(str(NEXT_COA), 50000 + network.bound)]

    run(work)
