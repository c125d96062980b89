from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.machine import Discarded
from agents.mip6.codec import (
    BindingAck,
    BindingError,
    BindingRefreshRequest,
    Status,
    decode,
    encode,
)
from agents.mip6.mobile_node import (
    BindingAccepted,
    BindingRefused,
    Failed,
    Idle,
    Registered,
    Registering,
)
from tests.mip6.nodes import CARE_OF, HA, HOME, MN, NEXT_CARE_OF, kinds, mobile_node


def registered(**ack):
    """Return a mobile node with a binding, and drop what it has said so far."""
    mn = mobile_node()
    mn.start(0.0)
    answer(mn, 0.1, **ack)
    mn.outbox.clear()
    mn.events.clear()
    return mn


def answer(mn, now, status=0, lifetime=420, source=HA, **fields):
    sequence = decode(mn.outbox[-1][0]).sequence
    mn.handle_message(encode(BindingAck(status, sequence, lifetime, **fields)), source, now)


@pytest.mark.parametrize("status", [128, 129, 130, 131, 132, 133, 134, 139, 174, 250])
def test_a_refusal_ends_the_registration(status):
    mn = mobile_node()
    mn.start(0.0)
    answer(mn, 0.1, status)
    assert mn.state == Idle()
    assert mn.events[-1].status == Status.of(status)
    assert isinstance(mn.events[-1], BindingRefused)
    assert mn.next_timeout() is None


def test_a_shorter_lifetime_counts_from_the_update():
    assert registered(lifetime=100).state == Registered(100.0, 75.0)


def test_a_longer_lifetime_than_asked_for_is_not_believed():
    assert registered(lifetime=4000).state == Registered(420.0, 315.0)


def test_an_acknowledgement_of_what_is_over_already_does_not_count():
    mn = mobile_node(lifetime=20)
    mn.start(0.0)
    first = decode(mn.outbox[0][0]).sequence
    while mn.next_timeout() < 20.0:
        mn.handle_timeout(mn.next_timeout())
    before = mn.state
    mn.handle_message(encode(BindingAck(0, first, 20)), HA, 20.0)
    assert mn.state == before
    assert kinds(mn)[-1] == "Discarded"
    mn.handle_timeout(mn.next_timeout())
    assert [at for _, at in mn.state.sent] == [0.0, 1.5, 4.5, 10.5, 22.5]
    answer(mn, 23.0, lifetime=20)
    assert mn.state == Registered(42.5, 37.5)


@pytest.mark.parametrize("renewed", [False, True])
def test_a_binding_for_no_time_is_none(renewed):
    mn = registered() if renewed else mobile_node()
    mn.start(315.0)
    answer(mn, 315.1, lifetime=0)
    assert mn.state == Idle()
    assert kinds(mn) == ["BindingUpdateSent", "Failed"]


def test_refresh_advice_shortens_the_interval():
    assert registered(refresh=40).state == Registered(420.0, 40.0)


def test_in_doubt_of_the_prefix_the_binding_is_refreshed_as_late_as_can_be():
    mn = registered(status=1)
    assert mn.state == Registered(420.0, pytest.approx(399.0), in_doubt=True)
    mn.handle_timeout(399.0)
    assert isinstance(mn.state, Registering)
    assert mn.state.expires_at == 420.0


def test_once_the_prefix_is_known_the_binding_is_refreshed_in_time_and_bounded_by_it():
    mn = registered(status=1)
    mn.prefix_learnt(500, 20.0)
    assert mn.state == Registered(420.0, 320.0)
    mn.handle_timeout(320.0)
    assert decode(mn.outbox[-1][0]).lifetime == 200
    answer(mn, 320.0, lifetime=200)
    assert mn.state == Registered(520.0, 470.0)


def test_out_of_window_for_ever_is_given_up():
    mn = mobile_node()
    mn.start(0.0)
    for _ in range(10):
        if mn.state == Idle():
            break
        now = mn.next_timeout() if not mn.outbox else 0.0
        mn.handle_timeout(now)
        answer(mn, now, 135)
    assert next(e for e in mn.events if isinstance(e, BindingRefused)).status == 135


def test_no_more_than_three_updates_a_second():
    mn = mobile_node()
    mn.start(0.0)
    for _ in range(5):
        mn.move(NEXT_CARE_OF, 0.0)
    assert len(mn.outbox) == 3
    assert mn.next_timeout() == 1.0
    mn.handle_timeout(1.0)
    assert len(mn.outbox) == 4


@pytest.mark.parametrize(
    ("link_local", "bit"), [("fe80::1234", True), ("fe80::99", False), (None, False)]
)
def test_l_bit_if_the_interface_identifiers_agree(link_local, bit):
    mn = mobile_node(link_local=link_local and IPv6Address(link_local))
    mn.start(0.0)
    assert decode(mn.outbox[0][0]).link_local is bit


@pytest.mark.parametrize("capable", [True, False])
def test_k_bit(capable):
    mn = mobile_node(key_management=capable)
    mn.start(0.0)
    assert decode(mn.outbox[0][0]).key_management is capable


def test_sequence_numbers_wrap():
    mn = mobile_node()
    mn._sequence = 65535
    mn.start(0.0)
    assert decode(mn.outbox[0][0]).sequence == 0


def test_refresh_request_is_granted():
    mn = registered()
    mn.handle_message(encode(BindingRefreshRequest()), HA, 5.0)
    assert kinds(mn) == ["BindingUpdateSent"]


def test_unknown_binding_is_registered_again():
    mn = registered()
    mn.handle_message(encode(BindingError(1, HOME)), HA, 5.0)
    assert isinstance(mn.state, Registering)


def test_a_home_agent_without_mobility_ends_it():
    mn = mobile_node()
    mn.start(0.0)
    mn.handle_message(encode(BindingError(2, HOME)), HA, 0.1)
    assert mn.events[-1] == Failed(0.1, "the home agent does not know Binding Updates")


def test_answers_of_others_are_discarded():
    mn = mobile_node()
    mn.start(0.0)
    answer(mn, 0.1, source=MN)
    assert mn.events[-1] == Discarded(0.1, MN[0], "not from the home agent")


@pytest.mark.parametrize(
    "data",
    [
        encode(BindingAck(0, 1, 420)),
        encode(BindingRefreshRequest()),
        encode(BindingError(1, HOME)),
        b"\x3b\x01\x06",
    ],
)
def test_what_nobody_asked_for_is_discarded(data):
    mn = mobile_node()
    mn.handle_message(data, HA, 0.0)
    assert kinds(mn) == ["Discarded"]


def test_stop_without_a_binding_does_nothing():
    mn = mobile_node()
    mn.stop(0.0)
    assert (mn.outbox, mn.events) == (type(mn.outbox)(), type(mn.events)())


def test_not_home_agent_is_as_good_as_removed():
    mn = registered()
    mn.stop(5.0)
    answer(mn, 5.1, 133, 0)
    assert mn.state == Idle()
    assert isinstance(mn.events[-1], BindingAccepted)


def test_lifetimes_are_whole_units():
    mn = mobile_node(lifetime=7.9)
    mn.start(0.0)
    assert decode(mn.outbox[0][0]).lifetime == 4
    with pytest.raises(ValueError, match="shorter than"):
        mobile_node(lifetime=3)


@given(st.binary(max_size=80))
def test_random_bytes_do_no_harm(data):
    mn = mobile_node()
    mn.start(0.0)
    mn.handle_message(data, HA, 0.1)
    assert isinstance(mn.state, Registering | Registered | Idle)


def test_at_home_the_update_names_no_care_of_address_and_lasts_nothing():
    mn = registered()
    mn.go_home(10.0)
    sent = decode(mn.outbox[-1][0])
    assert (sent.lifetime, sent.care_of) == (0, None)
    answer(mn, 10.0, lifetime=0)
    assert mn.state == Idle()
    mn.move(CARE_OF, 20.0)
    assert decode(mn.outbox[-1][0]).care_of == CARE_OF


def test_at_home_without_an_answer_trying_goes_on_until_the_binding_is_over():
    mn = registered()
    mn.go_home(10.0)
    while isinstance(mn.state, Registering):
        mn.handle_timeout(mn.next_timeout())
    assert mn.state == Idle()
    assert kinds(mn)[-1] == "BindingExpired"
    assert kinds(mn).count("Unanswered") == 3
    assert "Failed" not in kinds(mn)
