"""What the home AAA server keeps of records, and which of them count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.aaa import accounts as module
from agents.aaa.accounts import (
    GAP,
    GRACE,
    KEPT,
    Account,
    Accounts,
    AccountUnfinished,
    RecordRefused,
    RecordRepeated,
    SessionAccounted,
)
from agents.core.record import replace
from agents.core.usage import Usage
from agents.diameter.accounting import AccountingRequest
from agents.diameter.dictionary import AccountingRecordType as Kind
from agents.diameter.errors import DiameterError, ResultCode

NAS, SESSION, IDENTITY = "Router.Visited.test", "router.visited.test;1;2", "mn@home.test"
CLIENT = NAS.lower()
LIFETIME = 100.0


def record(
    kind: Kind, number: int | None, octets: int | None = None, **changes
) -> AccountingRequest:
    usage = None if octets is None else Usage(octets, 1, 2 * octets, 2)
    request = AccountingRequest(
        session_id=SESSION,
        origin_host=NAS,
        origin_realm="visited.test",
        destination_realm="home.test",
        record_type=kind,
        record_number=number,
        session_time=None if octets is None else float(octets),
        usage=usage,
    )
    return replace(request, **changes)


START, INTERIM, STOP = (
    record(Kind.START, 0),
    record(Kind.INTERIM, 1, 10),
    record(Kind.STOP, 2, 20),
)


def within(request: AccountingRequest, name: str) -> AccountingRequest:
    """Return a record of another session within the granted one."""
    return replace(request, session_id=name, multi_session_id=SESSION)


@pytest.fixture
def accounts() -> Accounts:
    accounts = Accounts()
    accounts.expect((CLIENT, SESSION), IDENTITY, LIFETIME, 0.0)
    return accounts


def told(accounts: Accounts) -> list:
    events = list(accounts.events)
    accounts.events.clear()
    return events


def refusal(accounts: Accounts, request: AccountingRequest, now: float = 1.0) -> ResultCode:
    with pytest.raises(DiameterError) as caught:
        accounts.handle(request, now)
    (event,) = told(accounts)
    assert isinstance(event, RecordRefused)
    assert event.reason == str(caught.value)
    return ResultCode(caught.value.result_code)


def test_a_session_is_told_from_its_beginning_to_its_end(accounts):
    for now, request in enumerate((START, INTERIM, STOP), 1):
        accounts.handle(request, float(now))
    events = told(accounts)
    assert [type(event) for event in events] == [SessionAccounted] * 3
    assert [event.record_type for event in events] == ["START", "INTERIM", "STOP"]
    assert {(event.identity, event.client) for event in events} == {(IDENTITY, CLIENT)}
    assert accounts.account(NAS, SESSION) == Account(IDENTITY, STOP.usage, 20.0, True)
    assert len(accounts) == 0


@pytest.mark.parametrize("again", [START, INTERIM, STOP])
def test_what_comes_twice_counts_once(accounts, again):
    for request in (START, INTERIM, STOP):
        accounts.handle(request, 1.0)
    told(accounts)
    before = accounts.account(NAS, SESSION)
    accounts.handle(replace(again, again=True, delay=3.0), 2.0)
    (event,) = told(accounts)
    assert isinstance(event, RecordRepeated)
    assert accounts.account(NAS, SESSION) == before


def test_a_repeated_record_that_has_not_come_counts_and_says_so(accounts):
    accounts.handle(replace(START, again=True), 1.0)
    (event,) = told(accounts)
    assert isinstance(event, SessionAccounted)
    assert event.again


@given(order=st.permutations([(START, 0), (INTERIM, 1), (INTERIM, 2), (STOP, 3)]))
def test_the_order_does_not_matter(order):
    """The sums are those of the last record, whenever it has come, and each counts once."""
    accounts = Accounts()
    accounts.expect((CLIENT, SESSION), IDENTITY, LIFETIME, 0.0)
    for request, number in (*order, *order):
        octets = None if request is START else 10 * number
        usage = None if octets is None else Usage(octets)
        accounts.handle(replace(request, record_number=number, usage=usage), 1.0)
    events = told(accounts)
    counted = [e.record_number for e in events if isinstance(e, SessionAccounted)]
    assert sorted(counted) == [0, 1, 2, 3]
    assert sum(isinstance(event, RecordRepeated) for event in events) == 4
    account = accounts.account(NAS, SESSION)
    assert account is not None
    assert account.usage == Usage(30)
    assert account.finished


@pytest.mark.parametrize(
    "stranger",
    [
        replace(START, session_id="router.visited.test;1;3"),
        replace(START, origin_host="other.visited.test"),
    ],
    ids=["another's session", "another node"],
)
def test_no_record_counts_of_a_session_that_is_not_known_there(accounts, stranger):
    assert refusal(accounts, stranger) == ResultCode.UNKNOWN_SESSION_ID
    accounts.handle(START, 2.0)  # It has done no harm.
    assert isinstance(told(accounts)[0], SessionAccounted)


def test_within_what_is_granted_there_may_be_more_sessions(accounts):
    for request in (START, STOP):
        accounts.handle(request, 1.0)
    more = {"session_id": "router.visited.test;1;9", "multi_session_id": SESSION}
    for request in (START, STOP):
        accounts.handle(replace(request, **more), 2.0)
    told(accounts)
    account = accounts.account(NAS, more["session_id"])
    assert account == Account(IDENTITY, STOP.usage, 20.0, True)
    another = more | {"session_id": "router.visited.test;1;10"}
    foreign = replace(START, origin_host="other.visited.test", **another)
    assert refusal(accounts, foreign) == ResultCode.UNKNOWN_SESSION_ID
    late = replace(START, **another)
    assert refusal(accounts, late, LIFETIME + 1) == ResultCode.UNKNOWN_SESSION_ID


@pytest.mark.parametrize(
    ("before", "then", "code"),
    [
        ((START,), record(Kind.START, 1), ResultCode.CONTRADICTING_AVPS),
        ((START, STOP), record(Kind.STOP, 1, 5), ResultCode.CONTRADICTING_AVPS),
        ((START, STOP), record(Kind.INTERIM, 3, 5), ResultCode.CONTRADICTING_AVPS),
        ((START, replace(INTERIM, record_number=5)), STOP, ResultCode.CONTRADICTING_AVPS),
        ((START,), record(Kind.INTERIM, GAP + 1, 5), ResultCode.INVALID_AVP_VALUE),
        ((), record(Kind.START, 0xFFFFFFFF), ResultCode.INVALID_AVP_VALUE),
    ],
)
def test_what_does_not_go_together_is_refused(accounts, before, then, code):
    for request in before:
        accounts.handle(request, 1.0)
    told(accounts)
    assert refusal(accounts, then) == code


def test_no_more_records_are_outstanding_by_many_leaps_than_by_one(accounts):
    accounts.handle(replace(INTERIM, record_number=GAP - 1), 1.0)
    told(accounts)
    leap = replace(INTERIM, record_number=GAP + 1)
    assert refusal(accounts, leap) == ResultCode.INVALID_AVP_VALUE
    accounts.handle(replace(INTERIM, record_number=GAP), 1.0)  # What is next may come always.
    accounts.handle(START, 1.0)
    accounts.handle(leap, 1.0)
    assert {type(event) for event in told(accounts)} == {SessionAccounted}


def test_a_session_within_a_granted_one_grants_no_more(accounts):
    accounts.handle(within(START, "one"), 1.0)
    told(accounts)
    chained = replace(START, session_id="another", multi_session_id="one")
    assert refusal(accounts, chained) == ResultCode.UNKNOWN_SESSION_ID


def test_a_client_with_many_sessions_displaces_its_own_alone(monkeypatch):
    monkeypatch.setattr(module, "OPEN", 8)
    monkeypatch.setattr(module, "ENDED", 4)
    accounts = Accounts()
    accounts.expect((CLIENT, SESSION), IDENTITY, LIFETIME, 0.0)
    accounts.expect((CLIENT, "ended"), IDENTITY, LIFETIME, 0.0)
    accounts.handle(replace(STOP, session_id="ended"), 1.0)
    for number in range(20):
        accounts.expect(("other.visited.test", str(number)), "other@home.test", LIFETIME, 1.0)
    assert len(accounts) == 5
    accounts.handle(STOP, 2.0)
    for session_id in (SESSION, "ended"):
        account = accounts.account(NAS, session_id)
        assert account is not None
        assert account.finished


def test_within_one_session_many_displace_one_another_alone(accounts, monkeypatch):
    monkeypatch.setattr(module, "WITHIN", 2)
    accounts.expect((CLIENT, "another"), IDENTITY, LIFETIME, 0.0)
    for number in range(5):
        accounts.handle(within(START, f"within {number}"), 1.0)
    given_up = [event for event in told(accounts) if isinstance(event, AccountUnfinished)]
    assert [event.session_id for event in given_up] == ["within 0", "within 1", "within 2"]
    accounts.handle(replace(STOP, session_id="another"), 2.0)
    accounts.handle(STOP, 2.0)
    assert len(accounts) == 2


def test_without_a_stop_an_account_ends_unfinished_after_its_session(accounts):
    accounts.handle(START, 1.0)
    accounts.handle(INTERIM, 2.0)
    told(accounts)
    assert accounts.next_timeout() == LIFETIME + GRACE
    accounts.handle_timeout(LIFETIME + GRACE - 1)
    assert told(accounts) == []
    accounts.handle_timeout(LIFETIME + GRACE)
    (event,) = told(accounts)
    assert isinstance(event, AccountUnfinished)
    assert event.usage == INTERIM.usage
    assert accounts.account(NAS, SESSION) == Account(IDENTITY, INTERIM.usage, 10.0, False)
    accounts.handle(STOP, LIFETIME + GRACE + 1)  # It has been on its way for long.
    assert accounts.account(NAS, SESSION) == Account(IDENTITY, STOP.usage, 20.0, True)
    accounts.handle_timeout(LIFETIME + GRACE + KEPT)
    assert accounts.account(NAS, SESSION) is None
    assert accounts.next_timeout() is None


def test_of_a_node_that_has_started_again_no_stop_is_waited_for(accounts):
    accounts.expect(("other.visited.test", SESSION), IDENTITY, LIFETIME, 0.0)
    accounts.handle(INTERIM, 1.0)
    told(accounts)
    accounts.handle_restart(CLIENT, 2.0)
    (event,) = told(accounts)
    assert isinstance(event, AccountUnfinished)
    assert (event.usage, len(accounts)) == (INTERIM.usage, 1)


def test_a_session_that_is_prolonged_is_waited_for_as_long(accounts):
    accounts.expect((CLIENT, SESSION), IDENTITY, LIFETIME, 50.0)
    assert accounts.next_timeout() == 50.0 + LIFETIME + GRACE


def test_what_has_ended_is_prolonged_with_all_that_is_within(accounts):
    """A key is renewed under the same Session-Id, and bindings come and go meanwhile."""
    for request in (START, STOP, within(START, "first")):
        accounts.handle(request, 1.0)
    renewed = LIFETIME - 1
    accounts.expect((CLIENT, SESSION), IDENTITY, 3 * KEPT, renewed)
    accounts.handle(within(START, "second"), 2 * KEPT)
    accounts.handle(within(INTERIM, "first"), 2 * KEPT)
    events = told(accounts)
    assert {type(event) for event in events} == {SessionAccounted}
    assert accounts.account(NAS, SESSION) == Account(IDENTITY, STOP.usage, 20.0, True)
    over = renewed + 3 * KEPT
    accounts.handle_timeout(over + GRACE - 1)
    assert told(accounts) == []
    assert refusal(accounts, within(START, "third"), over) == ResultCode.UNKNOWN_SESSION_ID
    accounts.handle_timeout(over + GRACE)
    assert {event.session_id for event in told(accounts)} == {"first", "second"}
    assert accounts.account(NAS, SESSION) is None
    accounts.handle_timeout(over + GRACE + KEPT)
    assert accounts.next_timeout() is None


def test_what_was_granted_for_long_is_known_for_as_long(accounts):
    accounts.expect((CLIENT, SESSION), IDENTITY, 3 * KEPT, 0.0)
    accounts.handle(STOP, 1.0)
    accounts.handle(within(START, "later"), 3 * KEPT - 1)
    assert {type(event) for event in told(accounts)} == {SessionAccounted}


def test_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "OPEN", 6)
    monkeypatch.setattr(module, "ENDED", 4)
    accounts = Accounts()
    for number in range(10):
        accounts.expect((CLIENT, str(number)), IDENTITY, LIFETIME, 0.0)
    assert len(accounts) == 3
    events = told(accounts)
    assert [event.session_id for event in events] == [str(number) for number in range(7)]
    assert {type(event) for event in events} == {AccountUnfinished}
    assert accounts.account(NAS, "4") is None
    assert accounts.account(NAS, "6") is not None
    accounts.handle_timeout(LIFETIME + GRACE + KEPT)
    accounts.handle_timeout(LIFETIME + GRACE + 2 * KEPT)
    assert accounts.next_timeout() is None


# By RADIUS, whose records have no numbers


def by_radius(kind: Kind, seconds: int | None = None) -> AccountingRequest:
    return record(kind, None, seconds)


def test_by_radius_what_comes_again_is_known_by_its_time(accounts):
    requests = [
        by_radius(Kind.START),
        by_radius(Kind.INTERIM, 10),
        by_radius(Kind.INTERIM, 20),
        by_radius(Kind.STOP, 25),
    ]
    for request in requests:
        for _ in range(2):
            accounts.handle(request, 1.0)
    events = told(accounts)
    assert [type(event) for event in events] == [SessionAccounted, RecordRepeated] * 4
    assert [event.record_number for event in events[::2]] == [0, 1, 2, 3]
    for request in requests:
        accounts.handle(request, 2.0)
    assert {type(event) for event in told(accounts)} == {RecordRepeated}
    account = accounts.account(NAS, SESSION)
    assert account == Account(IDENTITY, requests[-1].usage, 25.0, True)


def test_by_radius_a_start_may_come_last(accounts):
    accounts.handle(by_radius(Kind.STOP, 5), 1.0)
    accounts.handle(by_radius(Kind.START), 2.0)
    assert [event.record_type for event in told(accounts)] == ["STOP", "START"]
