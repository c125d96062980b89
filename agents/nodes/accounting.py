"""Accounting by whoever serves a mobile node: its records, and that they arrive (RFC 6733 9.4).

Nobody waits for a record, nor for a processor that makes one: the first of a session leaves a
second later, when the mobile node that it is about has done what it came for. What is not confirmed
is sent again after a while, marked as such and with its delay, for ten minutes; what cannot be
delivered is lost, and so is everything when the program ends: a client of this project grants
whether or not it can account (GRANT_AND_LOSE).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address
from typing import Protocol, TypeAlias

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.quotas import Quotas, Share
from agents.core.record import Record, replace
from agents.core.timers import Timers
from agents.core.usage import Usage
from agents.diameter.accounting import AccountingRequest
from agents.diameter.dictionary import CLASS, AccountingRecordType, TerminationCause
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError

REST = 1.0
"""Seconds for which the first record of a session waits, unless another follows."""

RETRY, LONGEST = 10.0, 160.0
"""Seconds until a record is sent again, which double up to the second."""

PATIENCE = 600.0
"""Seconds for which a record is sent again; the server knows the session for as long."""

PARTING = 1.0
"""Seconds for which a program that ends waits for its last records to be confirmed."""

UNCONFIRMED, OWN = 1000, 100
"""Records that are kept until they are confirmed, in all and of one user; of more the oldest are
lost, interim records before others."""

APART = 5.0
"""Seconds between interim records of a session, unless the server wants them sooner."""

SPREAD = 0.1
"""The part of an interval by which interim records come earlier or later (section 9.8.2)."""

_FINAL = 5000
"""From here on result codes are permanent failures (RFC 6733 section 7.1.5)."""

Confirmed: TypeAlias = Callable[[int | Exception | None], None]
"""Is told the interval for interim records if the server names one, or why there is no answer."""


class Client(Protocol):
    """A client of the home AAA server's that carries records, by Diameter or RADIUS."""

    identity: str
    realm: str

    def account(self, record: AccountingRequest, confirmed: Confirmed) -> None:
        """Send a record; `confirmed` hears in time what becomes of it."""


class Charge(Record, frozen=True):
    """A session that is to be accounted, as the server has granted it.

    `interim` is the interval of interim records in seconds, 0 for none. `granted` is the name of
    what was granted, if that has been accounted for under it before.
    """

    session_id: str
    server: str
    realm: str
    user_name: str | None = None
    interim: int = 0
    classes: tuple[bytes, ...] = ()
    granted: str | None = None

    @classmethod
    def of(cls, answer: DiameterEapAnswer) -> Charge:
        """Return what the answer that grants a session says of its accounting."""
        return cls(
            answer.session_id,
            answer.origin_host,
            answer.origin_realm,
            answer.user_name,
            answer.interim_interval,
            CLASS.find_all(answer.unknown),
        )


class Place(Record, frozen=True):
    """Where the mobile node is; a home agent tells of itself and the home address too."""

    care_of_address: IPv6Address | None = None
    assignment: Assignment | None = None


_Name: TypeAlias = tuple[str, int]
"""A record's session and number."""


@dataclass(slots=True)
class _Session:
    """A session under way; `multi` is its first name, if it is one of several."""

    charge: Charge
    place: Place
    began: float
    before: Usage | None
    multi: str
    number: int = 0
    waiting: _Name | None = None
    """Its last interim record, and from when there may be another."""

    soonest: float = 0.0

    @property
    def first(self) -> _Name:
        """The name of its first record."""
        return self.charge.session_id, 0


@dataclass(slots=True)
class _Unconfirmed:
    """A record that is under way, or to be sent again."""

    record: AccountingRequest
    made: float
    sent: bool = False
    pause: float = RETRY


class Accountant:
    """Makes the records of sessions, which have keys of the caller's.

    `usage` tells what has passed in a key's name since its beginning, None if nobody knows; what
    has before a session began is not the session's. `epoch` is the time of day at the start.
    """

    def __init__(
        self,
        host: Host,
        client: Client,
        usage: Callable[[Hashable], Usage | None],
        log: EventLog,
        *,
        epoch: float,
    ) -> None:
        self._host = host
        self._client = client
        self._usage = usage
        self._log = log
        self._zero = epoch - host.now()
        self._sessions: dict[Hashable, _Session] = {}
        self._unconfirmed: dict[_Name, _Unconfirmed] = {}
        self._room: Quotas[_Name] = Quotas(firm=2)
        self._interim: Timers[Hashable] = Timers()
        self._again: Timers[_Name] = Timers()
        self._alarm = host.timer(self._expire)
        self._finished: Callable[[], None] | None = None
        self._last = host.timer(self._finish)

    def session(self, key: Hashable) -> str | None:
        """Return the name of the session that is accounted under a key."""
        session = self._sessions.get(key)
        return session.charge.session_id if session else None

    # Records

    def begin(
        self, key: Hashable, charge: Charge, place: Place, *, from_nothing: bool = False
    ) -> None:
        """Tell that a session has begun; one before it under the key is over then.

        `from_nothing`: nothing has passed in the key's name yet.
        """
        before = self._sessions.get(key)
        if before and before.charge.session_id == charge.session_id:
            return
        self.end(key, TerminationCause.AUTH_EXPIRED)
        multi = charge.granted or (before.multi if before else charge.session_id)
        total = Usage() if from_nothing else self._usage(key)
        session = _Session(charge, place, self._host.now(), total, multi)
        self._sessions[key] = session
        self._record(key, session, AccountingRecordType.START)
        self._plan(key, session)

    def move(self, key: Hashable, place: Place) -> None:
        """Know where a session's mobile node is now."""
        if session := self._sessions.get(key):
            session.place = place

    def interim(self, key: Hashable) -> None:
        """Tell what a session has come to so far, as soon as it may be told again.

        That is a while after the last time, when no interim record of the session is under way.
        """
        session = self._sessions.get(key)
        if session is None:
            return
        now = self._host.now()
        interval = session.charge.interim
        pause = min(APART, interval * (1 - SPREAD)) if interval else APART
        is_under_way = session.waiting in self._unconfirmed and session.waiting not in self._again
        if is_under_way or now < session.soonest:
            self._interim.set(key, session.soonest if now < session.soonest else now + pause)
            self._arm()
            return
        session.soonest = now + pause
        self._record(key, session, AccountingRecordType.INTERIM)
        self._plan(key, session)

    def end(self, key: Hashable, cause: TerminationCause) -> None:
        """Tell that a session is over, if there is one."""
        session = self._sessions.pop(key, None)
        self._interim.cancel(key)
        if session is not None:
            self._record(key, session, AccountingRecordType.STOP, cause)

    def end_all(self) -> None:
        """Tell that every session is over, for the program ends."""
        for key in tuple(self._sessions):
            self.end(key, TerminationCause.ADMINISTRATIVE)

    def _plan(self, key: Hashable, session: _Session) -> None:
        """Set when the next interim record is due, at random around the interval."""
        self._interim.cancel(key)
        if session.charge.interim:
            spread = self._host.rng.uniform(1 - SPREAD, 1 + SPREAD)
            self._interim.set(key, self._host.now() + session.charge.interim * spread)
            self._arm()

    def _record(
        self,
        key: Hashable,
        session: _Session,
        kind: AccountingRecordType,
        cause: TerminationCause | None = None,
    ) -> None:
        charge, now, client = session.charge, self._host.now(), self._client
        name = charge.session_id, session.number
        is_first = kind is AccountingRecordType.START
        total, before = None if is_first else self._usage(key), session.before
        record = AccountingRequest(
            session_id=charge.session_id,
            origin_host=client.identity,
            origin_realm=client.realm,
            destination_realm=charge.realm,
            destination_host=charge.server,
            record_type=kind,
            record_number=session.number,
            user_name=charge.user_name,
            multi_session_id=session.multi,
            interim_interval=charge.interim or None,
            session_time=None if is_first else now - session.began,
            cause=cause,
            event_time=self._zero + now,
            classes=charge.classes,
            usage=None if total is None or before is None else total.since(before),
            care_of_address=session.place.care_of_address,
            assignment=session.place.assignment,
        )
        session.number += 1
        self._supersede(session)
        session.waiting = name if kind is AccountingRecordType.INTERIM else None
        self._keep(name, _Unconfirmed(record, now), charge.user_name or session.multi)
        if is_first:
            self._again.set(name, now + REST)
            self._arm()
            return
        first = self._unconfirmed.get(session.first)
        # What a mobile node waits for goes before all of them.
        for one in (session.first, name) if first and not first.sent else (name,):
            self._host.later(partial(self._send, one))

    # Their way to the server

    def _supersede(self, session: _Session) -> None:
        """Drop an interim record that is to be sent again, for this one says more (9.5)."""
        if session.waiting and session.waiting in self._again:
            self._drop(session.waiting)

    def _keep(self, name: _Name, one: _Unconfirmed, user: str) -> None:
        """Keep a record until it is confirmed, and lose those that it displaces."""
        shares = Share(("user", user), OWN), Share("all", UNCONFIRMED)
        stage = 0 if one.record.record_type is AccountingRecordType.INTERIM else 1
        for other in self._room.enter(name, shares, stage):
            self._lose(other, "too many others wait too")
        self._unconfirmed[name] = one

    def _send(self, name: _Name) -> None:
        if one := self._unconfirmed.get(name):
            self._again.cancel(name)
            one.sent = True
            self._client.account(one.record, partial(self._confirmed, name))

    def _confirmed(self, name: _Name, told: int | Exception | None) -> None:
        one = self._unconfirmed.get(name)
        if one is None:
            return
        if not isinstance(told, Exception):
            self._drop(name)
            if told is not None:
                self._follow(name[0], told)
            return
        reason = str(told) or type(told).__name__
        left = one.made + PATIENCE - self._host.now()
        final = isinstance(told, DiameterError) and told.result_code >= _FINAL
        if final or left < one.pause:
            self._lose(name, reason)
            return
        self._again.set(name, self._host.now() + one.pause)
        one.pause = min(2 * one.pause, LONGEST)
        self._arm()

    def _follow(self, session_id: str, interval: int) -> None:
        """Let interim records come as the server wants them from now on (section 9.1)."""
        for key, session in self._sessions.items():
            charge = session.charge
            if charge.session_id == session_id and charge.interim != interval:
                session.charge = replace(session.charge, interim=interval)
                self._plan(key, session)

    def _drop(self, name: _Name) -> None:
        self._unconfirmed.pop(name, None)
        self._room.leave(name)
        self._again.cancel(name)
        if not self._unconfirmed and self._finished:
            self._finish()

    def _lose(self, name: _Name, reason: str) -> None:
        self._drop(name)
        self._log.write("RecordLost", session_id=name[0], record_number=name[1], reason=reason)

    def _arm(self) -> None:
        deadlines = [t for t in (self._interim.next(), self._again.next()) if t is not None]
        if deadlines:
            self._alarm.start_at(min(deadlines))
        else:
            self._alarm.stop()

    def _expire(self) -> None:
        now = self._host.now()
        while (key := self._interim.pop(now)) is not None:
            self.interim(key)
        while (name := self._again.pop(now)) is not None:
            one = self._unconfirmed.get(name)
            if one and one.sent:
                one.record = replace(one.record, again=True, delay=now - one.made)
            self._send(name)
        self._arm()

    def finish(self, finished: Callable[[], None]) -> None:
        """Wait a little for what is not confirmed, and tell when that is over.

        What has been sent may have arrived then; what has not is lost.
        """
        self._finished = finished
        if self._unconfirmed:
            self._last.start(PARTING)
        else:
            self._finish()

    def _finish(self) -> None:
        finished, self._finished = self._finished, None
        self._last.stop()
        self._alarm.stop()
        for name in tuple(self._unconfirmed):
            self._lose(name, "not confirmed when the program ended")
        if finished:
            finished()
