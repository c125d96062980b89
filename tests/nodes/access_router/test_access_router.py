"""For whom the access router opens its filter, and for how long."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import random
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network

import pytest

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.diameter import dictionary as d
from agents.diameter.authorisation import check_authorisation
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.kernel.model_port import ModelEnforcementPoint
from agents.kernel.port import AccessLink
from agents.nodes.access_router import machine as access_router
from agents.nodes.access_router.machine import AccessRouter
from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.nodes.diameter_settings import DiameterPeer
from agents.pana.config import PacConfig
from agents.pana.events import Authenticated, Rejected
from agents.pana.pac import Pac
from agents.pana.pac_table import PacState
from agents.pana.wire import Result
from agents.shell.driver import Driver
from tests.pana.fakes import MSK, FakePeer, eap

OWN, PREFIX = "2001:db8:a::1", "2001:db8:a::/64"
PAA = (OWN, 716)
ALICE, NEW, MALLORY = ("2001:db8:a::2", 716), ("2001:db8:a::3", 716), ("2001:db8:a::bad", 716)
ASSIGNMENT = Assignment(IPv6Address("2001:db8:100::1"), 64, IPv6Address("2001:db8:100::2"))


class Endpoint:
    """A socket of the router; what is sent is kept."""

    def __init__(self, machine, local, on_event, *, interface):  # noqa: ARG002
        self.sent = []
        self.driver = Driver(machine, lambda data, to: self.sent.append((data, to)), on_event)

    def close(self):
        self.driver.close()


class Aaa:
    """Answers identities with one EAP request, and what follows with success, when it is let."""

    def __init__(self):
        self.asked = []
        self.kept = set()
        self.fails = None
        self.at_once = False
        self.grants = {}
        self.free = asyncio.Event()
        self.free.set()

    async def exchange(self, key, packet, *, asked, care_of, user_name=None):  # noqa: ARG002
        self.asked.append((key, care_of))
        self.kept.add(key)
        if self.fails:
            raise self.fails
        first = packet[4] == 1 and not self.at_once
        if not first:
            await self.free.wait()
        identifier = (packet[1] + 1) % 256
        answer = DiameterEapAnswer(
            "session",
            ResultCode.MULTI_ROUND_AUTH if first else ResultCode.SUCCESS,
            "aaa.home.test",
            "home.test",
            eap_payload=eap(1, identifier, b"\xffround") if first else eap(3, identifier),
            msk=None if first else MSK,
            assignment=None if first else ASSIGNMENT,
            user_name=f"{care_of}@home.test",
        )
        if first:
            return answer
        answer = replace(answer, **self.grants)
        check_authorisation(answer)
        return answer

    def forget(self, key):
        self.kept.discard(key)


class World:
    def __init__(self, **settings):
        self.told = io.StringIO()
        self.filter = ModelEnforcementPoint(None, AccessLink("access", IPv6Network(PREFIX)))
        self.filter.close_access()
        self.aaa = Aaa()
        configuration = AccessRouterConfiguration(
            host="B",
            diameter_identity="b.test",
            diameter_realm="test",
            home=DiameterPeer(host="aaa.home.test", realm="home.test"),
            access_interface="access",
            access_prefix=PREFIX,
            address=OWN,
            **settings,
        )
        self.configuration = configuration
        log = EventLog("B", "pana", self.told)
        self.router = AccessRouter(configuration, self.aaa, self.filter, log)
        self.pacs = {}

    def pac(self, place, *, early=False):
        peer = partial(FakePeer, rounds=1, early=early)
        pac = Pac(PAA, peer(), PacConfig(renew_eap=peer), rng=random.Random(1))
        self.pacs[place] = pac
        return pac

    @property
    def now(self):
        return self.router.endpoint.driver.now()

    def hear(self, place):
        """Carry what the PaC at a place has to say."""
        outbox = self.pacs[place].outbox
        while outbox:
            self.router.endpoint.driver.receive(outbox.popleft()[0], place)

    async def settle(self):
        """Carry messages until nobody has any."""
        quiet = 0
        while quiet < 5:
            await asyncio.sleep(0)
            quiet += 1
            sent, self.router.endpoint.sent = self.router.endpoint.sent, []
            for data, to in sent:
                if to in self.pacs:
                    self.pacs[to].handle_message(data, PAA, self.now)
                    quiet = 0
            for place in self.pacs:
                self.hear(place)

    async def bootstrap(self, place, *, early=False):
        pac = self.pac(place, early=early)
        pac.start(self.now)
        await self.settle()
        return pac

    def open(self):
        return {str(address) for address in self.filter.authorised}

    def asks(self):
        return "EapResponse" in self.events()

    def lines(self):
        return self.told.getvalue().splitlines()

    def events(self):
        return [json.loads(line)["event"] for line in self.lines()]


@pytest.fixture
def run(monkeypatch):
    def run(work, **settings):
        async def main():
            monkeypatch.setattr(access_router, "DatagramEndpoint", Endpoint)
            world = World(**settings)
            try:
                await asyncio.wait_for(work(world), 20)
            finally:
                world.router.close()

        asyncio.run(main())

    return run


def test_it_opens_for_who_is_let_in_and_closes_with_the_session(run):
    async def work(world):
        pac = await world.bootstrap(ALICE)
        assert pac.state is PacState.OPEN
        assert world.open() == {ALICE[0]}
        pac.terminate(world.now)
        await world.settle()
        assert world.open() == set()

    run(work)


@pytest.mark.parametrize(
    ("grants", "lifetime"),
    [
        ({}, 3600.0),
        ({"session_timeout": 600.0}, 600.0),
        ({"session_timeout": 600.0, "authorization_lifetime": 30.0}, 30.0),
        ({"session_timeout": 7200.0}, 3600.0),
    ],
)
def test_it_lets_in_for_as_long_as_the_aaa_server_says(run, grants, lifetime):
    async def work(world):
        world.aaa.grants = grants
        pac = await world.bootstrap(ALICE)
        (granted,) = [event for event in pac.events if isinstance(event, Authenticated)]
        assert granted.lifetime == lifetime
        driver = world.router.endpoint.driver
        driver.call(driver.machine.handle_timeout, world.now + lifetime - 1)
        assert world.open() == {ALICE[0]}
        driver.call(driver.machine.handle_timeout, world.now + lifetime + 1)
        assert world.open() == set()

    run(work)


@pytest.mark.parametrize(
    ("fails", "result"),
    [
        (DiameterError("Filter-Id", ResultCode.AVP_UNSUPPORTED), Result.AUTHORIZATION_REJECTED),
        (DiameterError("no", ResultCode.AUTHORIZATION_REJECTED), Result.AUTHORIZATION_REJECTED),
        (DiameterError("down", ResultCode.TOO_BUSY), Result.AUTHENTICATION_REJECTED),
        (TimeoutError("silent"), Result.AUTHENTICATION_REJECTED),
    ],
)
def test_what_the_aaa_client_cannot_take_lets_nobody_in(run, fails, result):
    async def work(world):
        world.aaa.fails = fails
        pac = await world.bootstrap(ALICE)
        assert pac.state is not PacState.OPEN
        assert world.open() == set()
        (told,) = [json.loads(line) for line in world.lines() if "AaaFailed" in line]
        assert told["reason"] == str(fails)
        (rejected,) = [event for event in pac.events if isinstance(event, Rejected)]
        assert rejected.code == result

    run(work)


def test_who_is_granted_what_cannot_be_kept_is_told_so_under_his_key(run):
    async def work(world):
        world.aaa.grants = {"unknown": (d.FILTER_ID.avp("no-net"),)}
        pac = await world.bootstrap(ALICE, early=True)
        (rejected,) = (event for event in pac.events if isinstance(event, Rejected))
        assert rejected.code is Result.AUTHORIZATION_REJECTED
        assert pac.state is PacState.CLOSED
        assert world.open() == set()
        (told,) = [json.loads(line) for line in world.lines() if "AaaFailed" in line]
        assert "Filter-Id" in told["reason"]

    run(work)


def test_a_kernel_that_does_not_close_the_filter_is_asked_again(run, monkeypatch):
    monkeypatch.setattr(access_router, "RETRY", 0.01)

    async def work(world):
        pac = await world.bootstrap(ALICE)
        world.filter.failures["revoke"] = errno.ENOBUFS
        pac.terminate(world.now)
        await world.settle()
        assert world.open() == {ALICE[0]}
        assert "EnforcementFailed" in world.events()
        del world.filter.failures["revoke"]
        while world.open():
            await asyncio.sleep(0.005)

    run(work)


def test_a_session_that_begins_meanwhile_keeps_its_address(run, monkeypatch):
    monkeypatch.setattr(access_router, "RETRY", 0.01)

    async def work(world):
        pac = await world.bootstrap(ALICE)
        world.filter.failures["revoke"] = errno.ENOBUFS
        pac.terminate(world.now)
        await world.settle()
        await world.bootstrap(ALICE)
        del world.filter.failures["revoke"]
        await asyncio.sleep(0.05)
        assert world.open() == {ALICE[0]}

    run(work)


def test_another_port_closes_nothing(run):
    async def work(world):
        pac = await world.bootstrap(ALICE)
        world.pacs = {(ALICE[0], 4000): pac}
        pac.update(world.now)
        await world.settle()
        assert world.open() == {ALICE[0]}
        assert "revoke" not in [call[0] for call in world.filter.calls]

    run(work)


def test_it_follows_a_mobile_node_that_moves(run):
    async def work(world):
        pac = await world.bootstrap(ALICE)
        world.pacs = {NEW: pac}
        pac.update(world.now)
        await world.settle()
        assert world.open() == {NEW[0]}
        assert [call[0] for call in world.filter.calls][-2:] == ["authorise", "revoke"]

    run(work)


def test_a_subscriber_does_not_close_it_for_another(run):
    async def work(world):
        await world.bootstrap(ALICE)
        mallory = await world.bootstrap(MALLORY)
        for source in (ALICE, (ALICE[0], 9), MALLORY):
            mallory.ping(world.now + 100)
            for data, _ in tuple(mallory.outbox):
                world.router.endpoint.driver.receive(data, source)
            assert world.open() == {ALICE[0], MALLORY[0]}
        # He logs out from there, and fails there.
        await world.settle()
        assert mallory.terminate(world.now)
        for data, _ in tuple(mallory.outbox):
            world.router.endpoint.driver.receive(data, ALICE)
        assert world.open() == {ALICE[0]}
        false = Pac(PAA, FakePeer(rounds=1), PacConfig(), rng=random.Random(5))
        world.pacs[ALICE[0], 9] = false
        world.aaa.fails = TimeoutError()
        false.start(world.now)
        await world.settle()
        assert "AaaFailed" in world.events()
        assert world.open() == {ALICE[0]}

    run(work)


def test_it_opens_for_no_address_but_a_hosts_of_the_link(run):
    async def work(world):
        pac = await world.bootstrap(ALICE)
        pac.ping(world.now)
        ((ping, _),) = pac.outbox
        for source in (OWN, "2001:db8:a::", "2001:db8:c::2", "fe80::2%access", "::"):
            world.router.endpoint.driver.receive(ping, (source, 716))
            world.pac((source, 716)).start(world.now)
            world.hear((source, 716))
        assert not world.router.endpoint.sent
        assert world.open() == {ALICE[0]}
        assert world.events().count("Discarded") == 10

    run(work)


def test_whom_the_filter_cannot_be_opened_for_is_told_so_under_his_key(run):
    async def work(world):
        world.filter.failures["authorise"] = errno.ENOBUFS
        pac = await world.bootstrap(ALICE)
        (rejected,) = (event for event in pac.events if isinstance(event, Rejected))
        assert rejected.code is Result.AUTHORIZATION_REJECTED
        assert pac.state is PacState.CLOSED
        assert world.open() == set()

    run(work)


def test_it_opens_for_nobody_with_whom_it_has_no_key(run):
    """Success before the nonces are exchanged makes none; the refusal may be lost for minutes."""

    async def work(world):
        world.aaa.at_once = True
        world.pac(ALICE).start(world.now)
        while "EapResponse" not in world.events():
            world.hear(ALICE)
            for data, _ in world.router.endpoint.sent:
                world.pacs[ALICE].handle_message(data, PAA, world.now)
            world.router.endpoint.sent.clear()
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.router.endpoint.sent
        assert world.open() == set()

    run(work, start="optimized")


@pytest.mark.parametrize("busy", ["reauthenticate", "ping"])
def test_who_is_put_out_while_busy_is_out_when_that_is_over(run, busy):
    async def work(world):
        pac = await world.bootstrap(ALICE)
        commands = world.router.commands()
        assert commands[busy]()
        assert commands["terminate"]()
        await world.settle()
        assert world.open() == set()
        assert pac.state is PacState.CLOSED
        assert not commands["terminate"]()

    run(work)


def test_who_is_put_out_has_no_access_until_he_says_so(run):
    async def work(world):
        await world.bootstrap(ALICE)
        assert world.router.commands()["terminate"]()
        assert world.open() == set()
        assert world.router.endpoint.sent

    run(work)


def test_a_word_of_the_aaa_server_that_comes_too_late_opens_nothing(run):
    async def work(world):
        world.aaa.free.clear()
        await world.bootstrap(ALICE)
        driver = world.router.endpoint.driver
        driver.call(driver.machine.handle_timeout, world.now + 40)
        world.aaa.free.set()
        await world.settle()
        assert "AaaLate" in world.events()
        assert world.open() == set()
        assert ("authorise", IPv6Address(ALICE[0])) not in world.filter.calls

    run(work)


def test_nothing_is_kept_at_the_aaa_client_of_a_session_that_is_gone_before_it_asks(run):
    async def work(world):
        world.pac(ALICE).start(world.now)
        driver = world.router.endpoint.driver
        while not driver.machine.session_count or not world.asks():
            world.hear(ALICE)
            sent, world.router.endpoint.sent = world.router.endpoint.sent, []
            for data, _ in sent:
                world.pacs[ALICE].handle_message(data, PAA, world.now)
        world.pacs.clear()
        driver.call(driver.machine.handle_timeout, world.now + 40)  # Its task has not begun.
        assert not world.aaa.asked
        await world.settle()
        assert world.events().count("AaaLate") == len(world.aaa.asked) == 1
        assert not world.aaa.kept

    run(work)


def test_it_opens_where_a_mobile_node_is_and_not_where_it_was(run):
    async def work(world):
        pac = await world.bootstrap(ALICE)
        world.pacs = {NEW: pac}
        pac.update(world.now)
        await world.settle()
        driver = world.router.endpoint.driver
        (number,) = {key for key, _ in world.aaa.asked}
        assert driver.call(driver.machine.reauthenticate, number, world.now)
        await world.settle()
        assert world.open() == {NEW[0]}

    run(work)


def test_one_host_has_few_conversations_with_the_aaa_server(run):
    async def work(world):
        world.aaa.free.clear()
        for port in range(2000, 2100):
            await world.bootstrap((MALLORY[0], port))
        assert len({key for key, _ in world.aaa.asked}) == 4
        world.aaa.free.set()
        await world.bootstrap(ALICE)
        assert ALICE[0] in world.open()

    run(work)


def test_it_takes_the_commands_that_its_configuration_names(run):
    async def work(world):
        assert world.router.commands().keys() == world.configuration.commands.keys()

    run(work)
