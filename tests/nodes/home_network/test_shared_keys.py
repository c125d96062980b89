"""Which key a home agent's IKE takes from a peer, from when and until when."""

from __future__ import annotations

import asyncio
import io
from ipaddress import IPv6Address

import pytest

from agents.core.eventlog import EventLog
from agents.ikev2.config import Grant
from agents.nodes.home_agent import machine as home_agent
from agents.nodes.home_agent.machine import PresharedIke
from agents.nodes.ike_daemon.ikev2 import Ike2Settings
from agents.nodes.ike_daemon.settings import IkeSettings
from tests.nodes.beside import HomeAgentBeside

NAME, STATIC = "mn@home.test", "static@home.test"
HA, HOA = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::1234")
COA, NEXT_COA = IPv6Address("2001:db8:a::2"), IPv6Address("2001:db8:b::2")


class FakeIke:
    """Either IKE service: the keys that it has, and whose SAs it was told to delete."""

    def __init__(self, _local, _settings, *, allocate=None, **_):
        self.allocate = allocate
        self.psks = {}
        self.deleted = []

    def add_psk(self, psk, *, peer, identity, home_address):
        assert identity not in self.psks
        self.psks[identity] = (psk, peer, home_address)

    def remove_psk(self, identity):
        self.psks.pop(identity, None)

    def delete_identity(self, identity):
        self.deleted.append(identity)

    def close(self):
        pass


@pytest.fixture
def make(monkeypatch):
    """Return what makes an IKE beside a home agent, inside a running event loop."""
    monkeypatch.setattr(home_agent, "IkeService", FakeIke)
    monkeypatch.setattr(home_agent, "Ike2Service", FakeIke)

    def make(prefix="2001:db8:100::/56"):
        log = EventLog("C", "role", io.StringIO())
        beside = HomeAgentBeside(HA, prefix, log)
        ike = PresharedIke(beside, IkeSettings(), Ike2Settings(authentication="psk"), log)
        ike.beside = beside
        return ike

    return make


def keys(ike, identity=NAME):
    """Return the key that each version of IKE takes from a peer."""
    return [
        service.psks[identity][0] if identity in service.psks else None
        for service in (ike._ikev1, ike._ikev2)
    ]


def test_the_home_prefix_has_the_length_that_it_has(make):
    async def main():
        ike = make()
        ike.share(NAME, HOA, b"key", COA)
        assert ike._ikev1.psks[NAME] == (b"key", COA, HOA)
        # An entry with a home address would be granted a /64 without asking.
        assert ike._ikev2.psks[NAME] == (b"key", None, None)
        assert ike._ikev2.allocate(NAME, None) == Grant(HOA, 56)
        assert ike._ikev2.allocate("another", HOA) is None

    asyncio.run(main())


def test_a_key_ends_with_the_authentication_that_it_comes_from(make):
    async def main():
        ike = make()
        ike.share(STATIC, HOA + 1, b"static", None)
        ike.share(NAME, HOA, b"key", COA, 0.05)
        assert keys(ike) == [b"key", b"key"]
        await asyncio.sleep(0.1)
        assert keys(ike) == [None, None]
        assert keys(ike, STATIC) == [b"static", b"static"]
        assert ike._ikev2.allocate(NAME, None) is None
        # SAs, and the binding, end with it.
        assert ike._ikev1.deleted == ike._ikev2.deleted == [NAME]
        assert ("forget", HOA) in ike.beside.kernel.calls
        ike.close()

    asyncio.run(main())


def test_a_new_authentication_renews_it(make):
    async def main():
        ike = make()
        ike.share(NAME, HOA, b"key", COA, 0.05)
        ike.share(NAME, HOA, b"next", NEXT_COA, 60.0)
        await asyncio.sleep(0.1)
        assert keys(ike) == [b"next", b"next"]
        assert ike._ikev1.psks[NAME][1] == NEXT_COA
        ike.close()

    asyncio.run(main())


def test_an_early_key_that_is_withdrawn_leaves_nothing(make):
    async def main():
        ike = make()
        ike.expect(NAME, HOA, b"early", COA)
        assert keys(ike) == [b"early", b"early"]
        ike.withdraw(NAME, b"of another authentication")
        assert keys(ike) == [b"early", b"early"]
        ike.withdraw(NAME, b"early")
        assert keys(ike) == [None, None]
        assert ike._ikev2.deleted == [NAME]

    asyncio.run(main())


def test_an_early_key_that_is_withdrawn_gives_way_to_the_one_before(make):
    async def main():
        ike = make()
        ike.share(NAME, HOA, b"key", COA, 60.0)
        ike.expect(NAME, HOA, b"early", COA)
        assert keys(ike) == [b"early", b"early"]
        ike.withdraw(NAME, b"early")
        assert keys(ike) == [b"key", b"key"]
        assert not ike._ikev2.deleted
        ike.close()

    asyncio.run(main())


def test_a_key_that_has_expired_in_the_meantime_does_not_come_back(make):
    async def main():
        ike = make()
        ike.share(NAME, HOA, b"key", COA, 0.05)
        ike.expect(NAME, HOA, b"early", COA)
        await asyncio.sleep(0.1)
        assert keys(ike) == [b"early", b"early"]
        assert ike._ikev2.deleted == [NAME]
        ike.withdraw(NAME, b"early")
        assert keys(ike) == [None, None]
        assert ike._ikev2.deleted == [NAME, NAME]

    asyncio.run(main())


def test_an_early_key_registers_nothing(make):
    async def main():
        ike = make()
        ike.expect(NAME, HOA, b"early", COA)
        assert not ike.beside.register(HOA, COA)
        ike.share(NAME, HOA, b"early", COA, 60.0)
        assert ike.beside.register(HOA, COA)
        ike.close()

    asyncio.run(main())


def test_a_subscriber_who_leaves_keeps_nothing_and_the_address_passes_on(make):
    async def main():
        ike = make()
        ike.share(NAME, HOA, b"key", COA, 60.0)
        assert ike.beside.register(HOA, COA)
        ike.end(NAME)
        assert keys(ike) == [None, None]
        assert ike._ikev1.deleted == ike._ikev2.deleted == [NAME]
        assert ike.beside.kernel.bound == {}
        assert ike.share(STATIC, HOA, b"theirs", NEXT_COA, 60.0)
        # The SAs and the key of the one before were gone by then.
        assert keys(ike, STATIC) == [b"theirs", b"theirs"]
        assert not ike.beside.register(HOA + 1, COA)
        ike.close()

    asyncio.run(main())


def test_another_home_address_ends_what_there_was_for_the_first(make):
    async def main():
        ike = make()
        ike.share(NAME, HOA, b"key", COA, 60.0)
        ike.beside.register(HOA, COA)
        assert ike.share(NAME, HOA + 1, b"next", COA, 60.0)
        assert ike._ikev1.deleted == ike._ikev2.deleted == [NAME]
        assert ike.beside.kernel.bound == {}
        assert keys(ike) == [b"next", b"next"]
        ike.close()

    asyncio.run(main())


def test_a_home_address_is_one_peers_while_there_is_a_key_for_it(make):
    async def main():
        ike = make()
        assert ike.share(NAME, HOA, b"key", COA, 0.05)
        assert not ike.share(STATIC, HOA, b"theirs", NEXT_COA, 60.0)
        ike.expect(STATIC, HOA, b"theirs", NEXT_COA)
        assert keys(ike, STATIC) == [None, None]
        assert keys(ike) == [b"key", b"key"]
        assert ike.share(NAME, HOA, b"next", NEXT_COA, 0.05)
        await asyncio.sleep(0.1)
        assert ike.share(STATIC, HOA, b"theirs", NEXT_COA, 60.0)
        assert keys(ike, STATIC) == [b"theirs", b"theirs"]
        ike.expect(NAME, HOA, b"early", COA)
        assert keys(ike) == [None, None]
        ike.close()

    asyncio.run(main())


def test_an_early_key_becomes_one_that_lasts(make):
    async def main():
        ike = make()
        ike.expect(NAME, HOA, b"early", COA)
        ike.share(NAME, HOA, b"early", COA, 60.0)
        ike.withdraw(NAME, b"early")  # Of a conversation that ended before this one.
        assert keys(ike) == [b"early", b"early"]
        ike.close()

    asyncio.run(main())
