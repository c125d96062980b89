"""The peers of an IKE daemon as files that come, change and go while it runs."""

from __future__ import annotations

import io
from ipaddress import IPv6Address

import pytest
import tomli_w

from agents.core.eventlog import EventLog
from agents.nodes.ike_daemon.peers import PeerFolder

HOA, COA = IPv6Address("2001:db8:100::1234"), IPv6Address("2001:db8:a::2")


class FakeIke:
    """The keys that IKE has, and whose SAs it was told to delete."""

    def __init__(self):
        self.keys = {}
        self.deleted = []
        self.calls = []

    def add_psk(self, psk, *, peer, identity, home_address):
        self.calls.append(("add_psk", identity))
        assert identity not in self.keys
        self.keys[identity] = psk, peer, home_address

    def remove_psk(self, identity):
        del self.keys[identity]

    def delete_identity(self, identity):
        self.deleted.append(identity)
        self.calls.append(("delete_identity", identity))


@pytest.fixture
def put(tmp_path):
    """Write a peer's files as a whole, as their owner does."""

    def put(name, identity, key=b"key", **fields):
        psk = tmp_path / f"{name}.psk"
        psk.write_bytes(key)
        peer = {"psk_file": str(psk), "home_address": str(HOA), "identity": identity}
        new = tmp_path / "new"
        new.write_text(tomli_w.dumps({**peer, "address": str(COA), **fields}))
        new.replace(tmp_path / f"{name}.toml")

    return put


@pytest.fixture
def service():
    return FakeIke()


@pytest.fixture
def folder(tmp_path, service):
    return PeerFolder(tmp_path, service, EventLog("C", "role", io.StringIO()))


def test_peers_come_change_and_go_without_harm_to_the_others(put, folder, service, tmp_path):
    put("a", "one")
    folder.read()
    put("b", "two", b"other")
    folder.read()
    assert service.keys == {"one": (b"key", COA, HOA), "two": (b"other", COA, HOA)}
    put("a", "one", b"next", address=str(COA + 1))
    folder.read()
    assert service.keys["one"] == (b"next", COA + 1, HOA)
    assert not service.deleted  # SAs outlive the change of a key.
    (tmp_path / "a.toml").unlink()
    folder.read()
    folder.read()
    assert service.keys == {"two": (b"other", COA, HOA)}
    assert service.deleted == ["one"]


@pytest.mark.parametrize(
    "fields", [{"address": "nowhere"}, {"home_address": ""}, {"psk_file": "/none"}, {"more": 1}]
)
def test_a_file_that_is_wrong_does_no_harm(put, folder, service, tmp_path, fields):
    put("a", "one")
    put("b", "two", **fields)
    (tmp_path / "c.toml").write_text("no TOML")
    folder.read()
    assert set(service.keys) == {"one"}
    put("b", "two")
    folder.read()
    assert set(service.keys) == {"one", "two"}


def test_another_home_address_ends_the_sas_of_the_one_before(put, folder, service):
    """An end and a new key may be read at once."""
    put("a", "one")
    folder.read()
    service.calls.clear()
    put("a", "one", b"next", home_address=str(HOA + 1))
    folder.read()
    assert service.calls == [("delete_identity", "one"), ("add_psk", "one")]
    assert service.keys == {"one": (b"next", COA, HOA + 1)}


def test_another_identity_ends_the_sas_of_the_one_before(put, folder, service):
    put("a", "one")
    put("b", "two")
    folder.read()
    put("a", "two")
    put("b", "one")
    folder.read()
    assert sorted(service.deleted) == ["one", "two"]
    assert set(service.keys) == {"one", "two"}


@pytest.mark.parametrize("fields", [{"address": "nowhere"}, {"psk_file": "/none"}])
def test_what_a_file_shared_ends_when_it_shares_nothing_more(put, folder, service, fields):
    put("a", "one")
    folder.read()
    put("a", "one", **fields)
    folder.read()
    assert service.deleted == ["one"]
    assert not service.keys
