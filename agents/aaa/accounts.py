"""What the home AAA server knows of sessions that are accounted (RFC 6733 section 9).

An account is opened by what authorises a session, not by who tells of it: no record counts of a
session that is not known, or from a node that it was not granted to. It ends with the STOP record;
where none comes (its node has crashed) it ends unfinished some time after the session has, with
what was told last. Ended ones stay for a while, so that a STOP that comes again counts once. All
is in memory, as the sessions are; every record is told as an event, too, for whoever keeps them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from agents.core.folding import ascii_lower
from agents.core.machine import Event
from agents.core.quotas import Quotas, Share
from agents.core.record import Record
from agents.core.timers import Timers
from agents.core.usage import Usage
from agents.diameter.accounting import AccountingRequest
from agents.diameter.dictionary import AccountingRecordType
from agents.diameter.errors import DiameterError, ResultCode

Key: TypeAlias = tuple[str, str]
"""A client's Origin-Host in lower case, and its Session-Id, which means nothing without it."""

OPEN, ENDED = 100_000, 10_000
"""How many accounts there are at once, of one client half as many; of more the oldest are given up,
or forgotten."""

WITHIN = 100
"""Accounts that may be open at once within what a client has been granted; the oldest gives way."""

GRACE = 600.0
"""Seconds after a session's end for which its records are waited for: who could not send them,
tries for some minutes (agents/nodes/accounting.py)."""

KEPT = 3600.0
"""Seconds for which an ended account is known, and as long as more may be opened within it."""

GAP = 1000
"""Records of one session that may be outstanding, all in all, while later ones are there."""


class SessionAccounted(Event, frozen=True):
    """A record counts; `usage` and `session_time`, in seconds, are the session's so far.

    `again`: its sender has said that it may have come before; it has not.
    """

    identity: str
    client: str
    session_id: str
    record_type: str
    record_number: int
    usage: Usage | None
    session_time: float | None
    cause: int | None
    multi_session_id: str | None
    again: bool


class RecordRepeated(Event, frozen=True):
    """A record has come that counts already."""

    client: str
    session_id: str
    record_number: int


class RecordRefused(Event, frozen=True):
    """A record does not count."""

    client: str
    session_id: str
    reason: str


class AccountUnfinished(Event, frozen=True):
    """An account has ended without a STOP record; `usage` is what was told last."""

    identity: str
    client: str
    session_id: str
    usage: Usage | None
    reason: str


class Account(Record, frozen=True):
    """What was told of a session that has ended; `finished` by a STOP record."""

    identity: str
    usage: Usage | None
    session_time: float | None
    finished: bool


@dataclass(slots=True)
class _Open:
    """What is known of an account; records up to the `last` have come but for the `missing`."""

    identity: str
    until: float = 0.0
    """When the session is over that was granted."""

    within: _Open | None = None
    """The account of what was granted, if this has been opened within that."""

    usage: Usage | None = None
    session_time: float | None = None
    last: int = -1
    missing: set[int] = field(default_factory=set)
    started: int | None = None
    stopped: int | None = None

    @property
    def awaited(self) -> float:
        """Until when its records are waited for."""
        return (self.within or self).until + GRACE

    def number_of(self, request: AccountingRequest) -> int:
        """Return a record's number: by RADIUS, that of what has come if this is the same again."""
        if request.record_number is not None:
            return request.record_number
        kind = request.record_type
        if kind is AccountingRecordType.START:
            return 0
        if kind is AccountingRecordType.STOP and self.stopped is not None:
            return self.stopped
        is_old = (request.session_time or 0) <= (self.session_time or 0)
        if kind is AccountingRecordType.INTERIM and (is_old or self.stopped is not None):
            return max(self.last, 0)
        return max(self.last, 0) + 1

    def has(self, number: int) -> bool:
        """Return whether a record has come."""
        return number <= self.last and number not in self.missing

    def count(self, number: int, request: AccountingRequest) -> None:
        """Take a record that has not come yet; what is told later is told in total."""
        if number < self.last:
            self.missing.discard(number)
        else:
            self.missing.update(range(self.last + 1, number))
            self.last = number
            self.usage = request.usage or self.usage
            if request.session_time is not None:
                self.session_time = request.session_time
        if request.record_type is AccountingRecordType.START:
            self.started = number
        elif request.record_type is AccountingRecordType.STOP:
            self.stopped = number


class Accounts:
    """The accounts of the sessions that `expect` has told of."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self._open: dict[Key, _Open] = {}
        self._ended: dict[Key, _Open] = {}
        self._open_room: Quotas[Key] = Quotas()
        self._ended_room: Quotas[Key] = Quotas()
        self._timers: Timers[Key] = Timers()

    def __len__(self) -> int:
        return len(self._open)

    def account(self, client: str, session_id: str) -> Account | None:
        """Return what was told of a session that has ended, while it is known."""
        found = self._ended.get((ascii_lower(client), session_id))
        if found is None:
            return None
        return Account(
            found.identity, found.usage, found.session_time, finished=found.stopped is not None
        )

    def expect(self, client: Key, identity: str, lifetime: float, now: float) -> None:
        """Wait for the records of a session that a client has been granted for so many seconds.

        One that has been accounted for to its end may go on: others may be opened within it.
        """
        account = self._find(client)
        if account is None:
            account = _Open(identity)
            self._add(client, account, _shares(client, OPEN), now)
        account.until, account.within = now + lifetime, None
        self._wait(client, account, now)

    def _find(self, key: Key) -> _Open | None:
        return self._open.get(key) or self._ended.get(key)

    def _wait(self, key: Key, account: _Open, now: float) -> None:
        """Set when an account is given up, or forgotten."""
        is_open, known = key in self._open, max(now + KEPT, account.until + GRACE)
        self._timers.set(key, account.awaited if is_open else known)

    def _add(self, key: Key, account: _Open, shares: tuple[Share, ...], now: float) -> None:
        """Open an account, and give up those that it displaces."""
        for other in self._open_room.enter(key, shares):
            self._give_up(other, "too many others are open", now)
        self._open[key] = account

    def handle(self, request: AccountingRequest, now: float) -> None:
        """Take a record; raises DiameterError for one that does not count.

        One that counts already is answered as it was before, and changes nothing.
        """
        self.handle_timeout(now)
        client = ascii_lower(request.origin_host)
        key = client, request.session_id
        try:
            account = self._of(key, request.multi_session_id, now)
            number = account.number_of(request)
            if account.has(number):
                self.events.append(RecordRepeated(now, client, request.session_id, number))
                return
            _check(account, request.record_type, number)
        except DiameterError as error:
            self.events.append(RecordRefused(now, client, request.session_id, str(error)))
            raise
        account.count(number, request)
        self._tell(account, request, number, now)
        if request.record_type is AccountingRecordType.STOP and key in self._open:
            self._end(key, now)

    def _of(self, key: Key, multi: str | None, now: float) -> _Open:
        """Return an account; raises DiameterError UNKNOWN_SESSION_ID if there is none.

        Within what a client has been granted it may open more, which name that and not one another
        (RFC 6733 9.6).
        """
        account = self._find(key)
        if account is None and multi is not None:
            granted = key[0], multi
            whole = self._find(granted)
            if whole is not None and whole.within is None and whole.until > now:
                account = _Open(whole.identity, within=whole)
                share = Share(("within", granted), WITHIN)
                self._add(key, account, (share, *_shares(key, OPEN)), now)
                self._wait(key, account, now)
        if account is None:
            reason = f"no session of {key[0]} has this name"
            raise DiameterError(reason, ResultCode.UNKNOWN_SESSION_ID)
        return account

    def _tell(self, account: _Open, request: AccountingRequest, number: int, now: float) -> None:
        event = SessionAccounted(
            now,
            account.identity,
            ascii_lower(request.origin_host),
            request.session_id,
            request.record_type.name,
            number,
            request.usage,
            request.session_time,
            request.cause,
            request.multi_session_id,
            request.again,
        )
        self.events.append(event)

    def _end(self, key: Key, now: float) -> None:
        """Keep an account for a while that is not open any more."""
        self._open_room.leave(key)
        account = self._ended[key] = self._open.pop(key)
        self._wait(key, account, now)
        for other in self._ended_room.enter(key, _shares(key, ENDED)):
            del self._ended[other]
            self._timers.cancel(other)

    def _give_up(self, key: Key, reason: str, now: float) -> None:
        account = self._open[key]
        event = AccountUnfinished(now, account.identity, *key, account.usage, reason)
        self.events.append(event)
        self._end(key, now)

    def handle_restart(self, client: str, now: float) -> None:
        """Know that a client, its name in lower case, has lost its sessions (RFC 6733 8.16)."""
        for key in [key for key in self._open if key[0] == client]:
            self._give_up(key, f"{client} has been started again", now)

    def next_timeout(self) -> float | None:
        """Return when the next account is given up, or forgotten."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> None:
        """Give up, or forget, every account whose time is over."""
        while (key := self._timers.pop(now)) is not None:
            if self._ended.pop(key, None) is not None:
                self._ended_room.leave(key)
            elif (awaited := self._open[key].awaited) > now:  # What it is within was prolonged.
                self._timers.set(key, awaited)
            else:
                self._give_up(key, "no STOP record has come", now)


def _shares(key: Key, limit: int) -> tuple[Share, ...]:
    """Return where an account counts: a flood of one client's leaves room for the others'."""
    return Share(("client", key[0]), limit // 2), Share("all", limit)


def _check(account: _Open, kind: AccountingRecordType, number: int) -> None:
    """Raise DiameterError for a record that cannot be one of this session's.

    A session has one START and one STOP (RFC 6733 section 9.5), and nothing comes after that.
    """
    if len(account.missing) + number - account.last > GAP:
        missing = len(account.missing)
        reason = f"record {number} comes after record {account.last}, and {missing} are missing"
        raise DiameterError(reason, ResultCode.INVALID_AVP_VALUE)
    stops = kind is AccountingRecordType.STOP
    if (
        (kind is AccountingRecordType.START and account.started is not None)
        or (stops and (account.stopped is not None or number < account.last))
        or (account.stopped is not None and number > account.stopped)
    ):
        reason = f"record {number} ({kind.name}) does not go with those that have come"
        raise DiameterError(reason, ResultCode.CONTRADICTING_AVPS)
