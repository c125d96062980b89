"""One commit stores the leases of all who came together, and no answer leaves before it."""

from __future__ import annotations

import sqlite3

import pytest

from agents.aaa.events import LeaseNotStored, SessionEnded, SubscriberAuthenticated
from agents.aaa.home_aaa import LEASE_MARGIN, HomeAaa
from agents.aaa.leases import Leases, StoreError
from agents.aaa.subscribers import AddressRange
from agents.core.later import Later
from agents.core.record import replace
from tests.aaa.server import home_aaa
from tests.aaa.test_home_aaa import ask, identity_response, peer_of
from tests.eap.conversation import Authority

NAMES = [f"mn{number}@home.test" for number in range(5)]
FILE = """
[[home_agents]]
name = "ha1"
address = "2001:db8:100::1"
prefix = "2001:db8:100::/64"
pool = "2001:db8:100::1000-2001:db8:100::1fff"
""" + "".join(f'[[subscribers]]\nidentity = "{name}"\n' for name in NAMES)


POOL, LASTS = AddressRange.parse("2001:db8:100::1000-2001:db8:100::1fff"), 1000.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("group"))


class Together:
    """Subscribers who have all got as far as the response that ends their authentication."""

    def __init__(self, authority, folder):
        self.path = folder / "leases.db"
        self.leases = Leases(self.path)
        self.aaa = home_aaa(FILE, self.leases, authority.server_config(), kind=HomeAaa)
        self.answers = {}
        self.last = {}
        for name in NAMES:
            peer = peer_of(authority, name)
            response = identity_response(peer)
            for _ in range(3):  # Identity; ClientHello; certificate and Finished.
                answer = self.aaa.handle(self.request(name, response), 0.0)
                response = peer.handle_request(answer.eap_payload)
            self.last[name] = response

    @staticmethod
    def request(name, payload):
        return replace(ask(payload, name), user_name=name)

    def put(self, name, payload=None):
        """Put a request, whose answer will be found in `answers` when it is there."""
        answer = self.aaa.handle(self.request(name, payload or self.last[name]), 1.0)
        if isinstance(answer, Later):
            answer.then(lambda told: self.answers.setdefault(name, told))
        else:
            self.answers[name] = answer

    def stored(self):
        """Return who has a lease that outlives the program."""
        with sqlite3.connect(self.path) as other:
            return {name for (name,) in other.execute("SELECT identity FROM leases")}

    def told(self, kind):
        return [event.identity for event in self.aaa.events if isinstance(event, kind)]


@pytest.fixture
def together(authority, tmp_path):
    found = Together(authority, tmp_path)
    yield found
    found.leases.close()


def test_nobody_is_answered_before_all_leases_are_stored(together):
    for name in NAMES:
        together.put(name)
    assert together.aaa.pending
    assert (together.answers, together.stored()) == ({}, set())
    assert together.told(SubscriberAuthenticated) == []
    together.aaa.commit(1.0)
    assert not together.aaa.pending
    assert together.stored() == set(NAMES)
    assert together.told(SubscriberAuthenticated) == NAMES
    addresses = {one.assignment.home_address for one in together.answers.values()}
    assert len(addresses) == len(NAMES)


def test_who_came_together_is_refused_what_cannot_be_stored(together):
    for name in NAMES[:2]:
        together.put(name)
    together.leases._db.execute("ROLLBACK")  # As SQLite does itself on a full disk.
    together.put(NAMES[2])
    for name in NAMES[:2]:
        answer = together.answers[name]
        assert (answer.result_code, answer.assignment) == (4002, None)
    assert set(together.told(LeaseNotStored)) == set(NAMES[:2])
    assert together.stored() == set()
    together.aaa.commit(1.0)
    assert together.answers[NAMES[2]].assignment
    assert together.stored() == {NAMES[2]}


@pytest.mark.parametrize("undone", [False, True])
def test_who_has_a_lease_keeps_it_though_one_statement_fails_amid_others(together, undone):
    """The failure that ends one statement may end the transaction, as SQLite's manual says."""
    held = together.leases.lease(NAMES[1], "ha1", POOL, lifetime=LASTS)
    together.leases.commit()
    fails = "RAISE(ROLLBACK, 'disk I/O error')" if undone else "RAISE(ABORT, 'disk I/O error')"
    together.leases._db.execute(
        f"""
        CREATE TEMP TRIGGER broken BEFORE UPDATE ON authorisations
        WHEN new.identity = '{NAMES[1]}' BEGIN SELECT {fails}; END
        """
    )
    for name in NAMES[:2]:
        together.put(name)
    together.aaa.commit(1.0)
    answer = together.answers[NAMES[1]]
    assert (answer.result_code, answer.assignment.home_address) == (2001, held.address)
    assert answer.session_timeout <= LASTS - LEASE_MARGIN
    assert NAMES[1] in together.told(LeaseNotStored)
    assert (NAMES[0] in together.stored()) is not undone


def test_whoever_asks_again_meanwhile_gets_the_same_answer(together):
    together.put(NAMES[0])
    again = together.aaa.handle(together.request(NAMES[0], together.last[NAMES[0]]), 1.0)
    assert again == together.answers[NAMES[0]]
    assert together.stored() == {NAMES[0]}


def test_what_ends_meanwhile_ends_after_it_has_begun(together):
    together.put(NAMES[0])
    assert together.aaa.withdraw(NAMES[0], 1.0)
    together.aaa.commit(1.0)
    assert together.answers[NAMES[0]].assignment
    kinds = [type(event) for event in together.aaa.events]
    assert kinds.index(SubscriberAuthenticated) < kinds.index(SessionEnded)
    assert together.stored() == set()


def test_who_gives_way_meanwhile_has_been_answered(together):
    together.put(NAMES[0])
    together.aaa.handle_timeout(1000.0)
    assert together.answers[NAMES[0]].assignment
    assert together.told(SubscriberAuthenticated) == [NAMES[0]]
    together.aaa.commit(1000.0)
    assert together.stored() == {NAMES[0]}


def test_who_waits_is_answered_though_nothing_can_be_read_either(together, monkeypatch):
    def fails(*_):
        raise StoreError("disk I/O error")

    for name in NAMES[:2]:
        together.put(name)
    together.leases._db.execute("ROLLBACK")
    monkeypatch.setattr(together.leases, "lasting", fails)
    together.aaa.commit(1.0)
    assert [together.answers[name].result_code for name in NAMES[:2]] == [4002, 4002]


def test_a_bug_that_one_of_them_meets_is_that_ones_alone(together, monkeypatch):
    authorise = together.aaa.sessions.authorise

    def breaks(event, lifetime):
        if event.identity == NAMES[1]:
            raise ZeroDivisionError
        authorise(event, lifetime)

    monkeypatch.setattr(together.aaa.sessions, "authorise", breaks)
    for name in NAMES:
        together.put(name)
    with pytest.raises(ZeroDivisionError):
        together.aaa.commit(1.0)
    assert together.answers.keys() == set(NAMES) - {NAMES[1]}
    assert together.stored() == set(NAMES)
