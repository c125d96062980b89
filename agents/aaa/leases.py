"""Home addresses given out: one to an identity, never one to two, kept over crashes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agents.aaa.subscribers import AddressRange
from agents.eap.names import canonical_identity

BUSY_TIMEOUT = 5.0
"""How long, in seconds, to wait for another process's transaction."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS leases (
    identity   TEXT PRIMARY KEY,
    home_agent TEXT NOT NULL,
    address    BLOB NOT NULL UNIQUE CHECK (length(address) = 16)
) STRICT, WITHOUT ROWID
"""


SELECT = "SELECT identity, home_agent, address FROM leases"


class LeaseError(Exception):
    """No home address can be given, or the database cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A home address that belongs to an identity at a home agent."""

    identity: str
    home_agent: str
    address: IPv6Address


class Leases:
    """The leases in one SQLite file, which several processes may use at once.

    A lease lasts until `release`, or until its owner's subscription no longer allows it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        except sqlite3.Error as error:
            raise LeaseError(f"{path}: cannot be opened: {error}") from error
        try:
            # A file system without shared memory keeps the rollback journal: as safe, slower.
            # Another process that opens the file at this moment sets the mode for both.
            with suppress(sqlite3.OperationalError):
                self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(SCHEMA)
        except sqlite3.Error as error:
            self._db.close()
            raise LeaseError(f"{path}: not a usable database of leases: {error}") from error

    def close(self) -> None:
        """Close the database; every lease is on disk already."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Hold the write lock: what is read inside stays true until it is written."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise LeaseError(f"{self._path}: {error}") from error

    def lease(
        self,
        identity: str,
        home_agent: str,
        addresses: AddressRange,
        reserved: Collection[IPv6Address] = (),
    ) -> Lease:
        """Give `identity` an address out of `addresses`, the one that it has if that fits.

        No address in `reserved` is given. Raises LeaseError if none is free.
        """
        identity = canonical_identity(identity)
        with self._transaction():
            held = self.find(identity)
            if held is not None and self._fits(held, home_agent, addresses, reserved):
                return held
            address = self._free(identity, addresses, reserved)
            self._db.execute(
                "INSERT INTO leases (identity, home_agent, address) VALUES (?, ?, ?) "
                "ON CONFLICT (identity) DO UPDATE "
                "SET home_agent = excluded.home_agent, address = excluded.address",
                (identity, home_agent, address.packed),
            )
        return Lease(identity, home_agent, address)

    @staticmethod
    def _fits(
        held: Lease,
        home_agent: str,
        addresses: AddressRange,
        reserved: Collection[IPv6Address],
    ) -> bool:
        allowed = held.address in addresses and held.address not in reserved
        return allowed and held.home_agent == home_agent

    def _free(
        self, identity: str, addresses: AddressRange, reserved: Collection[IPv6Address]
    ) -> IPv6Address:
        def taken(address: IPv6Address) -> bool:
            return address in reserved or self._owner(address) not in (None, identity)

        # Behind the highest lease first, so that a released address rests as long as it can.
        start = self._after_highest(addresses)
        for begin, end in ((start, addresses.last), (addresses.first, start)):
            if (address := _first(begin, end, taken)) is not None:
                return address
        if addresses.first == addresses.last:
            owner = self._owner(addresses.first) or "another use"
            raise LeaseError(f"home address {addresses.first} belongs to {owner}")
        raise LeaseError(f"no home address is free from {addresses.first} to {addresses.last}")

    def _after_highest(self, addresses: AddressRange) -> IPv6Address:
        ((highest,),) = self._read(
            "SELECT max(address) FROM leases WHERE address BETWEEN ? AND ?",
            addresses.first.packed,
            addresses.last.packed,
        )
        if highest is None or highest == addresses.last.packed:
            return addresses.first
        return IPv6Address(highest) + 1

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise LeaseError(f"{self._path}: {error}") from error

    def _owner(self, address: IPv6Address) -> str | None:
        rows = self._read("SELECT identity FROM leases WHERE address = ?", address.packed)
        return str(rows[0][0]) if rows else None

    def find(self, identity: str) -> Lease | None:
        """Return the lease of `identity`."""
        rows = self._read(f"{SELECT} WHERE identity = ?", canonical_identity(identity))
        return _lease(*rows[0]) if rows else None

    def release(self, identity: str) -> bool:
        """Give the lease of `identity` up; return whether there was one."""
        with self._transaction():
            cursor = self._db.execute(
                "DELETE FROM leases WHERE identity = ?", (canonical_identity(identity),)
            )
        return cursor.rowcount > 0

    def load(self) -> dict[str, int]:
        """Return the number of leases at each home agent that has any."""
        return dict(self._read("SELECT home_agent, count(*) FROM leases GROUP BY home_agent"))

    def __iter__(self) -> Iterator[Lease]:
        return (_lease(*row) for row in self._read(f"{SELECT} ORDER BY address"))


def _lease(identity: str, home_agent: str, address: bytes) -> Lease:
    return Lease(identity, home_agent, IPv6Address(address))


def _first(
    begin: IPv6Address, end: IPv6Address, taken: Callable[[IPv6Address], bool]
) -> IPv6Address | None:
    """Return the first address from `begin` to `end` that is not taken."""
    number = int(begin)
    while number <= int(end):
        address = IPv6Address(number)
        if not taken(address):
            return address
        number += 1
    return None
