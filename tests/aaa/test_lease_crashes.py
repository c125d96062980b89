"""A crash between any two steps gives no home address to two subscribers.

What a killed process leaves is what the operating system has of its files. So these are copied at
every statement that the database is given, and each copy is opened as by a program that starts.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents.aaa.leases import LeaseError, Leases
from agents.aaa.subscribers import AddressRange

POOLS = {
    "ha1": AddressRange(IPv6Address("2001:db8:100::10"), IPv6Address("2001:db8:100::17")),
    "ha2": AddressRange(IPv6Address("2001:db8:200::10"), IPv6Address("2001:db8:200::17")),
}
LIFETIME = 100.0
STEPS = 40


class Crashes:
    """Leases whose files are copied at every statement, with what has been promised by then."""

    def __init__(self, folder, monkeypatch):
        self.now = 1_000_000.0
        self.promised = {}
        """Until when each address is whose, as its holder has been told."""

        self.copies = []
        self._unstored = {}
        self._folder, self._opened = folder, []
        connect = __import__("sqlite3").connect

        def watched(*arguments, **options):
            self._opened.append(connect(*arguments, **options))
            return self._opened[-1]

        with monkeypatch.context() as patch:
            patch.setattr("agents.aaa.leases.sqlite3.connect", watched)
            self.leases = Leases(folder / "leases.db", lambda: self.now)
        self._opened[0].set_trace_callback(lambda _: self._copy())

    def _copy(self):
        target = self._folder / f"copy{len(self.copies)}"
        target.mkdir()
        for name in ("leases.db", "leases.db-wal"):
            if (self._folder / name).exists():
                shutil.copy(self._folder / name, target / name)
        self.copies.append((target / "leases.db", self.now, dict(self.promised)))

    def step(self, rng):
        """Do something that a home AAA server does."""
        who = f"mn{rng.randrange(5)}@home.test"
        match rng.randrange(6):
            case 0 | 1:
                agent = rng.choice(["ha1", "ha2"])
                try:
                    lease = self.leases.lease(who, agent, POOLS[agent], lifetime=LIFETIME)
                except LeaseError:
                    return
                self._unstored[lease.address] = who, self.now + LIFETIME
            case 2:
                self.leases.release(who)
            case 3:
                self.now += rng.choice([1.0, 40.0, 130.0])
                self.leases.expire()
            case _:
                self.leases.commit()
                self.promised |= self._unstored
                self._unstored.clear()


def strangers_get(path, now):
    """Return every address that somebody new can have after a crash."""
    with Leases(path, lambda: now) as leases:
        got = []
        for agent, pool in POOLS.items():
            for number in range(9):
                try:
                    got.append(leases.lease(f"new{agent}{number}@home.test", agent, pool).address)
                except LeaseError:
                    break
        held = [lease.address for lease in leases]
        assert len(held) == len(set(held))
        return got


@pytest.fixture
def memory():
    """Return a folder where nothing has to wait for a disk, if there is one."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("seed", range(3))
def test_what_somebody_has_been_promised_is_nobody_elses_after_a_crash(memory, monkeypatch, seed):
    crashes, rng = Crashes(memory, monkeypatch), random.Random(seed)
    for _ in range(STEPS):
        crashes.step(rng)
    crashes.leases.close()
    assert len(crashes.copies) > 3 * STEPS
    found = {}
    for path, now, promised in crashes.copies:
        taken = {address for address, (_, until) in promised.items() if until > now}
        files = tuple(one.read_bytes() for one in sorted(path.parent.iterdir()))
        if (files, now) not in found:  # Many statements change nothing.
            found[files, now] = strangers_get(path, now)
        assert taken.isdisjoint(found[files, now])


WORK = """
import sys
from ipaddress import IPv6Address
from pathlib import Path
from agents.aaa.leases import LeaseError, Leases
from agents.aaa.subscribers import AddressRange

leases = Leases(Path(sys.argv[1]))
pool = AddressRange(IPv6Address("2001:db8:100::10"), IPv6Address("2001:db8:100::ffff"))
number = 0
while True:
    who = f"mn{sys.argv[2]}-{number}@home.test"
    address = leases.lease(who, "ha1", pool, lifetime=3600.0).address
    leases.commit()
    print(who, address, flush=True)
    if number % 3 == 0:
        leases.release(who)
    number += 1
"""


def test_a_server_that_is_killed_at_any_time_gives_no_address_twice(tmp_path):
    path, rng, told = tmp_path / "leases.db", random.Random(1), []
    for life in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WORK, str(path), str(life)], stdout=subprocess.PIPE, text=True
        ) as child:
            told.append(child.stdout.readline())
            time.sleep(rng.uniform(0.0, 0.05))
            os.kill(child.pid, signal.SIGKILL)
            told += [line for line in child.stdout if line.endswith("\n")]
    owners = {}
    for line in told:
        who, address = line.split()
        assert owners.setdefault(address, who) == who
    assert len(owners) > 12
