"""A home address passes on when its former holder may not use it any more, and not before."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.aaa.events import MobilityRefused
from agents.aaa.home_aaa import LEASE_MARGIN
from agents.aaa.leases import LeaseError, Leases
from agents.aaa.subscribers import AddressRange
from agents.bootstrap.assignment import Assignment
from agents.core.record import replace
from tests.aaa.server import home_aaa
from tests.aaa.test_home_aaa import authenticate, peer_of
from tests.eap.conversation import Authority

BASE = IPv6Address("2001:db8:100::")
POOL = AddressRange(BASE + 0x1000, BASE + 0x1003)
FIRST = AddressRange(POOL.first, POOL.first)
A, B = "a@home.test", "b@home.test"


def moved(leases, lifetime=100.0):
    """Let A have the first address, and then another because the first is reserved for B."""
    assert leases.lease(A, "ha1", POOL, lifetime=lifetime).address == POOL.first
    again = leases.lease(A, "ha1", POOL, {POOL.first}, lifetime=lifetime)
    assert again.address == POOL.first + 1


def test_an_address_that_its_holder_leaves_rests_until_his_authorisation_ends(leases, clock):
    moved(leases)
    clock.now += 99.9
    with pytest.raises(LeaseError, match=r"was a@home\.test's, whose authorisation has not ended"):
        leases.lease(B, "ha1", FIRST, lifetime=100.0)
    clock.now += 0.1
    assert leases.lease(B, "ha1", FIRST, lifetime=100.0).address == POOL.first


def test_a_pool_gives_no_resting_address(leases, clock):
    assert leases.lease(A, "ha1", POOL, lifetime=100.0).address == POOL.first
    assert leases.release(A)
    given = [leases.lease(f"mn{n}@home.test", "ha1", POOL).address for n in range(3)]
    assert POOL.first not in given
    with pytest.raises(LeaseError, match="no home address is free"):
        leases.lease(B, "ha1", POOL, lifetime=100.0)
    clock.now += 100.0
    assert leases.lease(B, "ha1", POOL, lifetime=100.0).address == POOL.first


def test_the_former_holder_himself_may_have_it_back(leases):
    moved(leases)
    assert leases.lease(A, "ha1", FIRST, lifetime=100.0).address == POOL.first


def test_each_authentication_counts_and_a_shorter_one_takes_nothing_back(leases, clock):
    leases.lease(A, "ha1", POOL, lifetime=100.0)
    clock.now += 50.0
    leases.lease(A, "ha1", POOL, lifetime=100.0)
    leases.lease(A, "ha1", POOL, lifetime=10.0)
    leases.release(A)
    clock.now += 99.0
    with pytest.raises(LeaseError):
        leases.lease(B, "ha1", FIRST)
    clock.now += 1.0
    assert leases.lease(B, "ha1", FIRST).address == POOL.first


def test_an_exhausted_pool_is_not_searched_for_every_request(leases, clock, tmp_path):
    for n in range(4):
        leases.lease(f"mn{n}@home.test", "ha1", POOL)
    leases.commit()
    with pytest.raises(LeaseError, match="no home address is free in 2001:db8:100::1000 to"):
        leases.lease(B, "ha1", POOL)
    with Leases(tmp_path / "leases.db") as elsewhere:
        assert elsewhere.release("mn2@home.test")
        elsewhere.commit()
    with pytest.raises(LeaseError, match="no home address is free"):
        leases.lease(B, "ha1", POOL)
    clock.now += 1.0
    assert leases.lease(B, "ha1", POOL).address == POOL.first + 2


def test_it_rests_over_a_restart_too(leases, clock, tmp_path):
    moved(leases)
    leases.commit()
    leases.close()
    with Leases(tmp_path / "leases.db", clock) as again:
        with pytest.raises(LeaseError):
            again.lease(B, "ha1", FIRST)
        clock.now += 100.0
        assert again.lease(B, "ha1", FIRST).address == POOL.first


def test_what_has_ended_is_forgotten(leases, clock):
    for n in range(20):
        leases.lease(A, "ha1", AddressRange(BASE + n, BASE + n), lifetime=10.0)
        clock.now += 5.0
    rows = leases._db.execute("SELECT count(*) FROM authorisations").fetchone()
    assert rows == (2,)


def test_the_load_follows_the_leases(leases, tmp_path):
    leases.lease(A, "ha1", POOL)
    leases.lease(B, "ha1", POOL)
    leases.lease(B, "ha2", AddressRange(BASE + 0x2000, BASE + 0x2001))
    assert leases.load() == {"ha1": 1, "ha2": 1}
    leases.release(A)
    assert leases.load() == {"ha2": 1}
    leases.commit()
    with Leases(tmp_path / "leases.db") as again:
        assert again.load() == {"ha2": 1}


FILE = """
[[home_agents]]
name = "ha1"
address = "2001:db8:100::1"
prefix = "2001:db8:100::/64"

[[subscribers]]
identity = "a@home.test"
home_address = "2001:db8:100::{}"

[[subscribers]]
identity = "b@home.test"
home_address = "2001:db8:100::{}"
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("lease_end"))


def test_a_subscriber_does_not_get_the_address_of_one_whose_session_lasts(authority, leases, clock):
    def server(*addresses):
        file = FILE.format(*addresses)
        return home_aaa(file, leases, authority.server_config(), session_timeout=60.0)

    def run(aaa, name):
        return authenticate(aaa, peer_of(authority, name), session=f"b;{name}")

    def assigned(last):
        return Assignment(BASE + 1, 64, BASE + last)

    first = run(server("aa", "bb"), A)
    assert (first.assignment, first.session_timeout) == (assigned(0xAA), 60.0)

    # The operator gives A's address to B, and another one to A, who is told at once.
    after = server("cc", "aa")
    assert run(after, A).assignment == assigned(0xCC)
    clock.now += 60.0
    refused = run(after, B)
    assert (refused.result_code, refused.assignment) == (2001, None)
    reason = after.events[-2].reason
    assert isinstance(after.events[-2], MobilityRefused)
    assert (
        reason
        == "home address 2001:db8:100::aa was a@home.test's, whose authorisation has not ended"
    )
    clock.now += LEASE_MARGIN
    assert replace(run(server("cc", "aa"), B)).assignment == assigned(0xAA)
