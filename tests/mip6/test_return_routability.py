"""Return routability and correspondent registrations, both ends (RFC 6275 5.2, 9, 11.6 to 11.8)."""

from __future__ import annotations

from ipaddress import IPv6Address
from itertools import repeat

import pytest

from agents.mip6.codec import (
    BindingAck,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    ErrorStatus,
    HomeTest,
    HomeTestInit,
    Status,
    encode,
)
from agents.mip6.correspondent_cache import CorrespondentLimits
from agents.mip6.update_list import (
    Avoided,
    OptimisationFailed,
    Optimised,
    RouteLost,
    RouteOptimised,
    RouteTimers,
)
from tests.mip6.nodes import CARE_OF, HOME, NEXT_CARE_OF
from tests.mip6.routes import CN, CORRESPONDENT, DELAY, Routes

WHOLE = ["HomeTestInit", "CareOfTestInit", "HomeTest", "CareOfTest", "BindingUpdate", "BindingAck"]


def optimised(**options: object) -> Routes:
    routes = Routes(**options)  # type: ignore[arg-type]
    routes.begin()
    assert routes.kernel.kernel.routes.bound == {(CORRESPONDENT, HOME): CARE_OF}
    return routes


def test_two_tests_make_a_binding():
    routes = optimised()
    assert routes.kinds == WHOLE
    assert routes.sent[-1][0] == pytest.approx(3 * DELAY)
    update, ack = (message for _, _, message in routes.sent[-2:])
    assert (update.lifetime, update.home_registration, update.care_of) == (420, False, CARE_OF)
    assert (ack.status, ack.sequence, ack.lifetime) == (0, update.sequence, 420)
    assert routes.told[-1] == RouteOptimised(pytest.approx(4 * DELAY), CORRESPONDENT, 420)


@pytest.mark.parametrize("number", range(6))
def test_whatever_is_lost_is_sent_again(number):
    routes = Routes(lost=lambda n, _: n == number)
    routes.mn.wanted(CORRESPONDENT, 0.0)
    routes.run(3.0)
    assert "RouteOptimised" in routes.events
    assert 1.0 < routes.told[-1].at < 1.1  # INITIAL_BINDACK_TIMEOUT.
    cookies = [m.cookie for _, _, m in routes.sent if isinstance(m, HomeTestInit | CareOfTestInit)]
    assert len(set(cookies)) == len(cookies)
    sequences = [m.sequence for _, _, m in routes.sent if isinstance(m, BindingUpdate)]
    assert sequences == sorted(set(sequences))


def test_who_does_not_answer_is_left_alone_for_a_while():
    routes = Routes(lost=lambda _n, m: isinstance(m, CareOfTestInit))
    routes.mn.wanted(CORRESPONDENT, 0.0)
    routes.run(60.0)
    inits = [at for at, _, m in routes.sent if isinstance(m, CareOfTestInit)]
    assert inits == [0.0, 1.0, 3.0, 7.0]  # MAX_RO_FAILURE retries, doubling.
    assert isinstance(routes.told[-1], OptimisationFailed)
    routes.mn.wanted(CORRESPONDENT, routes.now)
    routes.run(200.0)
    assert len(routes.sent) == 6  # Four, and one home test with its answer.
    routes.run(400.0)
    assert routes.events[-1] == "CorrespondentForgotten"


def test_a_renewal_goes_on_with_the_binding_and_a_token_that_is_fresh_is_not_asked_for_again():
    routes = optimised()
    routes.forget()
    routes.run(316.0)
    assert routes.kinds == WHOLE  # After 315 s both tokens are old.
    assert "RouteLost" not in routes.events
    routes.forget()
    routes.mn.move(NEXT_CARE_OF, 320.0)
    routes.mn.registered(1e9, 320.0)
    routes.run(321.0)
    assert routes.kinds == [kind for kind in WHOLE if not kind.startswith("Home")]
    assert routes.kernel.kernel.routes.bound == {(CORRESPONDENT, HOME): NEXT_CARE_OF}


def test_after_a_move_the_home_agent_is_told_first():
    routes = optimised()
    routes.forget()
    routes.mn.move(NEXT_CARE_OF, routes.now)
    routes.run(routes.now + 5)
    assert routes.events == ["RouteLost"]
    assert not routes.sent
    routes.mn.registered(1e9, routes.now)
    routes.run(routes.now + 1)
    assert routes.events[-1] == "RouteOptimised"


def test_the_end_of_the_home_registration_removes_the_binding():
    routes = optimised()
    routes.forget()
    routes.mn.stop(routes.now)
    routes.run(routes.now + 1)
    assert routes.kinds == ["BindingUpdate", "BindingAck"]
    assert routes.sent[0][2].lifetime == 0
    assert routes.kernel.kernel.routes.bound == {}
    assert routes.events[-1] == "CorrespondentForgotten"
    assert not routes.mn.correspondents


def test_at_home_bindings_are_removed_from_the_home_address():
    routes = optimised()
    routes.forget()
    routes.mn.come_home(routes.now)
    routes.run(routes.now + 1)
    assert (routes.sent[0][2].lifetime, routes.sent[0][2].care_of) == (0, None)
    assert routes.kernel.kernel.routes.bound == routes.kernel.kernel.routes.reached == {}
    assert not routes.mn.correspondents


def test_a_removal_that_is_lost_is_sent_again_though_the_end_is_told_twice():
    routes = optimised()
    routes.forget()
    routes.lost = lambda _number, _message: len(routes.sent) == 1
    for _ in range(2):
        routes.mn.stop(routes.now)
    routes.run(routes.now + 3)
    assert routes.kinds == ["BindingUpdate", "BindingUpdate", "BindingAck"]
    assert routes.kernel.kernel.routes.bound == {}


def test_sequence_numbers_go_on_from_what_the_correspondent_node_knows():
    routes = optimised()
    (known,) = (m.sequence for _, _, m in routes.sent if isinstance(m, BindingUpdate))
    routes.mn._sequences[CORRESPONDENT] = (known - 5) % 65536
    routes.forget()
    request = encode(BindingRefreshRequest())
    routes.mn.handle_message(request, CN, CARE_OF, routes.now)
    routes.run(routes.now + 1)
    updates = [m.sequence for _, _, m in routes.sent if isinstance(m, BindingUpdate)]
    acks = [(m.status, m.sequence) for _, _, m in routes.sent if isinstance(m, BindingAck)]
    assert acks == [(135, known), (0, updates[1])]


def test_a_binding_error_sends_packets_home_until_there_is_a_binding_again():
    routes = optimised()
    routes.forget()
    error = encode(BindingError(ErrorStatus.UNKNOWN_BINDING, HOME))
    routes.mn.handle_message(error, CN, CARE_OF, routes.now)
    routes.run(routes.now + 1)
    assert [event for event in routes.events if event.startswith("Route")] == [
        "RouteLost",
        "RouteOptimised",
    ]


def test_errors_and_requests_that_anybody_can_send_cost_few_messages():
    routes = optimised()
    routes.forget()
    error = encode(BindingError(ErrorStatus.UNKNOWN_BINDING, HOME))
    for _ in range(200):
        for message in (error, encode(BindingRefreshRequest())):
            routes.mn.handle_message(message, CN, CARE_OF, routes.now)
        routes.run(routes.now + 0.05)
    for kind in (HomeTestInit, CareOfTestInit, BindingUpdate):
        times = [at for at, _, m in routes.sent if isinstance(m, kind)]
        assert all(later - at >= 0.999 for at, later in zip(times, times[3:], strict=False))


def test_a_refresh_is_asked_for_where_a_binding_is_in_use_and_made_at_once():
    limits, timers = CorrespondentLimits(lifetime=40), RouteTimers(refresh=0.99)
    for used in (0, 1):
        routes = optimised(limits=limits, timers=timers)
        routes.kernel.kernel.routes.used[CORRESPONDENT, HOME] += used
        routes.forget()
        routes.run(36.0)
        renewal = [kind for kind in WHOLE if not kind.startswith("Home")]
        assert routes.kinds == (["BindingRefreshRequest", *renewal] if used else [])
    assert routes.sent[0][0] == pytest.approx(34.0, abs=0.1)  # 0.85 of 40 s.


def test_a_binding_that_nobody_uses_ends():
    routes = Routes()
    routes.used = repeat(0)
    routes.begin()
    routes.forget()
    routes.run(421.0)
    assert not routes.sent
    assert not routes.mn.correspondents
    assert routes.kernel.kernel.routes.bound == {}


def test_a_binding_that_ends_is_over_at_both_ends():
    routes = optimised(limits=CorrespondentLimits(lifetime=40))
    routes.lost = lambda _n, m: isinstance(m, BindingUpdate | HomeTestInit)
    routes.run(60.0)
    assert routes.kernel.kernel.routes.bound == {}
    assert any(isinstance(event, RouteLost) for event in routes.told)


def answer(status: int, sequence: int) -> bytes:
    return encode(BindingAck(status, sequence, 0))


def test_what_nobody_asked_for_or_nobody_vouches_for_is_discarded():
    routes = optimised()
    before = dict(routes.mn.correspondents)
    sequence = next(m.sequence for _, _, m in routes.sent if isinstance(m, BindingUpdate))
    for message in (
        encode(HomeTest(1, bytes(8), bytes(8))),
        encode(CareOfTest(1, bytes(8), bytes(8))),
        answer(Status.ACCEPTED, sequence),
        answer(Status.EXPIRED_NONCES, sequence),
        answer(Status.SEQUENCE_OUT_OF_WINDOW, 7),
        b"\x3b\0",
    ):
        routes.mn.handle_message(message, CN, HOME, routes.now)
    assert routes.mn.correspondents == before
    assert not routes.mn.outbox
    routes.mn.handle_message(answer(0, 1), ("2001:db8::bad", 0), HOME, routes.now)
    assert routes.mn.correspondents == before


@pytest.mark.parametrize("status", [0, 135, 128])
def test_an_acknowledgement_without_the_key_counts_for_nothing(status):
    routes = Routes(lost=lambda _n, m: isinstance(m, BindingAck))
    routes.begin()
    update = routes.sent[-2][2]
    assert isinstance(update, BindingUpdate)
    before = dict(routes.mn.correspondents)
    forged = answer(status, update.sequence)
    routes.mn.handle_message(forged, CN, HOME, routes.now)
    assert routes.mn.correspondents == before


def strangers(routes: Routes, number: int, at: float) -> None:
    """Have the mobile node speak to some that do not answer, in a second."""
    for n in range(number):
        address = IPv6Address(int(IPv6Address("2001:db8:bad::1")) + round(at * 1000) + n)
        routes.mn.wanted(address, at + n / number)


def test_strangers_that_do_not_answer_take_no_room_of_who_does():
    routes = Routes(timers=RouteTimers(most=20))
    strangers(routes, 40, 0.0)
    routes.mn.outbox.clear()
    routes.now = 1.0
    routes.begin()
    assert "RouteOptimised" in routes.events
    routes.run(30.0)
    states = [type(state) for state in routes.mn.correspondents.values()]
    assert sorted(state.__name__ for state in states) == ["Avoided"] * 19 + ["Optimised"]
    strangers(routes, 19, 30.0)
    assert Avoided not in map(type, routes.mn.correspondents.values())
    strangers(routes, 40, 31.0)
    assert len(routes.mn.correspondents) == 20
    assert isinstance(routes.mn.correspondents[CORRESPONDENT], Optimised)


def test_who_has_answered_gives_way_to_nobody():
    routes = optimised(timers=RouteTimers(most=1))
    strangers(routes, 1, 10.0)
    assert list(routes.mn.correspondents) == [CORRESPONDENT]


def test_new_correspondent_nodes_are_few_in_a_second():
    routes = Routes()
    strangers(routes, 1000, 0.0)
    assert len(routes.mn.correspondents) == pytest.approx(100, abs=1)  # 50, and 50 at once.
    routes.begin()
    assert not routes.mn.knows(CORRESPONDENT)
    routes.now = 2.0
    routes.begin()
    assert routes.mn.knows(CORRESPONDENT)


UNKNOWN_TYPE = encode(BindingError(ErrorStatus.UNKNOWN_TYPE, IPv6Address(0)))


def test_who_knows_no_mobility_header_says_so_and_is_left_alone():
    routes = Routes(lost=lambda _n, m: isinstance(m, HomeTestInit | CareOfTestInit))
    routes.begin()
    routes.mn.handle_message(UNKNOWN_TYPE, CN, CARE_OF, routes.now)
    assert isinstance(routes.mn.events[-1], OptimisationFailed)


@pytest.mark.parametrize("lost", [HomeTest, CareOfTest, BindingUpdate])
def test_who_has_answered_a_test_is_not_said_to_know_no_mobility_header(lost):
    routes = Routes(lost=lambda _n, m: isinstance(m, lost))
    routes.begin()
    before = dict(routes.mn.correspondents)
    routes.mn.handle_message(UNKNOWN_TYPE, CN, CARE_OF, routes.now)
    assert routes.mn.correspondents == before


@pytest.mark.parametrize(
    "first", [BindingRefreshRequest(), BindingError(ErrorStatus.UNKNOWN_BINDING, HOME)]
)
def test_forged_errors_do_not_end_a_new_test_or_a_removal(first):
    routes = optimised()
    routes.mn.handle_message(encode(first), CN, CARE_OF, routes.now)
    routes.mn.handle_message(UNKNOWN_TYPE, CN, CARE_OF, routes.now)
    routes.run(routes.now + 1)
    assert routes.events[-1] == "RouteOptimised"
    routes.mn.stop(routes.now)
    routes.mn.handle_message(UNKNOWN_TYPE, CN, HOME, routes.now)
    assert CORRESPONDENT in routes.mn.correspondents
    routes.run(routes.now + 1)
    assert routes.kernel.kernel.routes.bound == {}


def test_tokens_that_have_grown_old_are_asked_for_again():
    routes = Routes(lost=lambda _n, m: isinstance(m, BindingUpdate))
    routes.begin()
    updates = [m for _, _, m in routes.sent if isinstance(m, BindingUpdate)]
    routes.forget()
    routes.lost = lambda _n, _m: False
    expired = answer(Status.EXPIRED_NONCES, updates[-1].sequence)
    routes.mn.handle_message(expired, CN, HOME, routes.now)
    routes.run(routes.now + 1)
    assert routes.kinds == WHOLE


def test_a_home_test_counts_at_the_home_address_alone():
    routes = Routes(lost=lambda _n, m: isinstance(m, HomeTest))
    routes.begin()
    answers = [m for _, _, m in routes.sent if isinstance(m, HomeTest)]
    routes.mn.handle_message(encode(answers[-1]), CN, CARE_OF, routes.now)
    assert "AddressesTested" not in routes.events
