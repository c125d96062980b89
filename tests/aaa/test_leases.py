from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from ipaddress import IPv6Address

import pytest

from agents.aaa.leases import LeaseError, Leases
from agents.aaa.subscribers import AddressRange

BASE = IPv6Address("2001:db8:100::")
POOL = AddressRange(BASE + 0x1000, BASE + 0x1003)


@pytest.fixture
def leases(tmp_path):
    with Leases(tmp_path / "leases.db") as leases:
        yield leases


def test_an_identity_keeps_its_address(leases, tmp_path):
    first = leases.lease("a@home.test", "ha1", POOL)
    assert first.address == BASE + 0x1000
    assert leases.lease("a@HOME.test", "ha1", POOL) == first
    assert leases.lease("b@home.test", "ha1", POOL).address == BASE + 0x1001
    leases.commit()
    with Leases(tmp_path / "leases.db") as again:
        assert again.lease("a@home.test", "ha1", POOL) == first
        assert again.load() == {"ha1": 2}
        assert [lease.identity for lease in again] == ["a@home.test", "b@home.test"]


def test_a_file_that_is_opened_has_no_lease_in_it(leases, tmp_path):
    """Opening one gives a lease and takes it back."""
    assert not list(leases)
    assert not leases.load()
    with sqlite3.connect(tmp_path / "leases.db") as file:
        assert not file.execute("SELECT * FROM authorisations").fetchall()


def test_a_pool_comes_to_its_end_and_a_released_address_returns(leases):
    for i in range(4):
        leases.lease(f"mn{i}@home.test", "ha1", POOL)
    with pytest.raises(LeaseError, match=r"no home address is free in 2001:db8:100::1000 to"):
        leases.lease("late@home.test", "ha1", POOL)
    assert leases.release("mn2@home.test")
    assert not leases.release("mn2@home.test")
    assert leases.lease("late@home.test", "ha1", POOL).address == BASE + 0x1002


def test_who_comes_and_goes_uses_up_one_address(tmp_path):
    now = [1e9]
    with Leases(tmp_path / "leases.db", lambda: now[0]) as leases:
        for _ in range(10):
            first = leases.lease("a@home.test", "ha1", POOL, lifetime=100.0)
            assert leases.release("a@home.test")
            now[0] += 1.0
        assert first.address == POOL.first
        others = {leases.lease(f"{i}@home.test", "ha1", POOL).address for i in range(3)}
        assert len(others | {first.address}) == 4


def test_who_moves_to_and_fro_uses_up_one_address_at_each_home_agent(tmp_path):
    other = AddressRange(BASE + 0x2000, BASE + 0x2001)
    with Leases(tmp_path / "leases.db", lambda: 1e9) as leases:
        given = {
            leases.lease("a@home.test", name, pool, lifetime=100.0).address
            for _ in range(10)
            for name, pool in (("ha1", POOL), ("ha2", other))
        }
    assert given == {POOL.first, other.first}


def test_what_rests_is_not_given_to_its_last_holder_where_it_is_reserved_now(tmp_path):
    with Leases(tmp_path / "leases.db", lambda: 1e9) as leases:
        leases.lease("a@home.test", "ha1", POOL, lifetime=100.0)
        leases.release("a@home.test")
        again = leases.lease("a@home.test", "ha1", POOL, {POOL.first}, lifetime=100.0)
    assert again.address == POOL.first + 1


def test_reserved_addresses_are_not_given(leases):
    given = {
        leases.lease(f"mn{i}@home.test", "ha1", POOL, {POOL.first, POOL.last}).address
        for i in range(2)
    }
    assert given == {BASE + 0x1001, BASE + 0x1002}
    with pytest.raises(LeaseError):
        leases.lease("late@home.test", "ha1", POOL, {POOL.first, POOL.last})


def test_a_fixed_address_has_one_owner(leases):
    fixed = AddressRange(POOL.first, POOL.first)
    leases.lease("a@home.test", "ha1", POOL)
    with pytest.raises(LeaseError, match=r"2001:db8:100::1000 belongs to a@home\.test"):
        leases.lease("b@home.test", "ha1", fixed)
    # The address is reserved now: its holder moves on and its owner gets it.
    assert leases.lease("a@home.test", "ha1", POOL, {POOL.first}).address == BASE + 0x1001
    assert leases.lease("b@home.test", "ha1", fixed).address == POOL.first


def test_a_lease_follows_the_subscription(leases):
    leases.lease("a@home.test", "ha1", POOL)
    other = AddressRange(BASE + 0x2000, BASE + 0x2001)
    assert leases.lease("a@home.test", "ha2", other).address == BASE + 0x2000
    assert leases.load() == {"ha2": 1}


def test_a_large_pool_costs_no_more(leases):
    huge = AddressRange.parse("2001:db8:100::/64")
    assert leases.lease("a@home.test", "ha1", huge, {BASE + 1}).address == BASE + 2
    end = AddressRange(huge.last, huge.last)
    leases.lease("z@home.test", "ha1", end)
    assert leases.lease("b@home.test", "ha1", huge, {BASE + 1}).address == BASE + 3


def test_a_lease_costs_as_much_behind_a_thousand_others(tmp_path, monkeypatch):
    opened, steps = [], []

    def connect(*arguments, **options):
        opened.append(sqlite3.Connection(*arguments, **options))
        return opened[-1]

    def cost(number):
        del steps[:]
        leases.lease(f"mn{number}@home.test", "ha1", pool, lifetime=60.0)
        return len(steps)

    monkeypatch.setattr("agents.aaa.leases.sqlite3.connect", connect)
    pool = AddressRange(BASE + 1, BASE + 0xFFFF)
    with Leases(tmp_path / "leases.db") as leases:
        leases.lease("last@home.test", "ha1", AddressRange(pool.last, pool.last))
        opened[0].set_progress_handler(lambda: steps.append(1), 1)
        first = [cost(n) for n in range(10)]
        for number in range(10, 1000):
            cost(number)
        assert max(cost(n) for n in range(1000, 1010)) <= max(first)


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_a_file_that_cannot_be_used_is_named(tmp_path, content):
    path = tmp_path / "leases.db" if content else tmp_path / "none" / "leases.db"
    if content:
        path.write_bytes(content)
    with pytest.raises(LeaseError, match=r"leases\.db: "):
        Leases(path)


def test_a_lock_held_by_another_becomes_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("agents.aaa.leases.BUSY_TIMEOUT", 0.01)
    with Leases(tmp_path / "leases.db") as second:
        other = sqlite3.connect(tmp_path / "leases.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LeaseError, match="locked"):
            second.lease("a@home.test", "ha1", POOL)
        other.execute("ROLLBACK")
        other.close()
        second.lease("a@home.test", "ha1", POOL)


HOLD = """
import sys, time
from ipaddress import IPv6Address
from pathlib import Path
from agents.aaa.leases import Leases
from agents.aaa.subscribers import AddressRange

leases = Leases(Path(sys.argv[1]))
pool = AddressRange(IPv6Address("2001:db8:100::1000"), IPv6Address("2001:db8:100::1003"))
leases.lease("done@home.test", "ha1", pool)
leases.commit()
leases.lease("half@home.test", "ha1", pool)
print("inside", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_has_not_committed_is_nobodys(tmp_path):
    path = tmp_path / "leases.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout.readline() == "inside\n"
        finally:
            child.kill()
        assert child.wait(10) == -signal.SIGKILL
    with Leases(path) as leases:
        assert [lease.identity for lease in leases] == ["done@home.test"]
        assert leases.lease("new@home.test", "ha1", POOL).address == BASE + 0x1001


RACE = """
import sys
from ipaddress import IPv6Address
from pathlib import Path
from agents.aaa.leases import LeaseError, Leases
from agents.aaa.subscribers import AddressRange

path, name = Path(sys.argv[1]), sys.argv[2]
pool = AddressRange(IPv6Address("2001:db8:100::1000"), IPv6Address("2001:db8:100::103b"))
print("ready", flush=True)
sys.stdin.readline()
leases = Leases(path)
for i in range(40):
    given = []
    try:
        given = [leases.lease(f"{name}{i}@home.test", "ha1", pool).address]
        given.append(leases.lease(f"both{i}@home.test", "ha2", pool).address)
    except LeaseError as error:
        print(error)
    leases.commit()
    for address in given:
        print(address, flush=True)
"""


def test_two_processes_at_once_never_give_an_address_twice(tmp_path):
    path = tmp_path / "leases.db"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    try:
        for child in children:
            assert child.stdout.readline() == "ready\n"
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        outputs = [child.communicate(timeout=30)[0].splitlines() for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait(10)
    given = [
        line for output in outputs for line in output if line and not line.startswith("no home")
    ]
    assert all(line.startswith("2001:db8:100::10") for line in given), given
    with Leases(path) as leases:
        addresses = [lease.address for lease in leases]
        assert len(addresses) == len(set(addresses)) == 60
    assert {IPv6Address(line) for line in given} == set(addresses)
    assert any(line.startswith("no home") for output in outputs for line in output)


def test_a_group_that_cannot_be_stored_is_lost_as_a_whole(leases, tmp_path):
    """As on a full disk: the database may not grow."""
    kept = leases.lease("kept@home.test", "ha1", POOL)
    leases.commit()
    ((pages,),) = leases._db.execute("PRAGMA page_count")
    leases._db.execute(f"PRAGMA max_page_count = {pages}")
    wide = AddressRange(BASE, BASE + 0xFFFF)
    with pytest.raises(LeaseError, match="full"):
        _ = [leases.lease(f"mn{n}@home.test", "ha1", wide, lifetime=60.0) for n in range(1000)]
    with pytest.raises(LeaseError, match="lost"):
        leases.lease("late@home.test", "ha1", wide)
    with pytest.raises(LeaseError, match="lost"):
        leases.commit()
    leases.commit()
    assert list(leases) == [kept]
    leases._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    leases.lease("later@home.test", "ha1", wide)
    leases.commit()
    with Leases(tmp_path / "leases.db") as again:
        assert {one.identity for one in again} == {"kept@home.test", "later@home.test"}


def test_a_lease_that_is_refused_changes_nothing_of_the_others_in_its_group(leases, tmp_path):
    one = AddressRange(BASE + 1, BASE + 1)
    leases.lease("a@home.test", "ha1", one)
    with pytest.raises(LeaseError, match="belongs to"):
        leases.lease("b@home.test", "ha1", one)
    leases.lease("c@home.test", "ha1", POOL)
    leases.commit()
    with Leases(tmp_path / "leases.db") as again:
        assert {one.identity for one in again} == {"a@home.test", "c@home.test"}
