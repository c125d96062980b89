"""Many mobile nodes in one program: the trouble of one is not that of the others."""

from __future__ import annotations

import asyncio
import json
import os
from ipaddress import IPv6Address

import pytest

from agents.core.documents import fit
from agents.nodes.fleet import main as fleet
from agents.nodes.fleet.settings import FleetConfiguration
from agents.nodes.mobile_node import main as mobile_node
from agents.shell.addresses import NoAddressError
from agents.shell.namespaces import Namespace
from agents.shell.output import OUTPUT
from tests.approaches.test_fleet import composed

HOSTS = ("MN0001", "MN0002", "MN0003")
TROUBLED = HOSTS[1]


class Place(Namespace):
    """A namespace that is only a name."""

    here = ""

    def __init__(self, name):
        self._name = name

    def enter(self):
        Place.here = self._name


class Lan:
    """Where the mobile nodes are; some have no address, or cannot be made, for a while."""

    def __init__(self):
        self.without = {TROUBLED}
        self.broken = set()
        self.mistaken = set()
        self.begun = []
        self.begins = asyncio.Event()

    async def address(self, *_):
        """Return the address of where this program is, as agents.shell.addresses does."""
        host = Place.here
        await asyncio.sleep(0.001)
        assert Place.here == host
        if host in self.without:
            raise NoAddressError("no router advertisement has come")
        return IPv6Address("2001:db8::") + int(host[2:])

    def make(self, settings, _host, care_of, *_):
        if settings.host in self.broken:
            raise OSError("no sockets are left")
        if settings.host in self.mistaken:
            raise ZeroDivisionError
        assert care_of == IPv6Address("2001:db8::") + int(Place.here[2:])
        return Node(self, settings.host)


class Node:
    def __init__(self, lan, name):
        self._lan, self._name = lan, name

    def start(self):
        self._lan.begun.append((self._name, Place.here))
        self._lan.begins.set()

    def close(self):
        pass


class Program:
    """The fleet's program, with what it says."""

    def __init__(self, monkeypatch, folder):
        made = composed(folder, mobile_nodes=len(HOSTS))["MN0001"]
        self._configuration = fit(made, FleetConfiguration)
        self.lan = Lan()
        self.said = []
        orders, self._told = os.pipe()
        self.orders = os.fdopen(orders)
        monkeypatch.setattr("sys.stdin", self.orders)
        monkeypatch.setattr(fleet, "Namespace", Place)
        monkeypatch.setattr(fleet, "make_node", self.lan.make)
        monkeypatch.setattr(mobile_node, "care_of_address", self.lan.address)
        monkeypatch.setattr(OUTPUT, "write", lambda line: self.said.append(json.loads(line)))
        for name in ("key_log", "credentials"):
            monkeypatch.setattr(fleet, name, lambda _: None)

    def named(self, event):
        return [one for one in self.said if one["event"] == event]

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    def begin(self, *hosts, at="0.0"):
        os.write(self._told, "".join(f"begin {host} {at}\n" for host in hosts).encode())

    def run(self, work):
        async def main():
            stop = asyncio.Event()
            serving = asyncio.create_task(fleet.serve(self._configuration, stop))
            try:
                await work()
            finally:
                stop.set()
                await serving
                os.close(self._told)

        asyncio.run(main())


@pytest.fixture
def program(monkeypatch, tmp_path):
    program = Program(monkeypatch, tmp_path)
    with program.orders:
        yield program


@pytest.mark.parametrize("trouble", ["without", "broken", "mistaken"])
def test_one_that_gets_no_address_says_so_and_the_others_go_on(program, trouble):
    lan = program.lan
    lan.without, lan.broken = set(), set()
    getattr(lan, trouble).add(TROUBLED)

    async def work():
        await program.until(lambda: program.named("Ready"))
        failed = program.named("AttemptFailed")
        assert {(one["host"], one["stage"]) for one in failed} == {(TROUBLED, "address")}
        program.begin(*HOSTS)
        await program.until(lambda: len(lan.begun) == 2)
        assert {name for name, _ in lan.begun} == set(HOSTS) - {TROUBLED}
        getattr(lan, trouble).clear()
        await program.until(lambda: len(lan.begun) == 3)
        assert lan.begun[-1] == (TROUBLED, TROUBLED)

    program.run(work)


@pytest.mark.parametrize("at", ["nan", "-1", "inf", "-inf", "-0.000001", "soon"])
def test_what_is_no_time_of_the_clock_is_refused_and_has_no_effect(program, at):
    async def work():
        await program.until(lambda: program.named("Ready"))
        program.begin(HOSTS[0], at=at)
        program.begin("nobody")
        await program.until(lambda: len(program.named("CommandRefused")) == 2)
        assert [one["reason"] for one in program.named("CommandRefused")] == [
            f"{at} is no time of the clock, which is a number of seconds, 0 or more",
            "nobody is no mobile node of this fleet",
        ]
        program.begin(HOSTS[0])
        await program.until(lambda: program.lan.begun)
        assert program.lan.begun == [(HOSTS[0], HOSTS[0])]

    program.run(work)


def test_each_begins_once(program):
    async def work():
        program.lan.without.clear()
        await program.until(lambda: program.named("Ready"))
        program.begin(*HOSTS, *HOSTS)
        program.begin(HOSTS[0], at="1e6")
        await program.until(lambda: len(program.named("CommandRefused")) == len(HOSTS) + 1)
        await program.until(lambda: len(program.lan.begun) >= len(HOSTS))
        program.begin(HOSTS[0])
        await program.until(lambda: len(program.named("CommandRefused")) == len(HOSTS) + 2)
        assert sorted(program.lan.begun) == [(host, host) for host in sorted(HOSTS)]

    program.run(work)


def test_who_has_no_address_yet_begins_once_too(program):
    async def work():
        await program.until(lambda: program.named("Ready"))
        program.begin(TROUBLED, TROUBLED)
        await program.until(lambda: program.named("CommandRefused"))
        program.lan.without.clear()
        await program.until(lambda: program.lan.begun)
        program.begin(TROUBLED)
        await program.until(lambda: len(program.named("CommandRefused")) == 2)
        assert program.lan.begun == [(TROUBLED, TROUBLED)]

    program.run(work)


def test_it_ends_while_one_has_no_address(program):
    async def work():
        await program.until(lambda: program.named("AttemptFailed"))

    program.run(work)
