"""Who owns a home address, from when and until when, and what ends with that."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from ipaddress import IPv6Address

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agents.mip6.home_addresses import Expected, Held, HomeAddresses, Key
from tests.mip6.nodes import AGENT, CARE_OF, HOME, PREFIX

ALICE, BOB = "alice@home.test", "bob@home.test"
OTHER = HOME + 1
EARLY, LATER = Key(b"early", CARE_OF), Key(b"later", None)


@dataclass
class Hanging:
    """What hangs on holds: it ends, unless the kernel refuses."""

    refuses: bool = False
    ended: list[tuple[IPv6Address, str]] = field(default_factory=list)

    def end(self, home_address: IPv6Address, identity: str, _now: float) -> bool:
        self.ended.append((home_address, identity))
        return not self.refuses


@pytest.fixture
def hanging() -> Hanging:
    return Hanging()


@pytest.fixture
def homes(hanging: Hanging) -> HomeAddresses:
    return HomeAddresses(AGENT, PREFIX, owns=lambda _: False, end=hanging.end)


def kinds(homes: HomeAddresses) -> list[str]:
    return [type(event).__name__ for event in homes.events]


@pytest.mark.parametrize(
    "home", [AGENT, OTHER, IPv6Address("2001:db8:200::1"), IPv6Address("fe80::1")]
)
def test_only_home_addresses_are_to_be_had(home, hanging):
    homes = HomeAddresses(AGENT, PREFIX, owns=lambda a: a == OTHER, end=hanging.end)
    assert not homes.hold(home, ALICE, 600.0, 0.0)
    assert not homes.expect(home, ALICE, EARLY, 0.0)
    assert kinds(homes) == ["HomeAddressRefused"] * 2
    assert (homes.usable(ALICE), homes.next_timeout()) == (None, None)


def test_an_address_that_may_be_the_hosts_own_is_not_to_be_had(hanging):
    def owns(_: IPv6Address) -> bool:
        raise OSError("the kernel does not say")

    assert not HomeAddresses(AGENT, PREFIX, owns=owns, end=hanging.end).hold(HOME, ALICE, 1.0, 0.0)


def test_a_home_address_is_one_holders(homes, hanging):
    assert homes.hold(HOME, ALICE, math.inf, 0.0)
    assert not homes.hold(HOME, BOB, math.inf, 0.0)
    assert not homes.expect(HOME, BOB, EARLY, 0.0)
    assert (homes.holder(HOME), homes.home_of(ALICE), homes.home_of(BOB)) == (ALICE, HOME, None)
    homes.release(ALICE, 1.0)
    assert hanging.ended == [(HOME, ALICE)]
    assert (homes.holder(HOME), homes.until(HOME)) == (None, -math.inf)
    assert homes.hold(HOME, BOB, math.inf, 1.0)


def test_a_holder_has_one_home_address(homes, hanging):
    homes.hold(HOME, ALICE, 600.0, 0.0)
    assert homes.hold(OTHER, ALICE, 600.0, 1.0)
    assert hanging.ended == [(HOME, ALICE)]
    assert homes.hold(HOME, BOB, 600.0, 1.0)


def test_a_hold_ends_on_time(homes, hanging):
    homes.hold(HOME, ALICE, 30.0, 0.0)
    homes.handle_timeout(29.0)
    assert homes.until(HOME) == 30.0
    homes.handle_timeout(homes.next_timeout())
    assert hanging.ended == [(HOME, ALICE)]
    assert (homes.usable(ALICE), homes.next_timeout()) == (None, None)
    assert kinds(homes) == ["HomeAddressReleased"]


def test_a_hold_that_is_renewed_goes_on(homes, hanging):
    homes.hold(HOME, ALICE, 30.0, 0.0)
    homes.hold(HOME, ALICE, 90.0, 10.0)
    homes.handle_timeout(31.0)
    homes.hold(HOME, ALICE, math.inf, 80.0)
    homes.handle_timeout(91.0)
    assert (hanging.ended, homes.holder(HOME), homes.next_timeout()) == ([], ALICE, None)


def test_what_is_released_twice_ends_once(homes, hanging):
    homes.hold(HOME, ALICE, 30.0, 0.0)
    homes.release(ALICE, 1.0)
    homes.release(ALICE, 1.0)
    assert hanging.ended == [(HOME, ALICE)]


class TestSessions:
    def test_a_hold_ends_with_the_session_that_has_brought_it(self, homes, hanging):
        homes.hold(HOME, ALICE, 600.0, 0.0, session=1)
        homes.hold(OTHER, BOB, 600.0, 0.0, session=2)
        homes.release_session(1, 1.0)
        homes.release_session(1, 1.0)
        homes.release_session(3, 1.0)
        assert hanging.ended == [(HOME, ALICE)]

    def test_one_who_has_come_again_keeps_it_when_the_session_before_ends(self, homes, hanging):
        homes.hold(HOME, ALICE, 600.0, 0.0, session=1)
        homes.hold(HOME, ALICE, 600.0, 1.0, session=2)
        homes.release_session(1, 2.0)
        assert hanging.ended == []
        homes.release_session(2, 3.0)
        assert hanging.ended == [(HOME, ALICE)]


class TestExpected:
    def test_it_is_for_sas_and_not_to_register(self, homes):
        assert homes.expect(HOME, ALICE, EARLY, 0.0)
        assert homes.usable(ALICE) == Expected(HOME, EARLY)
        assert (homes.holder(HOME), homes.home_of(ALICE)) == (None, None)
        assert homes.until(HOME) == -math.inf

    def test_it_is_nobody_elses(self, homes):
        homes.expect(HOME, ALICE, EARLY, 0.0)
        assert not homes.expect(HOME, BOB, EARLY, 0.0)
        assert not homes.hold(HOME, BOB, 600.0, 0.0)

    def test_it_becomes_a_hold(self, homes, hanging):
        homes.expect(HOME, ALICE, EARLY, 0.0)
        homes.hold(HOME, ALICE, 600.0, 1.0, key=EARLY)
        assert not homes.withdraw(ALICE, EARLY.psk, 2.0)  # Of a conversation that ended before.
        assert homes.usable(ALICE) == Held(HOME, 600.0, EARLY)
        assert hanging.ended == []

    def test_what_is_withdrawn_ends(self, homes, hanging):
        homes.expect(HOME, ALICE, EARLY, 0.0)
        assert not homes.withdraw(ALICE, b"of another authentication", 1.0)
        assert not homes.withdraw(BOB, EARLY.psk, 1.0)
        assert homes.withdraw(ALICE, EARLY.psk, 1.0)
        assert hanging.ended == [(HOME, ALICE)]
        assert homes.hold(HOME, BOB, 600.0, 1.0)

    def test_it_gives_way_to_the_hold_before(self, homes, hanging):
        homes.hold(HOME, ALICE, 600.0, 0.0, key=LATER)
        homes.expect(HOME, ALICE, EARLY, 1.0)
        assert homes.usable(ALICE) == Expected(HOME, EARLY)
        homes.withdraw(ALICE, EARLY.psk, 2.0)
        assert homes.usable(ALICE) == Held(HOME, 600.0, LATER)
        assert hanging.ended == []

    def test_with_the_address_that_was_held_it_ends_once(self, homes, hanging):
        homes.hold(HOME, ALICE, 600.0, 0.0, key=LATER)
        homes.expect(HOME, ALICE, EARLY, 1.0)
        homes.hold(OTHER, ALICE, 600.0, 2.0, key=LATER)
        assert hanging.ended == [(HOME, ALICE)]

    def test_a_hold_that_ends_meanwhile_does_not_come_back(self, homes, hanging):
        homes.hold(HOME, ALICE, 30.0, 0.0, key=LATER)
        homes.expect(HOME, ALICE, EARLY, 1.0)
        homes.handle_timeout(30.0)
        assert hanging.ended == [(HOME, ALICE)]
        assert homes.usable(ALICE) == Expected(HOME, EARLY)
        assert not homes.hold(HOME, BOB, 600.0, 31.0)
        homes.withdraw(ALICE, EARLY.psk, 32.0)
        assert homes.usable(ALICE) is None
        assert hanging.ended == [(HOME, ALICE)] * 2

    @pytest.mark.parametrize("how", ["hold", "expect", "withdraw"])
    def test_sas_for_another_home_address_do_not_outlive_it(self, homes, hanging, how):
        homes.hold(HOME, ALICE, 600.0, 0.0, key=LATER)
        homes.expect(OTHER, ALICE, EARLY, 1.0)
        match how:
            case "hold":
                homes.hold(HOME, ALICE, 600.0, 2.0, key=LATER)
            case "expect":
                homes.expect(HOME, ALICE, LATER, 2.0)
            case "withdraw":
                homes.withdraw(ALICE, EARLY.psk, 2.0)
        assert hanging.ended == [(OTHER, ALICE)]
        assert homes.holder(HOME) == ALICE
        assert homes.hold(OTHER, BOB, 600.0, 3.0)


class TestKernelRefuses:
    def test_the_address_stays_its_owners_until_nothing_is_left(self, homes, hanging):
        hanging.refuses = True
        homes.hold(HOME, ALICE, 30.0, 0.0)
        homes.handle_timeout(30.0)
        assert (homes.holder(HOME), kinds(homes)) == (None, [])
        assert not homes.hold(HOME, BOB, 600.0, 30.5)
        hanging.refuses = False
        homes.handle_timeout(homes.next_timeout())
        assert hanging.ended == [(HOME, ALICE)] * 2
        assert homes.hold(HOME, BOB, 600.0, 32.0)

    def test_its_owner_may_have_it_again(self, homes, hanging):
        hanging.refuses = True
        homes.hold(HOME, ALICE, 600.0, 0.0)
        homes.release(ALICE, 1.0)
        assert homes.hold(HOME, ALICE, math.inf, 1.5)
        assert (homes.holder(HOME), homes.next_timeout()) == (ALICE, None)

    def test_its_owner_may_have_another(self, homes, hanging):
        hanging.refuses = True
        homes.hold(HOME, ALICE, 600.0, 0.0)
        assert homes.hold(OTHER, ALICE, 600.0, 1.0)
        hanging.refuses = False
        homes.handle_timeout(homes.next_timeout())
        assert hanging.ended == [(HOME, ALICE)] * 2
        assert (homes.home_of(ALICE), homes.next_timeout()) == (OTHER, 600.0)


class Ledger(RuleBasedStateMachine):
    """Whatever happens, an address has one owner, and it passes on with nothing left of it."""

    identities = st.sampled_from([ALICE, BOB, "carol@home.test"])
    addresses = st.sampled_from([HOME, OTHER])
    keys = st.sampled_from([EARLY, LATER])

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.refuses = False
        self.left: dict[IPv6Address, set[str]] = {HOME: set(), OTHER: set()}
        self.homes = HomeAddresses(AGENT, PREFIX, owns=lambda _: False, end=self._end)

    def _end(self, home_address: IPv6Address, identity: str, _now: float) -> bool:
        if not self.refuses:
            self.left[home_address].discard(identity)
        return not self.refuses

    @rule(home=addresses, who=identities, seconds=st.sampled_from([5.0, 50.0, math.inf]), key=keys)
    def hold(self, home, who, seconds, key):
        if self.homes.hold(home, who, self.now + seconds, self.now, key=key):
            self.left[home].add(who)
            assert self.homes.holder(home) == who

    @rule(home=addresses, who=identities, key=keys)
    def expect(self, home, who, key):
        if self.homes.expect(home, who, key, self.now):
            self.left[home].add(who)

    @rule(who=identities, key=keys)
    def withdraw(self, who, key):
        self.homes.withdraw(who, key.psk, self.now)

    @rule(who=identities)
    def release(self, who):
        self.homes.release(who, self.now)

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0]))
    def wait(self, seconds):
        self.now += seconds
        self.homes.handle_timeout(self.now)

    @rule(refuses=st.booleans())
    def turn(self, refuses):
        self.refuses = refuses

    @invariant()
    def one_owner(self):
        for home, identities in self.left.items():
            holder = self.homes.holder(home)
            assert len(identities) <= 1
            assert holder is None or holder in identities
            assert holder is None or self.homes.home_of(holder) == home


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=100, deadline=None)
