"""The records of sessions, and that they arrive."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise

import pytest

from agents.core.record import replace
from agents.core.usage import Usage
from agents.diameter.accounting import AccountingRequest
from agents.diameter.dictionary import AccountingRecordType as Kind
from agents.diameter.dictionary import TerminationCause
from agents.diameter.errors import DiameterError, ResultCode
from agents.nodes import accounting
from agents.nodes.accounting import (
    APART,
    PARTING,
    PATIENCE,
    REST,
    RETRY,
    SPREAD,
    Accountant,
    Charge,
    Confirmed,
    Place,
)
from tests.nodes.net import COA, OTHER_COA, Net

CHARGE = Charge("b.test;1;1", "aaa.home.test", "home.test", "mn@home.test", classes=(b"gold",))
NEXT = replace(CHARGE, session_id="b.test;1;2")
HERE = Place(COA)
KEY = 7
LOGOUT = TerminationCause.LOGOUT
SILENT, LOST = object(), TimeoutError("no answer")


class World:
    """An accountant, and a client that answers as `answer` says: SILENT is not at all."""

    identity, realm = "b.test", "test"

    def __init__(self) -> None:
        self.net = Net()
        self.sent: list[tuple[float, AccountingRequest]] = []
        self.answer: object = None
        self.total: Usage | None = Usage()
        self.waiting: list[Confirmed] = []
        self.host = self.net.program("B")
        self.accountant = Accountant(self.host, self, self.usage, self.net.log("B"), epoch=1000.0)

    def account(self, record: AccountingRequest, confirmed: Confirmed) -> None:
        self.sent.append((self.net.clock.now, record))
        if self.answer is SILENT:
            self.waiting.append(confirmed)
        else:
            confirmed(self.answer)

    def usage(self, key: Hashable) -> Usage | None:
        assert key == KEY
        return self.total

    def do(self, method: str, *arguments: object, seconds: float = 0.0, **more: object) -> None:
        """Have the accountant do something, and let time pass."""
        self.host.enter(getattr(self.accountant, method), KEY, *arguments, **more)
        self.net.run(seconds)

    @property
    def records(self) -> list[AccountingRequest]:
        return [record for _, record in self.sent]

    def seen(self) -> list[tuple[str, int]]:
        return [(one.record_type.name, one.record_number) for one in self.records]


@pytest.fixture
def world() -> World:
    return World()


def test_a_session_has_a_first_and_a_last_record(world):
    world.do("begin", CHARGE, HERE, seconds=100.0)
    world.total = Usage(1, 2, 3, 4)
    world.do("end", LOGOUT, seconds=1.0)
    start, stop = world.records
    assert start == AccountingRequest(
        session_id=CHARGE.session_id,
        origin_host="b.test",
        origin_realm="test",
        destination_realm="home.test",
        destination_host="aaa.home.test",
        record_type=Kind.START,
        record_number=0,
        user_name="mn@home.test",
        multi_session_id=CHARGE.session_id,
        event_time=1000.0,
        classes=(b"gold",),
        care_of_address=COA,
    )
    assert (stop.record_type, stop.record_number) == (Kind.STOP, 1)
    assert stop.usage == world.total
    assert stop.session_time == pytest.approx(100.0)
    assert stop.event_time == pytest.approx(1100.0)
    assert stop.cause == LOGOUT
    world.do("end", LOGOUT, seconds=1000.0)
    assert len(world.records) == 2


def test_the_first_record_lets_others_go_ahead_but_not_the_last(world):
    world.do("begin", CHARGE, HERE, seconds=REST / 2)
    assert world.records == []
    world.do("end", LOGOUT)
    assert world.seen() == [("START", 0), ("STOP", 1)]
    assert not any(record.again for record in world.records)
    world.net.run(100.0)
    assert len(world.records) == 2


def test_interim_records_come_around_their_interval(world):
    charge = replace(CHARGE, interim=60)
    world.do("begin", charge, HERE, seconds=200.0)
    assert [record.interim_interval for record in world.records] == [60] * 4
    assert world.seen()[1:] == [("INTERIM", 1), ("INTERIM", 2), ("INTERIM", 3)]
    times = [0.0, *(at for at, _ in world.sent[1:])]
    pauses = [after - before for before, after in pairwise(times)]
    assert all(60 * (1 - SPREAD) <= pause <= 60 * (1 + SPREAD) for pause in pauses)
    assert len(set(pauses)) == 3
    world.do("end", LOGOUT, seconds=200.0)
    assert world.seen()[4:] == [("STOP", 4)]


def test_the_server_may_want_other_intervals(world):
    world.answer = 30
    world.do("begin", CHARGE, HERE, seconds=100.0)
    assert len(world.records) == 4
    world.answer = 0
    world.net.run(1000.0)
    assert len(world.records) == 5


def test_who_authenticates_anew_has_another_session_of_the_same_account(world):
    world.total = Usage(100, 1, 200, 2)
    world.do("begin", CHARGE, HERE, seconds=10.0)
    world.total = Usage(150, 2, 200, 2)
    world.do("begin", CHARGE, HERE)  # It is the same still.
    world.do("begin", NEXT, HERE, seconds=10.0)
    world.total = Usage(160, 3, 290, 5)
    world.do("move", Place(OTHER_COA))
    world.do("end", LOGOUT)
    assert world.seen() == [("START", 0), ("STOP", 1), ("START", 0), ("STOP", 1)]
    assert {record.multi_session_id for record in world.records} == {CHARGE.session_id}
    stops = world.records[1], world.records[3]
    assert [record.usage for record in stops] == [Usage(50, 1, 0, 0), Usage(10, 1, 90, 3)]
    assert [record.cause for record in stops] == [TerminationCause.AUTH_EXPIRED, LOGOUT]
    assert world.records[3].care_of_address == OTHER_COA


def test_what_nobody_knows_is_not_told(world):
    world.do("begin", CHARGE, HERE, from_nothing=True)
    world.total = None
    world.do("end", LOGOUT)
    assert world.records[1].usage is None
    assert world.records[1].session_time is not None


@pytest.mark.parametrize(
    "error", [LOST, DiameterError("busy", ResultCode.TOO_BUSY), DiameterError("full", 4002)]
)
def test_what_does_not_arrive_is_sent_again_and_marked(world, error):
    world.answer = error
    world.do("begin", CHARGE, HERE, seconds=REST + 0.1)
    world.answer = None
    world.net.run(2 * RETRY)
    first, again = world.records
    assert (first.again, first.delay) == (False, None)
    assert again.again
    assert again.delay == pytest.approx(REST + RETRY)
    assert again.event_time == first.event_time
    assert replace(again, again=False, delay=None) == first
    world.net.run(PATIENCE)
    assert len(world.records) == 2


def test_what_is_refused_for_good_is_lost_at_once_and_said_so(world):
    world.answer = DiameterError("who?", ResultCode.UNKNOWN_SESSION_ID)
    world.do("begin", CHARGE, HERE, seconds=PATIENCE)
    assert len(world.records) == 1
    (lost,) = world.net.told("RecordLost")
    assert (lost["session_id"], lost["record_number"]) == (CHARGE.session_id, 0)
    assert "who?" in lost["reason"]


def test_one_does_not_try_for_ever(world):
    world.answer = LOST
    world.do("begin", CHARGE, HERE, seconds=2 * PATIENCE)
    pauses = [at for at, _ in world.sent]
    assert 4 < len(pauses) < 12
    assert pauses[-1] <= PATIENCE
    assert len(world.net.told("RecordLost")) == 1


def test_of_interim_records_that_wait_the_last_one_is_left(world):
    """RFC 6733 section 9.5: only one pending interim record of a session."""
    world.answer = LOST
    world.do("begin", replace(CHARGE, interim=5), HERE, seconds=9.5)
    world.answer = None
    world.net.run(12.0)
    world.do("end", LOGOUT, seconds=30.0)
    arrived = {(one.record_type.name, one.record_number) for one in world.records if one.again}
    assert ("START", 0) in arrived
    assert len(world.net.told("RecordLost")) == 0


def test_what_is_told_often_is_told_together(world):
    world.do("begin", CHARGE, HERE, seconds=10.0)
    begun = world.net.clock.now
    for _ in range(50):
        world.do("interim", seconds=APART / 20)
    world.net.run(10 * APART)
    times = [at for at, one in world.sent if one.record_type is Kind.INTERIM]
    assert times == pytest.approx([begun, begun + APART, begun + 2 * APART, begun + 3 * APART])


def test_one_interim_record_is_under_way_at_a_time(world):
    world.answer = SILENT
    world.do("begin", CHARGE, HERE, seconds=10.0)
    for _ in range(4):
        world.do("interim", seconds=APART)
    assert world.seen() == [("START", 0), ("INTERIM", 1)]
    world.host.enter(world.waiting[1], None)
    world.net.run(2 * APART)
    assert world.seen() == [("START", 0), ("INTERIM", 1), ("INTERIM", 2)]


def test_the_memory_is_bounded_and_interim_records_give_way_first(world, monkeypatch):
    monkeypatch.setattr(accounting, "UNCONFIRMED", 4)
    world.answer = SILENT
    world.do("begin", CHARGE, HERE, seconds=10.0)
    world.do("interim")
    world.do("begin", NEXT, HERE)
    assert world.net.told("RecordLost") == []
    world.do("end", LOGOUT)
    world.do("begin", replace(CHARGE, session_id="b.test;1;3"), HERE)
    lost = [(one["session_id"], one["record_number"]) for one in world.net.told("RecordLost")]
    assert lost == [(CHARGE.session_id, 1), (CHARGE.session_id, 0)]


def test_who_has_many_records_displaces_nobody_elses(world, monkeypatch):
    monkeypatch.setattr(accounting, "OWN", 4)
    world.answer = SILENT
    world.do("begin", CHARGE, HERE)
    world.do("end", LOGOUT)
    for number in range(5):
        session_id = f"b.test;2;{number}"
        world.do("begin", replace(CHARGE, session_id=session_id, user_name="other"), HERE)
        world.do("end", LOGOUT)
    lost = {one["session_id"] for one in world.net.told("RecordLost")}
    assert lost == {f"b.test;2;{number}" for number in range(3)}


def test_the_end_waits_a_little_for_what_is_under_way(world):
    host, ended = world.host, []
    world.answer = SILENT
    world.do("begin", CHARGE, HERE)
    world.do("end", LOGOUT)
    host.enter(world.accountant.finish, lambda: ended.append(world.net.clock.now))
    world.net.run(PARTING / 2)
    assert ended == []
    for confirmed in world.waiting:
        host.enter(confirmed, None)
    assert len(ended) == 1
    world.net.run(10.0)
    assert (len(ended), world.net.told("RecordLost")) == (1, [])


def test_the_end_does_not_wait_for_ever(world):
    host, ended = world.host, []
    world.answer = SILENT
    world.do("begin", CHARGE, HERE)
    world.do("end", LOGOUT)
    host.enter(world.accountant.finish, lambda: ended.append(world.net.clock.now))
    world.net.run(10 * PARTING)
    assert ended == [PARTING]
    assert len(world.net.told("RecordLost")) == 2


def test_who_has_nothing_under_way_ends_at_once(world):
    ended = []
    world.accountant.finish(lambda: ended.append(True))
    assert ended == [True]
