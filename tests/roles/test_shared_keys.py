"""Which key a home agent's IKE takes from a peer, from when and until when."""

from __future__ import annotations

import asyncio
import io
from ipaddress import IPv6Address, IPv6Network
from types import SimpleNamespace

import pytest

from agents.ikev2.config import Grant
from agents.kernel.fake import FakeHomeAgent
from agents.roles import home_agent
from agents.roles.home_agent import PresharedIke
from agents.roles.ike import IkeSettings
from agents.roles.ike2 import Ike2Settings
from agents.shell.eventlog import EventLog

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
        beside = SimpleNamespace(address=HA, prefix=IPv6Network(prefix), kernel=FakeHomeAgent())
        log = EventLog("C", "role", io.StringIO())
        return PresharedIke(beside, IkeSettings(), Ike2Settings(authentication="psk"), log)

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
        assert not ike._ikev2.deleted  # SAs last as long as IKE has agreed on.
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
        ike.withdraw(NAME, b"early")
        assert keys(ike) == [None, None]
        assert ike._ikev2.deleted == [NAME]

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
