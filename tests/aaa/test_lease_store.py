"""What cannot be stored is not given: a full disk, and a clock that begins anew."""

from __future__ import annotations

import resource
import sqlite3
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agents.aaa.events import LeaseNotStored, SubscriberAuthenticated, SubscriberRejected
from agents.aaa.home_aaa import LEASE_MARGIN, LEAST_LASTING
from agents.aaa.leases import LeaseError, Leases, StoreError
from agents.aaa.subscribers import AddressRange
from tests.aaa.server import home_aaa
from tests.aaa.test_home_aaa import FILE, FIXED, authenticate, make, peer_of
from tests.eap.conversation import IDENTITY, Authority

BASE = IPv6Address("2001:db8:100::")
POOL = AddressRange(BASE + 0x1000, BASE + 0x1003)
FIRST = AddressRange(POOL.first, POOL.first)
A, B = "a@home.test", "b@home.test"
HOUR = 3600.0


@contextmanager
def no_room():
    """Have no file of this process grow, or be written to."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


def give(leases, *arguments, **more):
    """Give a lease, and have it stored."""
    given = leases.lease(*arguments, **more)
    leases.commit()
    return given


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("lease_store"))


def test_nothing_is_given_that_cannot_be_stored(leases, tmp_path):
    with no_room(), pytest.raises(StoreError, match=r"leases\.db: "):
        give(leases, A, "ha1", POOL, lifetime=100.0)
    assert list(leases) == []
    with Leases(tmp_path / "leases.db") as again:
        assert list(again) == []
    assert give(leases, A, "ha1", POOL, lifetime=100.0).unstored == ""
    with no_room(), pytest.raises(StoreError):
        give(leases, B, "ha1", POOL, lifetime=100.0)
    leases.release(A)
    with no_room(), pytest.raises(StoreError):
        leases.commit()
    assert [lease.identity for lease in leases] == [A]
    assert give(leases, B, "ha1", POOL, lifetime=100.0).identity == B


def test_what_is_stored_is_kept_to_its_end_and_no_longer(leases, clock):
    given = give(leases, A, "ha1", POOL, lifetime=100.0)
    clock.now += 40.0
    with no_room(), pytest.raises(StoreError):
        give(leases, A, "ha1", POOL, lifetime=100.0)
    assert leases.lasting(A, given.address) == 60.0
    assert leases.lasting(B, given.address) == leases.lasting(A, POOL.last) == 0.0
    clock.now += 60.0
    assert leases.lasting(A, given.address) == 0.0
    leases.expire()
    leases.commit()
    assert give(leases, B, "ha1", FIRST, lifetime=100.0).address == given.address


def test_a_new_subscriber_is_refused_and_one_that_has_a_lease_stays(authority, leases, clock):
    aaa, names = make(authority, leases), (IDENTITY, "pool@home.test")
    peers = {name: [peer_of(authority, name) for _ in range(4)] for name in names}

    def run(identity=IDENTITY, **more):
        answer = authenticate(aaa, peers[identity].pop(), session=f"b;{clock.now}", **more)
        told = list(aaa.events)
        aaa.events.clear()
        clock.now += 600.0
        return answer, told

    assert run()[0].result_code == 2001
    with no_room():
        answer, told = run("pool@home.test")
        assert (answer.result_code, answer.assignment, answer.msk) == (4002, None, None)
        assert "leases.db: " in answer.error_message
        assert [type(event) for event in told] == [LeaseNotStored, SubscriberRejected]
        assert all("leases.db: " in event.reason for event in told)

        answer, told = run()
        lasts = 3600.0 - 2 * 600.0
        assert (answer.result_code, answer.assignment) == (2001, FIXED)
        assert answer.session_timeout == lasts
        assert [type(event) for event in told] == [LeaseNotStored, SubscriberAuthenticated]
        assert told[1].lasts == lasts

        assert run("pool@home.test", feature_vector=None)[0].result_code == 2001
        clock.now += 1200.0 - LEAST_LASTING + 1.0
        answer, _ = run()
        assert answer.result_code == 4002
    answer, told = run("pool@home.test")
    assert (answer.result_code, answer.session_timeout) == (2001, 3600.0)
    assert [type(event) for event in told] == [SubscriberAuthenticated]


@pytest.mark.parametrize("years", [-40, 10])
def test_a_time_of_day_that_is_wrong_refuses_while_it_is_and_costs_nobody_a_lease(
    authority, leases, clock, years, tmp_path
):
    day, crl = [datetime.now(UTC)], tmp_path / "crl.pem"
    crl.write_bytes(authority.ca.revoke([]).public_bytes(Encoding.PEM))
    aaa = home_aaa(FILE, leases, authority.server_config(crl=crl, clock=lambda: day[0]))

    def run():
        clock.now += 10.0
        return authenticate(aaa, peer_of(authority), session=f"b;{clock.now}")

    before = run()
    day[0] += timedelta(days=365 * years)
    refused = run()
    assert (refused.result_code, refused.assignment) == (4001, None)
    assert [lease.address for lease in leases] == [before.assignment.home_address]
    day[0] -= timedelta(days=365 * years)
    again = run()
    assert (again.result_code, again.assignment) == (2001, before.assignment)


def test_a_clock_that_begins_anew_ends_no_lease_and_keeps_none_for_ever(leases, clock, tmp_path):
    given = give(leases, A, "ha1", POOL, lifetime=HOUR)
    clock.now += 600.0
    give(leases, B, "ha1", POOL, lifetime=HOUR)
    leases.close()
    clock.now = 7.0  # The machine was started again.
    with Leases(tmp_path / "leases.db", clock) as again:
        clock.now += HOUR - 601.0
        with pytest.raises(LeaseError, match="belongs to"):
            give(again, "c@home.test", "ha1", FIRST)
        clock.now += 1.0
        again.expire()
        again.commit()
        assert give(again, "c@home.test", "ha1", FIRST).address == given.address


def test_a_long_time_up_before_the_next_start_is_no_time_that_has_not_passed(tmp_path, clock):
    clock.now = 100.0
    with Leases(tmp_path / "leases.db", clock) as leases:
        give(leases, A, "ha1", FIRST, lifetime=HOUR)
    clock.now = HOUR  # After a reboot, or none: no more than this can be known to have passed.
    with Leases(tmp_path / "leases.db", clock) as leases, pytest.raises(LeaseError):
        give(leases, B, "ha1", FIRST)


def test_several_processes_have_one_time_whatever_was_before(tmp_path, clock):
    path = tmp_path / "leases.db"
    with Leases(path, clock) as leases:
        give(leases, A, "ha1", FIRST, lifetime=HOUR)
    clock.now = 0.0
    with Leases(path, clock) as one, Leases(path, clock) as other:
        clock.now += HOUR - 1.0
        for leases in (one, other):
            with pytest.raises(LeaseError):
                give(leases, B, "ha1", FIRST)
        clock.now += 1.0
        other.expire()
        other.commit()
        assert give(one, B, "ha1", FIRST, lifetime=1.0).address == FIRST.first


def test_leases_of_files_that_have_the_time_of_day_last_as_long(tmp_path, clock):
    path = tmp_path / "leases.db"
    with Leases(path, clock) as leases:
        give(leases, A, "ha1", FIRST, lifetime=HOUR)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DROP TABLE time")
        file.execute("UPDATE authorisations SET until = ?", (time.time() + HOUR,))
    clock.now = 5.0
    with Leases(path, clock) as leases:
        clock.now += HOUR - 60.0
        with pytest.raises(LeaseError):
            give(leases, B, "ha1", FIRST)
        clock.now += 120.0
        leases.expire()
        leases.commit()
        assert give(leases, B, "ha1", FIRST).address == FIRST.first


def test_a_lease_outlasts_its_session_also_where_it_cannot_be_prolonged():
    assert LEASE_MARGIN > LEAST_LASTING > 1.0
