from __future__ import annotations

import errno
from ipaddress import IPv6Address

import pytest

from agents.core.machine import Carried
from agents.mip6.binding_cache import Bound, DuplicateAddress, KernelRefused, NeighbourSolicited
from agents.mip6.codec import BindingAck, BindingError, OtherMessage, Status, encode
from agents.mip6.home_agent import Limits
from agents.mip6.neighbour import Claim
from tests.mip6.nodes import (
    AGENT,
    CARE_OF,
    HOME,
    MN,
    NEXT_CARE_OF,
    SUBSCRIBER,
    answers,
    home_agent,
    kinds,
    update,
)


@pytest.mark.parametrize(
    ("options", "fields", "status"),
    [
        ({"limits": Limits(bindings=0)}, {}, Status.INSUFFICIENT_RESOURCES),
        ({}, {"lifetime": 0}, Status.NOT_HOME_AGENT),
        ({}, {"care_of": None}, Status.NOT_HOME_AGENT),  # That is a de-registration too (9.5.1).
    ],
)
def test_refusals(options, fields, status):
    ha, kernel = home_agent(**options)
    ha.handle_message(update(5, **fields), MN, 0.0)
    assert answers(ha) == [BindingAck(status, 5, 0)]
    assert kinds(ha) == ["BindingRejected"]
    assert kernel.bound == {}
    # The way back to a care-of address is removed after a while.
    ha.handle_timeout(ha.next_timeout())
    assert (kernel.reached, ha.next_timeout()) == ({}, None)


NEIGHBOUR = HOME + 1


@pytest.mark.parametrize(
    "home", [NEIGHBOUR, AGENT, IPv6Address("2001:db8:200::1"), IPv6Address("2001:db8:b::2")]
)
@pytest.mark.parametrize("lifetime", [420, 0])
def test_a_home_address_that_nobody_holds_the_home_agent_does_not_know(home, lifetime):
    ha, kernel = home_agent()
    for sequence in range(50):
        ha.handle_message(update(sequence, lifetime), (str(home), 0), 0.0)
        ha.handle_message(encode(OtherMessage(99, bytes(2))), (str(home), 0), 0.0)
    assert (answers(ha), ha.bindings, kernel.calls, ha.next_timeout()) == ([], {}, [], None)
    assert set(kinds(ha)) == {"Discarded"}


class TestHold:
    """A binding under the hold of its home address."""

    def test_a_binding_lasts_no_longer_and_nothing_is_left(self):
        ha, kernel = home_agent(held=False)
        ha.homes.hold(HOME, SUBSCRIBER, 21.0, 0.0)
        ha.handle_message(update(1, lifetime=420), MN, 1.0)
        assert answers(ha) == [BindingAck(0, 1, 20)]
        ha.homes.handle_timeout(21.0)
        assert kinds(ha)[-1] == "BindingRemoved"
        assert (ha.bindings, kernel.bound, kernel.reached) == ({}, {}, {})
        ha.handle_message(update(2), MN, 22.0)
        assert (answers(ha), ha.next_timeout()) == ([], None)

    def test_the_end_of_a_hold_ends_a_binding_made_under_a_longer_one(self):
        ha, kernel = home_agent(held=False)
        ha.homes.hold(HOME, SUBSCRIBER, 600.0, 0.0)
        ha.handle_message(update(1, lifetime=420), MN, 0.0)
        ha.homes.hold(HOME, SUBSCRIBER, 30.0, 10.0)
        ha.homes.handle_timeout(30.0)
        assert (ha.bindings, kernel.bound, kernel.reached) == ({}, {}, {})

    def test_a_new_one_goes_on_where_the_old_one_ended(self):
        ha, kernel = home_agent(held=False)
        ha.homes.hold(HOME, SUBSCRIBER, 30.0, 0.0)
        ha.handle_message(update(1), MN, 0.0)
        ha.homes.hold(HOME, SUBSCRIBER, 90.0, 10.0)
        ha.handle_message(update(2, lifetime=60), MN, 11.0)
        ha.homes.handle_timeout(31.0)
        ha.handle_timeout(31.0)
        assert answers(ha)[-1] == BindingAck(0, 2, 60)
        assert kernel.bound == {HOME: CARE_OF}

    def test_one_that_is_about_to_end_gives_no_binding(self):
        ha, kernel = home_agent(held=False)
        ha.homes.hold(HOME, SUBSCRIBER, 3.9, 0.0)
        ha.handle_message(update(1), MN, 0.0)
        assert answers(ha) == [BindingAck(Status.ADMINISTRATIVELY_PROHIBITED, 1, 0)]
        assert kernel.bound == {}

    def test_detection_that_takes_until_the_end_gives_none_either(self):
        ha, kernel = home_agent(detect=True, held=False)
        ha.homes.hold(HOME, SUBSCRIBER, 4.5, 0.0)
        ha.handle_message(update(1), MN, 0.0)
        ha.handle_timeout(1.0)
        assert answers(ha) == [BindingAck(Status.ADMINISTRATIVELY_PROHIBITED, 1, 0)]
        assert kernel.bound == {}

    def test_one_that_ends_while_duplicates_are_looked_for_gives_no_binding(self):
        ha, kernel = home_agent(detect=True)
        ha.handle_message(update(1), MN, 0.0)
        ha.homes.release(SUBSCRIBER, 0.5)
        ha.handle_timeout(1.0)
        ha.duplicate_seen(Claim(HOME), 1.0)
        assert (answers(ha), kernel.bound, ha.next_timeout()) == ([], {}, None)

    def test_an_address_whose_binding_the_kernel_keeps_is_nobody_elses(self):
        ha, kernel = home_agent()
        ha.handle_message(update(1), MN, 0.0)
        kernel.failures["unbind"] = errno.EBUSY
        ha.homes.release(SUBSCRIBER, 1.0)
        assert not ha.homes.hold(HOME, "another@home.test", 600.0, 1.0)
        answers(ha)
        ha.handle_message(update(2), MN, 1.5)
        assert answers(ha) == []
        del kernel.failures["unbind"]
        ha.homes.handle_timeout(ha.homes.next_timeout())
        assert kernel.bound == {}
        assert ha.homes.hold(HOME, "another@home.test", 600.0, 3.0)

    def test_detection_that_ends_while_the_kernel_keeps_the_address_gives_no_binding(self):
        ha, kernel = home_agent(detect=True)
        ha.handle_message(update(1), MN, 0.0)
        kernel.failures["unbind"] = errno.EBUSY
        ha.homes.release(SUBSCRIBER, 0.5)
        ha.handle_timeout(1.0)
        assert answers(ha) == [BindingAck(Status.ADMINISTRATIVELY_PROHIBITED, 1, 0)]
        assert kernel.bound == {}


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        (("fe80::1%eth0", 0), {}),
        (("::1", 0), {}),
        (MN, {"home_registration": False}),
    ],
)
def test_silently_discarded(source, fields):
    ha, kernel = home_agent()
    ha.handle_message(update(5, **fields), source, 0.0)
    assert (answers(ha), kinds(ha), kernel.calls) == ([], ["Discarded"], [])


OWN = IPv6Address("2001:db8:b::2")


@pytest.mark.parametrize(
    "care_of",
    [
        *("::", "::1", "ff02::1", "fe80::2", "fec0::2", "::192.0.2.1", "::ffff:192.0.2.1"),
        *("64:ff9b::192.0.2.1", "100::1", "2001:db8:a::", "2001:db8:a::fdff:ffff:ffff:fffe"),
        # Of the home link: the home agent, a neighbour, another's home address.
        *(str(AGENT), "2001:db8:100::c", str(NEIGHBOUR)),
        str(OWN),
    ],
)
@pytest.mark.parametrize("lifetime", [420, 0])
def test_care_of_addresses_that_cannot_be(care_of, lifetime):
    ha, kernel = home_agent()
    kernel.kernel.owns = {OWN}.__contains__
    ha.handle_message(update(5, lifetime, care_of=IPv6Address(care_of)), MN, 0.0)
    assert (answers(ha), kinds(ha), kernel.calls) == ([], ["Discarded"], [])


def test_a_home_agent_does_not_give_its_own_link_local_address_away():
    ha, kernel = home_agent()
    kernel.kernel.owns = {IPv6Address("fe80::1234")}.__contains__
    ha.handle_message(update(1, link_local=True), MN, 0.0)
    assert answers(ha) == [BindingAck(Status.DUPLICATE_ADDRESS, 1, 0)]
    assert kernel.bound == {}
    ha.handle_message(update(2), MN, 1.0)
    assert kernel.bound == {HOME: CARE_OF}


@pytest.mark.parametrize("sequence", [100, 99, 0, 100 + 32768])
def test_sequence_numbers_out_of_the_window(sequence):
    ha, kernel = home_agent()
    ha.handle_message(update(100), MN, 0.0)
    answers(ha)
    ha.handle_message(update(sequence, care_of=NEXT_CARE_OF), MN, 1.0)
    assert answers(ha) == [BindingAck(135, 100, 0)]
    assert kernel.bound == {HOME: CARE_OF}


@pytest.mark.parametrize("sequence", [101, 100 + 32767])
def test_sequence_numbers_within_the_window(sequence):
    ha, _ = home_agent()
    ha.handle_message(update(100), MN, 0.0)
    ha.handle_message(update(sequence), MN, 1.0)
    assert [a.status for a in answers(ha)] == [0, 0]


@pytest.mark.parametrize(
    ("fields", "meanwhile"),
    [({}, {HOME: CARE_OF}), ({"lifetime": 0, "care_of": None}, {})],
)
def test_a_refusal_to_elsewhere_leads_the_binding_astray_for_a_while_only(fields, meanwhile):
    ha, kernel = home_agent()
    ha.handle_message(update(12, care_of=NEXT_CARE_OF), MN, 0.0)
    ha.handle_message(update(11, **fields), MN, 1.0)
    assert answers(ha)[-1] == BindingAck(Status.SEQUENCE_OUT_OF_WINDOW, 12, 0)
    assert kernel.reached == meanwhile
    ha.handle_timeout(11.0)
    assert kernel.bound == kernel.reached == {HOME: NEXT_CARE_OF}
    assert ha.next_timeout() == 420.0
    ha.handle_timeout(420.0)
    assert (kernel.bound, kernel.reached, ha.next_timeout()) == ({}, {}, None)


def test_lifetime_is_capped_and_advice_given():
    ha, _ = home_agent(limits=Limits(lifetime=102, refresh=40))
    ha.handle_message(update(1), MN, 0.0)
    assert answers(ha) == [BindingAck(0, 1, 100, refresh=40)]
    assert ha.next_timeout() == 100.0


def test_advice_must_be_shorter_than_the_lifetime():
    ha, _ = home_agent(limits=Limits(refresh=40))
    ha.handle_message(update(1, lifetime=40), MN, 0.0)
    assert answers(ha) == [BindingAck(0, 1, 40)]


@pytest.mark.parametrize(("asked", "able"), [(True, True), (True, False), (False, True)])
def test_k_bit_only_if_both_are_able(asked, able):
    ha, _ = home_agent(key_management=able)
    ha.handle_message(update(1, key_management=asked), MN, 0.0)
    assert answers(ha)[0].key_management is (asked and able)


def test_the_kernel_is_ready_before_the_acknowledgement():
    ha, kernel = home_agent()
    ha.handle_message(update(1), MN, 0.0)
    assert [c[0] for c in kernel.calls] == ["bind", "reach"]


def test_a_kernel_that_does_not_bind_is_a_lack_of_resources():
    ha, kernel = home_agent()
    kernel.failures["bind"] = errno.ENOBUFS
    ha.handle_message(update(1), MN, 0.0)
    assert answers(ha) == [BindingAck(130, 1, 0)]
    assert kinds(ha) == ["KernelRefused", "BindingRejected"]
    assert HOME not in ha.bindings
    del kernel.failures["bind"]
    ha.handle_message(update(2), MN, 1.0)
    assert answers(ha) == [BindingAck(0, 2, 420)]


@pytest.mark.parametrize("again", [True, False])
def test_what_the_kernel_did_not_let_go_of_is_tried_again_unless_it_is_bound_again(again):
    ha, kernel = home_agent()
    ha.handle_message(update(1, lifetime=40), MN, 0.0)
    kernel.failures["unbind"] = errno.EBUSY
    ha.handle_timeout(40.0)
    assert HOME not in ha.bindings
    ha.handle_timeout(60.0)
    assert HOME in kernel.bound
    del kernel.failures["unbind"]
    if again:
        ha.handle_message(update(2), MN, 61.0)
    ha.handle_timeout(80.0)
    assert (HOME in kernel.bound) == (HOME in ha.bindings) == again


def test_a_kernel_that_finds_no_way_back_leaves_no_answer():
    ha, kernel = home_agent()
    kernel.failures["reach"] = errno.ENOMEM
    ha.handle_message(update(1), MN, 0.0)
    assert answers(ha) == []
    assert isinstance(ha.events[-1], KernelRefused)


class TestDuplicateAddressDetection:
    def test_an_answer_to_the_probe(self):
        ha, kernel = home_agent(detect=True)
        ha.handle_message(update(1), MN, 0.0)
        assert isinstance(ha.events[0], NeighbourSolicited)
        ha.duplicate_seen(Claim(HOME), 0.5)
        assert answers(ha) == [BindingAck(134, 1, 0)]
        assert ha.events[1] == DuplicateAddress(0.5, HOME, HOME)
        assert (ha.bindings, kernel.bound) == ({}, {})

    def test_another_nodes_probe(self):
        ha, _ = home_agent(detect=True)
        ha.handle_message(update(1), MN, 0.0)
        ha.duplicate_seen(Claim(HOME, b"other!"), 0.5)
        assert answers(ha) == [BindingAck(134, 1, 0)]

    def test_its_own_probe_come_back(self):
        ha, _ = home_agent(detect=True)
        ha.handle_message(update(1), MN, 0.0)
        ha.duplicate_seen(Claim(HOME, ha.events[0].nonce), 0.5)
        ha.handle_timeout(1.0)
        assert answers(ha) == [BindingAck(0, 1, 420)]

    def test_claims_of_other_addresses(self):
        ha, _ = home_agent(detect=True)
        ha.handle_message(update(1), MN, 0.0)
        ha.duplicate_seen(Claim(CARE_OF), 0.5)
        ha.handle_timeout(1.0)
        ha.duplicate_seen(Claim(HOME), 1.5)  # Too late: the kernel defends the address now.
        assert answers(ha) == [BindingAck(0, 1, 420)]

    def test_the_link_local_address_with_the_l_bit(self):
        link_local = IPv6Address("fe80::1234")
        ha, kernel = home_agent(detect=True)
        ha.handle_message(update(1, link_local=True), MN, 0.0)
        assert [e.target for e in ha.events] == [HOME, link_local]
        ha.handle_timeout(1.0)
        assert kernel.calls[0] == ("bind", HOME, CARE_OF, link_local)
        assert kinds(ha)[2:4] == ["NeighbourAdvertised"] * 2

    def test_a_duplicate_of_the_link_local_address(self):
        ha, _ = home_agent(detect=True)
        ha.handle_message(update(1, link_local=True), MN, 0.0)
        ha.duplicate_seen(Claim(IPv6Address("fe80::1234")), 0.5)
        assert answers(ha) == [BindingAck(134, 1, 0)]

    def test_a_movement_meanwhile(self):
        ha, kernel = home_agent(detect=True)
        ha.handle_message(update(1), MN, 0.0)
        ha.handle_message(update(2, care_of=NEXT_CARE_OF), MN, 0.5)
        ha.handle_message(update(1), MN, 0.6)
        ha.handle_timeout(1.0)
        assert answers(ha) == [BindingAck(0, 2, 420)]
        assert kernel.bound == {HOME: NEXT_CARE_OF}

    def test_a_change_of_mind_meanwhile(self):
        ha, kernel = home_agent(detect=True)
        ha.handle_message(update(1), MN, 0.0)
        ha.handle_message(update(2, lifetime=0), MN, 0.5)
        ha.handle_timeout(1.0)
        assert answers(ha) == [BindingAck(Status.NOT_HOME_AGENT, 2, 0)]  # There was none (10.3.2).
        assert kernel.bound == {}
        ha.handle_message(update(1), MN, 1.5)  # One that comes late.
        assert answers(ha) == [BindingAck(Status.SEQUENCE_OUT_OF_WINDOW, 2, 0)]

    def test_again_after_the_binding_is_over(self):
        ha, _ = home_agent(detect=True)
        ha.handle_message(update(1, lifetime=4), MN, 0.0)
        ha.handle_timeout(1.0)
        ha.handle_timeout(5.0)
        assert kinds(ha)[-1] == "BindingRemoved"
        ha.handle_message(update(2), MN, 6.0)
        assert kinds(ha)[-1] == "NeighbourSolicited"


def test_de_registration_at_home_is_answered_without_a_detour():
    ha, kernel = home_agent()
    ha.handle_message(update(1), MN, 0.0)
    ha.handle_message(update(2, lifetime=0, care_of=None), MN, 1.0)
    assert answers(ha)[-1] == BindingAck(0, 2, 0)
    assert kernel.reached == {}


VISITED = (Carried.by(str(HOME), str(CARE_OF)), 0)
"""Where an update comes from that has the Home Address option."""


def test_without_the_option_the_care_of_address_is_where_it_came_from_and_not_to_be_trusted():
    ha, kernel = home_agent()
    ha.handle_message(update(1, care_of=None), VISITED, 0.0)
    assert answers(ha) == [BindingAck(Status.ADMINISTRATIVELY_PROHIBITED, 1, 0)]
    assert (kernel.bound, kernel.reached) == ({}, {HOME: CARE_OF})
    ha.handle_message(update(2), VISITED, 1.0)
    ha.handle_message(update(3, lifetime=0, care_of=None), VISITED, 2.0)
    assert answers(ha) == [BindingAck(0, 2, 420), BindingAck(0, 3, 0)]
    assert (kernel.bound, kernel.reached) == ({}, {HOME: CARE_OF})


def test_a_binding_stays_a_home_registration():
    ha, kernel = home_agent()
    ha.handle_message(update(1), MN, 0.0)
    ha.handle_message(update(1, home_registration=False), MN, 1.0)
    ha.handle_message(update(2, lifetime=0, home_registration=False), MN, 1.0)
    assert answers(ha) == [
        BindingAck(0, 1, 420),
        BindingAck(Status.SEQUENCE_OUT_OF_WINDOW, 1, 0),
        BindingAck(Status.REGISTRATION_TYPE_CHANGE, 2, 0),
    ]
    assert kernel.bound == {HOME: CARE_OF}
    ha.handle_message(update(2), MN, 2.0)
    assert answers(ha) == [BindingAck(0, 2, 420)]


def test_unknown_message_types_are_reported():
    ha, _ = home_agent()
    ha.handle_message(encode(OtherMessage(99, bytes(2))), MN, 0.0)
    assert answers(ha) == [BindingError(2, HOME)]


def test_return_routability_is_left_alone():
    ha, _ = home_agent()
    ha.handle_message(encode(OtherMessage(1, bytes(10))), MN, 0.0)
    assert (answers(ha), kinds(ha)) == ([], ["Discarded"])


def test_many_mobile_nodes():
    ha, kernel = home_agent(held=False)
    homes = [HOME + i for i in range(50)]
    for i, home in enumerate(homes):
        ha.homes.hold(home, f"mn{i}@home.test", 1e6, 0.0)
        ha.handle_message(update(1, care_of=CARE_OF + i), (str(home), 0), float(i))
    assert len(kernel.bound) == 50
    assert ha.homes.holder(homes[0]) == "mn0@home.test"
    assert ha.next_timeout() == 420.0
    ha.handle_timeout(430.0)
    assert len(kernel.bound) == 39
    assert all(isinstance(e, Bound) for e in ha.bindings.values())
