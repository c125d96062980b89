"""Home addresses given out: one to an identity, never one to two, kept over crashes.

An address that its holder gives up rests until his last authorisation for it has ended: until then
he may have security associations and a binding for it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from agents.aaa.lease_sql import (
    AUTHORISE,
    EXPIRE,
    EXPIRE_OTHERS,
    EXPIRED,
    FORGET,
    GO_ON,
    RESTING,
    SCHEMA,
    SEEN,
    SELECT,
    TAKEN,
)
from agents.aaa.subscribers import AddressRange
from agents.core.record import Record, replace
from agents.eap.names import canonical_identity

SEARCH_INTERVAL = 1.0
"""Seconds between two searches of a pool in which nothing was free: each reads all its leases."""

BUSY_TIMEOUT = 5.0
"""How long, in seconds, to wait for another process's transaction."""

Rows: TypeAlias = Iterator[tuple[Any, ...]]


class LeaseError(Exception):
    """No home address can be given, or the database cannot be used; the text says why."""


class StoreError(LeaseError, OSError):
    """The database cannot be used: a disk is full or read-only, for example."""


class Lease(Record, frozen=True):
    """A home address that belongs to an identity at a home agent.

    `lasts` are the seconds for which it is authorised if they are fewer than were asked for,
    because more could not be stored; `unstored` says why.
    """

    identity: str
    home_agent: str
    address: IPv6Address
    lasts: float | None = None
    unstored: str = ""


class Leases:
    """The leases in one SQLite file, which several processes may use at once.

    A lease lasts until `release`, until the last authorisation that came with it ends, or until
    its owner's subscription no longer allows it; without an authorisation it does not end. `clock`
    gives seconds that never jump, the same for all processes; where it begins anew, as at a reboot,
    leases go on as if no time had passed. What is not `durable` outlives its processes, but no
    power cut. Whatever changes counts from the next `commit` on: one wait for the disk does for all
    that came before it.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, *, durable: bool = True
    ) -> None:
        self._path = path
        self._clock = clock
        self._exhausted: dict[AddressRange, float] = {}
        self._next: dict[AddressRange, IPv6Address] = {}
        """Where to look first: behind the last address given out of a pool."""

        self.pending = False
        """Whether something waits for `commit`."""

        try:
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be opened: {error}") from error
        try:
            # A file system without shared memory keeps the rollback journal: as safe, slower.
            # Another process that opens the file at this moment sets the mode for both.
            with suppress(sqlite3.OperationalError):
                self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            self._db.executescript(SCHEMA)
            ((ahead,),) = self._db.execute(GO_ON, {"clock": clock()}).fetchall()
            self._ahead = float(ahead)
            self._rehearse()
        except sqlite3.Error as error:
            self._db.close()
            raise StoreError(f"{path}: not a usable database of leases: {error}") from error

    def _rehearse(self) -> None:
        """Give a lease and take it back: its statements are compiled then, and stay so.

        The first one would take three times as long as the next.
        """
        nobodys = IPv6Address(0)
        self._db.execute("BEGIN IMMEDIATE")
        with suppress(LeaseError):
            self._lease("", "", AddressRange(nobodys, nobodys), (), self._now(), 1.0)
        self._db.execute("ROLLBACK")

    def _now(self) -> float:
        return self._clock() + self._ahead

    def close(self) -> None:
        """Close the database; what was not committed has not been."""
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
    def _change(self) -> Iterator[None]:
        """Hold the write lock until `commit`: what is read inside stays true until it is written.

        What fails inside changes nothing.
        """
        first = not self.pending
        try:
            if first:
                self._db.execute("BEGIN IMMEDIATE")
            self._check_kept()
            self._db.execute("SAVEPOINT change")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK" if first else "ROLLBACK TO change")
                raise
            self._db.execute("RELEASE change")
            self.pending = True
        except sqlite3.Error as error:
            if first and self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StoreError(f"{self._path}: {error}") from error

    def _check_kept(self) -> None:
        """Raise StoreError if an error has undone what waits for `commit`, as on a full disk."""
        if not self._db.in_transaction:
            raise StoreError(f"{self._path}: what was changed together with something else is lost")

    def commit(self) -> None:
        """Store all changes since the last time; raises StoreError if none of them is stored."""
        if not self.pending:
            return
        self.pending = False
        try:
            self._check_kept()
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            raise StoreError(f"{self._path}: {error}") from error

    def lease(
        self,
        identity: str,
        home_agent: str,
        addresses: AddressRange,
        reserved: Container[IPv6Address] = (),
        lifetime: float = 0.0,
    ) -> Lease:
        """Give `identity` an address out of `addresses`, the one that it has if that fits.

        It is authorised for `lifetime` seconds; nobody else gets the address before they are over.
        No address in `reserved` is given. Nobody may be told of it before `commit`. What cannot be
        stored is not given: the lease that is there lasts as long as was stored. Raises LeaseError
        if none is free, StoreError if there is no such lease, or something is `pending`.
        """
        identity, now = canonical_identity(identity), self._now()
        try:
            with self._change():
                return self._lease(identity, home_agent, addresses, reserved, now, lifetime)
        except StoreError as error:
            held = None if self.pending else self.find(identity)
            if held is None or not self._fits(held, home_agent, addresses, reserved):
                raise
            lasts = self.lasting(identity, held.address)
            if lasts <= 0:
                raise
            return replace(held, lasts=lasts, unstored=str(error))

    def lasting(self, identity: str, address: IPv6Address) -> float:
        """Return for how many seconds an identity is authorised for its home address."""
        query = """
            SELECT until FROM authorisations JOIN leases USING (address, identity)
            WHERE address = ? AND identity = ?
        """
        rows = self._rows(query, (address.packed, canonical_identity(identity)))
        return max(0.0, next((float(until) - self._now() for (until,) in rows), 0.0))

    def _lease(
        self,
        identity: str,
        home_agent: str,
        addresses: AddressRange,
        reserved: Container[IPv6Address],
        now: float,
        lifetime: float,
    ) -> Lease:
        held = self.find(identity)
        if held is None or not self._fits(held, home_agent, addresses, reserved):
            held = self._give(identity, home_agent, addresses, reserved, now)
        if lifetime > 0:
            self._db.execute(EXPIRE_OTHERS, (now, identity))
            self._db.execute(FORGET, (now,))
            self._db.execute(SEEN, (now,))
            self._db.execute(AUTHORISE, (held.address.packed, identity, now + lifetime))
        return held

    def _give(
        self,
        identity: str,
        home_agent: str,
        addresses: AddressRange,
        reserved: Container[IPv6Address],
        now: float,
    ) -> Lease:
        address = self._resting(identity, addresses, reserved, now)
        address = address or self._free(identity, addresses, reserved, now)
        self._db.execute(
            "INSERT INTO leases (identity, home_agent, address) VALUES (?, ?, ?) "
            "ON CONFLICT (identity) DO UPDATE "
            "SET home_agent = excluded.home_agent, address = excluded.address",
            (identity, home_agent, address.packed),
        )
        self._exhausted.clear()  # The address that it had before may be free now.
        return Lease(identity, home_agent, address)

    @staticmethod
    def _fits(
        held: Lease,
        home_agent: str,
        addresses: AddressRange,
        reserved: Container[IPv6Address],
    ) -> bool:
        allowed = held.address in addresses and held.address not in reserved
        return allowed and held.home_agent == home_agent

    def _resting(
        self,
        identity: str,
        addresses: AddressRange,
        reserved: Container[IPv6Address],
        now: float,
    ) -> IPv6Address | None:
        """Return an address that `identity` has had and nobody else can get yet."""
        first, last = addresses.first.packed, addresses.last.packed
        own = {"first": first, "last": last, "identity": identity, "now": now}
        rest = (IPv6Address(packed) for (packed,) in self._rows(RESTING, own))
        return next((address for address in rest if address not in reserved), None)

    def _free(
        self,
        identity: str,
        addresses: AddressRange,
        reserved: Container[IPv6Address],
        now: float,
    ) -> IPv6Address:
        if self._exhausted.get(addresses, now) > now:
            raise LeaseError(f"no home address is free in {addresses}")
        # In turn, so that a released address rests as long as it can, and none is looked at twice.
        start = self._next.get(addresses) or self._after_highest(addresses)
        for begin, end in ((start, addresses.last), (addresses.first, start)):
            rows = self._rows(
                TAKEN,
                {"first": begin.packed, "last": end.packed, "identity": identity, "now": now},
            )
            taken = (int.from_bytes(packed) for (packed,) in rows)
            if (address := _first_free(int(begin), int(end), taken, reserved)) is not None:
                if addresses.first != addresses.last:
                    self._next[addresses] = _after(address, addresses)
                return address
        if addresses.first == addresses.last:
            raise LeaseError(f"home address {addresses.first} {self._why_not(addresses.first)}")
        self._exhausted[addresses] = now + SEARCH_INTERVAL
        raise LeaseError(f"no home address is free in {addresses}")

    def _why_not(self, address: IPv6Address) -> str:
        if (owner := self._owner(address)) is not None:
            return f"belongs to {owner}"
        query = "SELECT identity FROM authorisations WHERE address = ?"
        for (former,) in self._rows(query, (address.packed,)):
            return f"was {former}'s, whose authorisation has not ended"
        return "belongs to another use"

    def _after_highest(self, addresses: AddressRange) -> IPv6Address:
        query = "SELECT max(address) FROM leases WHERE address BETWEEN ? AND ?"
        ((highest,),) = self._rows(query, (addresses.first.packed, addresses.last.packed))
        return addresses.first if highest is None else _after(IPv6Address(highest), addresses)

    def _rows(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> Rows:
        """Return the rows of a query, read as they are asked for; raises StoreError."""
        try:
            yield from self._db.execute(query, values)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _owner(self, address: IPv6Address) -> str | None:
        query = "SELECT identity FROM leases WHERE address = ?"
        return next((str(owner) for (owner,) in self._rows(query, (address.packed,))), None)

    def find(self, identity: str) -> Lease | None:
        """Return the lease of `identity`."""
        rows = self._rows(f"{SELECT} WHERE identity = ?", (canonical_identity(identity),))
        return next((_lease(*row) for row in rows), None)

    def release(self, identity: str) -> bool:
        """Give the lease of `identity` up; return whether there was one.

        The address is nobody else's before the authorisation has ended that came with it.
        """
        self._exhausted.clear()
        with self._change():
            cursor = self._db.execute(
                "DELETE FROM leases WHERE identity = ?", (canonical_identity(identity),)
            )
        return cursor.rowcount > 0

    def expire(self) -> None:
        """End the leases whose holders are authorised for no longer; raises StoreError."""
        now = self._now()
        if any(self._rows(EXPIRED, (now,))):
            self._exhausted.clear()
            with self._change():
                self._db.execute(EXPIRE, (now,))
                self._db.execute(FORGET, (now,))

    def load(self) -> dict[str, int]:
        """Return the number of leases at each home agent that has any."""
        return dict(self._rows("SELECT home_agent, leases FROM loads WHERE leases > 0"))

    def __iter__(self) -> Iterator[Lease]:
        return (_lease(*row) for row in self._rows(f"{SELECT} ORDER BY address"))


def _after(address: IPv6Address, addresses: AddressRange) -> IPv6Address:
    return addresses.first if address == addresses.last else address + 1


def _lease(identity: str, home_agent: str, address: bytes) -> Lease:
    return Lease(identity, home_agent, IPv6Address(address))


def _first_free(
    begin: int, end: int, taken: Iterable[int], reserved: Container[IPv6Address]
) -> IPv6Address | None:
    """Return the first address from `begin` to `end` that is neither taken nor reserved.

    `taken` are those in this range, in their order.
    """
    number = begin
    for next_taken in chain(taken, (end + 1,)):
        for candidate in range(number, next_taken):
            if (address := IPv6Address(candidate)) not in reserved:
                return address
        number = next_taken + 1
    return None
