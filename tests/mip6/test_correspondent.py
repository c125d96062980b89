"""A correspondent node against those who have no token, an old one, or another's (9.5.1)."""

from __future__ import annotations

import errno
import random
from ipaddress import IPv6Address

import pytest

from agents.core.machine import Carried, Discarded
from agents.kernel.model_port import ModelCorrespondent
from agents.kernel.port import KernelError
from agents.mip6.binding_keys import binding_key, is_authentic, nonce_indices, sealed
from agents.mip6.codec import (
    BindingAck,
    BindingError,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    Message,
    OtherMessage,
    Status,
    decode,
    encode,
)
from agents.mip6.correspondent import CorrespondentNode
from agents.mip6.correspondent_cache import CorrespondentBindingRejected, CorrespondentLimits
from tests.mip6.nodes import CARE_OF, HOME, NEXT_CARE_OF
from tests.mip6.routes import CORRESPONDENT

OTHER_HOME = IPv6Address("2001:db8:100::5678")
COOKIE = bytes(range(8))


class World:
    """A correspondent node, and somebody who hears what is sent to some addresses."""

    def __init__(
        self, kernel: type[ModelCorrespondent] = ModelCorrespondent, **limits: int
    ) -> None:
        self.kernel = kernel(None, CORRESPONDENT)
        self.node = CorrespondentNode(
            CORRESPONDENT,
            kernel=self.kernel,
            rng=random.Random(3),
            limits=CorrespondentLimits(**limits),
        )

    def say(
        self,
        message: bytes,
        source: IPv6Address,
        now: float = 0.0,
        carrier: IPv6Address | None = CARE_OF,
    ) -> list[bytes]:
        text = str(source)
        if source in (HOME, OTHER_HOME) and carrier:
            text = Carried.by(text, str(carrier))
        self.node.handle_message(message, (text, 0), now)
        said = [data for data, _ in self.node.outbox]
        self.node.outbox.clear()
        return said

    def home(self, address: IPv6Address = HOME, now: float = 0.0) -> HomeTest:
        (answer,) = self.say(encode(HomeTestInit(COOKIE)), address, now, None)
        test = decode(answer)
        assert isinstance(test, HomeTest)
        return test

    def care_of(self, address: IPv6Address = CARE_OF, now: float = 0.0) -> CareOfTest:
        (answer,) = self.say(encode(CareOfTestInit(COOKIE)), address, now)
        test = decode(answer)
        assert isinstance(test, CareOfTest)
        return test

    @property
    def bound(self) -> dict[IPv6Address, IPv6Address]:
        return {home: to for (_, home), to in self.kernel.kernel.routes.bound.items()}


def update(
    home: HomeTest,
    care_of: CareOfTest,
    *,
    to: IPv6Address | None = CARE_OF,
    sequence: int = 1,
    lifetime: int = 420,
    **options: bool,
) -> bytes:
    key = binding_key(home.token, care_of.token if lifetime else b"")
    options = {"home_registration": False, **options}
    indices = nonce_indices(home.nonce_index, care_of.nonce_index)
    message = BindingUpdate(sequence, lifetime, care_of=to, options=(indices,), **options)
    return sealed(message, key, (to or CARE_OF) if lifetime else HOME, CORRESPONDENT)


def acknowledged(answers: list[bytes]) -> BindingAck:
    (answer,) = answers
    ack = decode(answer)
    assert isinstance(ack, BindingAck)
    return ack


def test_a_binding_is_granted_to_who_has_both_tokens_and_the_acknowledgement_is_sealed():
    world = World()
    home, care_of = world.home(), world.care_of()
    assert home.cookie == care_of.cookie == COOKIE
    assert not world.node.bindings  # Tests leave nothing behind.
    (answer,) = world.say(update(home, care_of), HOME)
    key = binding_key(home.token, care_of.token)
    assert is_authentic(answer, key, CARE_OF, CORRESPONDENT)
    assert world.bound == {HOME: CARE_OF}


def test_the_care_of_address_may_be_that_of_the_header():
    world = World()
    data = update(world.home(), world.care_of(), to=None)
    assert not world.say(data, HOME, carrier=NEXT_CARE_OF)
    assert acknowledged(world.say(data, HOME)).status == 0
    assert world.bound == {HOME: CARE_OF}


def test_a_test_that_carries_a_home_address_is_not_answered():
    world = World()
    for init in (HomeTestInit(COOKIE), CareOfTestInit(COOKIE)):
        assert not world.say(encode(init), HOME)


def test_no_binding_lasts_longer_than_return_routability_allows():
    world = World()
    data = update(world.home(), world.care_of(), lifetime=4000)
    assert acknowledged(world.say(data, HOME)).lifetime == 420
    world.node.handle_timeout(420.0)
    assert world.bound == {}


def tampered(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def test_what_does_not_prove_itself_is_neither_carried_out_nor_answered():
    world = World()
    home, care_of = world.home(), world.care_of()
    others_home, others_care_of = world.home(OTHER_HOME), world.care_of(NEXT_CARE_OF)
    plain = BindingUpdate(1, 420, home_registration=False, care_of=CARE_OF)
    whole = update(home, care_of)
    forged = [
        encode(plain),
        sealed(plain, binding_key(home.token, care_of.token), CARE_OF, CORRESPONDENT),
        tampered(whole),
        update(others_home, care_of),  # Another's home token.
        update(home, others_care_of),  # A test of another care-of address.
        update(home, care_of, to=NEXT_CARE_OF),  # A victim's care-of address.
        update(home, CareOfTest(care_of.nonce_index, COOKIE, bytes(8))),
        update(HomeTest(home.nonce_index, COOKIE, bytes(8)), care_of),
        whole + bytes((1, 6, 0, 0, 0, 0, 0, 0)),
        update(home, care_of, to=IPv6Address("ff02::1")),
    ]
    for data in forged:
        assert not world.say(data, HOME)
        assert isinstance(world.node.events.pop(), Discarded)
    assert not world.say(whole, OTHER_HOME)  # It is for another home address.
    assert world.bound == {}
    assert acknowledged(world.say(whole, HOME)).status == 0


@pytest.mark.parametrize(
    ("home_at", "care_of_at", "status"),
    [
        (0.0, 241.0, Status.EXPIRED_HOME_NONCE),
        (241.0, 0.0, Status.EXPIRED_CARE_OF_NONCE),
        (0.0, 0.0, Status.EXPIRED_NONCES),
    ],
)
def test_old_nonces_are_refused_by_name_and_without_a_seal(home_at, care_of_at, status):
    world = World()
    order = sorted([(home_at, world.home), (care_of_at, world.care_of)], key=lambda one: one[0])
    made = {test.__name__: test(now=at) for at, test in order}
    (answer,) = world.say(update(made["home"], made["care_of"]), HOME, 241.0)
    ack = decode(answer)
    assert isinstance(ack, BindingAck)
    assert (ack.status, ack.options) == (status, ())
    assert world.bound == {}


def test_a_token_is_good_for_as_long_as_the_standard_says():
    world = World()
    world.home(now=0.0)
    home, care_of = world.home(now=29.9), world.care_of(now=29.9)  # Of the nonce made at 0.
    assert acknowledged(world.say(update(home, care_of), HOME, 29.9 + 210.0)).status == 0


def test_refusals_that_anybody_can_have_said_are_few():
    world = World()
    old = update(world.home(), world.care_of())
    said = [answer for _ in range(1000) for answer in world.say(old, HOME, 300.0)]
    assert len(said) == 10
    assert len(world.kernel.kernel.routes.reached) == 1
    world.node.handle_timeout(310.0)
    assert not world.kernel.kernel.routes.reached


def test_home_registrations_take_no_refusals_of_who_has_old_nonces():
    world = World()
    old = update(world.home(), world.care_of())
    registration = encode(BindingUpdate(1, 420, care_of=NEXT_CARE_OF))
    said = [world.say(registration, OTHER_HOME, 300.0, NEXT_CARE_OF) for _ in range(1000)]
    assert sum(map(len, said)) == 10
    assert acknowledged(world.say(old, HOME, 300.0)).status == Status.EXPIRED_NONCES


def test_address_tests_are_answered_while_a_stranger_sends_thousands_a_second():
    world = World()
    for n in range(8000):
        world.home(IPv6Address(int(OTHER_HOME) + 1 + n), n / 8000)
        if n % 100 == 0:
            world.home(now=n / 8000)  # Is answered.


def test_an_old_update_from_elsewhere_does_not_move_the_way_to_who_is_bound():
    world = World()
    old = update(world.home(), world.care_of(NEXT_CARE_OF), to=NEXT_CARE_OF)
    home, care_of = world.home(now=250.0), world.care_of(now=250.0)
    assert acknowledged(world.say(update(home, care_of), HOME, 250.0)).status == 0
    assert not world.say(old, HOME, 251.0, carrier=NEXT_CARE_OF)
    assert set(world.kernel.kernel.routes.reached.values()) == {CARE_OF}


def test_a_replay_is_told_the_sequence_number_that_counts():
    world = World()
    data = update(world.home(), world.care_of(), sequence=7)
    world.say(data, HOME)
    ack = acknowledged(world.say(data, HOME))
    assert (ack.status, ack.sequence) == (Status.SEQUENCE_OUT_OF_WINDOW, 7)


def test_a_removed_or_expired_binding_is_not_brought_back_by_a_replay():
    world = World()
    home, care_of = world.home(), world.care_of()
    data = update(home, care_of, lifetime=8)
    world.say(data, HOME)
    world.node.handle_timeout(8.0)
    assert world.bound == {}
    assert acknowledged(world.say(data, HOME, 9.0)).status == Status.SEQUENCE_OUT_OF_WINDOW
    removal = update(home, care_of, sequence=2, lifetime=0)
    assert acknowledged(world.say(removal, HOME, 10.0)).lifetime == 0
    assert acknowledged(world.say(data, HOME, 11.0)).status == Status.SEQUENCE_OUT_OF_WINDOW
    world.node.handle_timeout(260.0)
    assert world.node.next_timeout() is None  # Its nonces are gone: so is what they bring back.


def test_a_binding_is_removed_by_who_has_the_home_token():
    world = World()
    home, care_of = world.home(), world.care_of()
    world.say(update(home, care_of), HOME)
    removal = update(home, care_of, sequence=2, lifetime=0)
    (answer,) = world.say(removal, HOME)
    assert is_authentic(answer, binding_key(home.token), HOME, CORRESPONDENT)
    assert world.bound == {}


def bind(world: World, home: IPv6Address, sequence: int = 1) -> int:
    """Return the status of a Binding Update of this home address."""
    tests = world.home(home), world.care_of()
    data = update(*tests, sequence=sequence)
    world.node.handle_message(data, (Carried.by(str(home), str(CARE_OF)), 0), 0.0)
    answers = [data for data, _ in world.node.outbox]
    world.node.outbox.clear()
    return acknowledged(answers).status


def use(world: World, home: IPv6Address) -> None:
    world.kernel.kernel.routes.used[CORRESPONDENT, home] += 1


def homes(prefix: str, number: int) -> list[IPv6Address]:
    return [IPv6Address(f"{prefix}{n:x}") for n in range(1, number + 1)]


def test_bindings_are_limited_and_those_in_use_stay():
    world = World(bindings=2)
    first, second, third, fourth = (IPv6Address(f"2001:db8:{n}::9") for n in range(1, 5))
    for home in (first, second):
        assert bind(world, home) == Status.ACCEPTED
    use(world, first)
    assert bind(world, third) == Status.ACCEPTED
    assert set(world.bound) == set(world.node.bindings) == {first, third}
    use(world, third)
    assert bind(world, fourth) == Status.INSUFFICIENT_RESOURCES
    assert set(world.bound) == set(world.node.bindings) == {first, third}
    assert bind(world, first, sequence=2) == Status.ACCEPTED  # Nothing has gone by it as of now.
    assert bind(world, fourth) == Status.ACCEPTED
    assert set(world.bound) == set(world.node.bindings) == {third, fourth}


def test_who_has_a_link_takes_the_room_of_no_other_link():
    world = World(bindings=8, bindings_of_link=4)
    theirs = homes("2001:db8:1::", 20)
    for home in theirs:
        assert bind(world, home) == Status.ACCEPTED
    assert list(world.bound) == theirs[-4:]
    for home in theirs[-4:]:
        use(world, home)
    assert bind(world, theirs[0]) == Status.INSUFFICIENT_RESOURCES
    others = homes("2001:db8:2::", 4)
    for home in others:
        assert bind(world, home) == Status.ACCEPTED
    assert set(world.bound) == set(world.node.bindings) == {*theirs[-4:], *others}


def test_what_was_displaced_is_not_brought_back_by_a_replay():
    world = World(bindings=1)
    bound = update(world.home(), world.care_of())
    world.say(bound, HOME)
    assert bind(world, OTHER_HOME) == Status.ACCEPTED
    assert acknowledged(world.say(bound, HOME)).status == Status.SEQUENCE_OUT_OF_WINDOW
    assert set(world.bound) == {OTHER_HOME}


def test_a_binding_that_the_kernel_refuses_takes_no_room():
    world = World(bindings=1)
    world.kernel.failures["bind"] = errno.ENOBUFS
    for home in homes("2001:db8:1::", 3):
        assert bind(world, home) == Status.INSUFFICIENT_RESOURCES
    del world.kernel.failures["bind"]
    assert bind(world, HOME) == Status.ACCEPTED
    use(world, HOME)
    assert bind(world, OTHER_HOME) == Status.INSUFFICIENT_RESOURCES


def test_a_removal_where_there_is_no_binding_is_acknowledged_and_leaves_nothing():
    world = World(bindings=1)
    for n in range(1, 50):
        home, care_of = IPv6Address(int(OTHER_HOME) + n), world.care_of()
        key = binding_key(world.home(home).token)
        indices = nonce_indices(care_of.nonce_index, 0)
        removal = BindingUpdate(1, 0, home_registration=False, options=(indices,))
        answers = world.say(sealed(removal, key, home, CORRESPONDENT), home)
        assert acknowledged(answers).status == Status.ACCEPTED
    assert world.node.next_timeout() is None
    assert acknowledged(world.say(update(world.home(), world.care_of()), HOME)).status == 0


def test_bindings_that_are_over_take_no_room_and_of_too_many_the_nonces_are_over():
    world = World(bindings=1)
    tests = world.home(), world.care_of()
    bound = update(*tests)
    world.say(bound, HOME)
    world.say(update(*tests, sequence=2, lifetime=0), HOME)
    other = world.home(OTHER_HOME), world.care_of()
    assert acknowledged(world.say(update(*other), OTHER_HOME)).status == Status.ACCEPTED
    assert acknowledged(world.say(bound, HOME)).status == Status.SEQUENCE_OUT_OF_WINDOW
    key, indices = binding_key(other[0].token), nonce_indices(other[0].nonce_index, 0)
    removal = BindingUpdate(2, 0, home_registration=False, options=(indices,))
    world.say(sealed(removal, key, OTHER_HOME, CORRESPONDENT), OTHER_HOME)
    assert world.bound == {}
    assert acknowledged(world.say(bound, HOME)).status == Status.EXPIRED_NONCES
    assert world.bound == {}
    again = update(world.home(), world.care_of(), sequence=3)
    assert acknowledged(world.say(again, HOME)).status == Status.ACCEPTED


def test_no_home_registration_is_to_be_had():
    world = World()
    ack = acknowledged(world.say(encode(BindingUpdate(1, 420, care_of=CARE_OF)), HOME))
    assert ack.status == Status.HOME_REGISTRATION_NOT_SUPPORTED


def test_a_kernel_that_refuses_makes_no_binding():
    world = World()
    world.kernel.failures["bind"] = 12
    ack = acknowledged(world.say(update(world.home(), world.care_of()), HOME))
    assert ack.status == Status.INSUFFICIENT_RESOURCES
    assert not world.node.bindings


def test_a_binding_whose_use_the_kernel_does_not_tell_is_made_and_ends_in_time():
    world = World()
    world.kernel.failures["used"] = errno.ESRCH
    ack = acknowledged(world.say(update(world.home(), world.care_of()), HOME))
    assert ack.status == Status.ACCEPTED
    assert world.bound == {HOME: CARE_OF}
    while world.bound:
        due = world.node.next_timeout()
        assert due is not None
        assert due <= 420.0
        world.node.handle_timeout(due)
    assert not world.node.bindings


@pytest.mark.parametrize("how", ["removed", "expired"])
def test_what_the_kernel_did_not_let_go_of_is_tried_again(how):
    world = World()
    tests = world.home(), world.care_of()
    world.say(update(*tests), HOME)
    world.kernel.failures["unbind"] = errno.ENOBUFS
    if how == "removed":
        world.say(update(*tests, sequence=2, lifetime=0), HOME)
    else:
        world.node.handle_timeout(420.0)
    assert not world.node.bindings
    for now in (440.0, 460.0):
        world.node.handle_timeout(now)
    assert world.bound == {HOME: CARE_OF}
    del world.kernel.failures["unbind"]
    world.node.handle_timeout(480.0)
    assert world.bound == {}
    assert world.node.next_timeout() is None


class HalfKernel(ModelCorrespondent):
    """Refuses to bind to some care-of addresses, when that is half done."""

    refused: tuple[IPv6Address, ...] = ()

    def bind(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        super().bind(home_address, care_of)
        if care_of in self.refused:
            raise KernelError(errno.ENOBUFS, "no buffer space available")


@pytest.mark.parametrize("back", [True, False])
def test_a_movement_that_is_refused_leaves_the_binding_as_it_was_or_none(back):
    world = World(kernel=HalfKernel)
    tests = world.home(), world.care_of(NEXT_CARE_OF)
    world.say(update(world.home(), world.care_of()), HOME)
    world.kernel.refused = (NEXT_CARE_OF,) if back else (CARE_OF, NEXT_CARE_OF)
    moving = update(*tests, to=NEXT_CARE_OF, sequence=2)
    world.say(moving, HOME, carrier=NEXT_CARE_OF)
    (refusal,) = [e for e in world.node.events if isinstance(e, CorrespondentBindingRejected)]
    assert refusal.status == Status.INSUFFICIENT_RESOURCES
    cache = {home: entry.care_of for home, entry in world.node.bindings.items()}
    assert world.bound == cache == ({HOME: CARE_OF} if back else {})


def errors(world: World) -> list[tuple[Message, str]]:
    return [(decode(data), to) for data, (to, _) in world.node.outbox]


def test_a_home_address_option_without_a_binding_and_an_unknown_type_are_told_of_not_often():
    world = World()
    for _ in range(100):
        world.node.unknown_binding(HOME, CARE_OF, 0.0)
    assert errors(world) == [(BindingError(1, HOME), str(CARE_OF))] * 10
    world.node.outbox.clear()
    world.node.handle_message(encode(OtherMessage(99, bytes(2))), (str(CARE_OF), 0), 5.0)
    assert errors(world) == [(BindingError(2, IPv6Address(0)), str(CARE_OF))]


@pytest.mark.parametrize("source", ["fe80::1%eth0", "ff02::1", "::", "::1"])
def test_who_has_no_global_unicast_address_is_not_answered(source):
    world = World()
    world.node.handle_message(encode(HomeTestInit(COOKIE)), (source, 0), 0.0)
    assert not world.node.outbox
