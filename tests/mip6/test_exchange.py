"""Mobile node and home agent against each other on a virtual clock."""

from __future__ import annotations

import itertools

import pytest

from agents.mip6.binding_cache import Bound, Ended
from agents.mip6.codec import BindingAck, BindingUpdate
from agents.mip6.mobile_node import (
    BindingAccepted,
    BindingExpired,
    BindingTimers,
    Idle,
    Registered,
    Unanswered,
)
from tests.mip6.nodes import (
    CARE_OF,
    HOME,
    NEXT_CARE_OF,
    home_agent,
    kinds,
    link,
    messages,
    mobile_node,
)


def test_registration():
    mn, (ha, kernel) = mobile_node(), home_agent()
    over = link(mn, ha)
    mn.start(0.0)
    over.run(until=1.0)
    (_, sent), (_, answer) = messages(over)
    # 1. Binding Update: acknowledge and home registration, Alternate Care-of Address.
    assert sent == BindingUpdate(sent.sequence, 420, True, True, False, False, CARE_OF)
    # 2. Binding Acknowledgement.
    assert answer == BindingAck(0, sent.sequence, 420)
    assert mn.state == Registered(expires_at=420.0, refresh_at=315.0)
    assert kinds(mn) == ["BindingUpdateSent", "BindingAccepted"]
    assert kinds(ha) == ["NeighbourAdvertised", "BindingCreated"]
    assert kernel.bound == kernel.reached == {HOME: CARE_OF}


def test_duplicate_address_detection_delays_the_first_answer_alone():
    mn, (ha, _) = mobile_node(), home_agent(detect=True)
    over = link(mn, ha)
    mn.start(0.0)
    over.run(until=400.0)
    assert [at for at, _ in messages(over)] == [0.0, 1.01, 315.0, 315.01]
    assert kinds(ha) == [
        "NeighbourSolicited",
        "NeighbourAdvertised",
        "BindingCreated",
        "BindingUpdated",
    ]


def test_detection_of_two_probes_is_answered_to_the_last_update():
    from agents.mip6.home_agent import Limits

    mn, (ha, _) = mobile_node(), home_agent(detect=True, limits=Limits(probes=2))
    over = link(mn, ha)
    mn.start(0.0)
    over.run(until=3.0)
    first, again, answer = (m for _, m in messages(over))
    assert again.sequence == first.sequence + 1 == answer.sequence
    assert kinds(ha).count("NeighbourSolicited") == 2
    assert isinstance(mn.state, Registered)


def test_lost_update_is_resent_with_a_new_sequence_number_after_a_second_and_a_half():
    mn, (ha, _) = mobile_node(), home_agent()
    over = link(mn, ha, drop={0})
    mn.start(0.0)
    over.run(until=10.0)
    (t0, first), (t1, second), (_, answer) = messages(over)
    assert (t0, t1) == (0.0, 1.5)
    assert second.sequence == first.sequence + 1 == answer.sequence
    assert mn.state.expires_at == 1.5 + 420


def test_lost_acknowledgement():
    mn, (ha, _) = mobile_node(), home_agent()
    over = link(mn, ha, drop={1})
    mn.start(0.0)
    over.run(until=10.0)
    assert [at for at, _ in messages(over)] == [0.0, 0.01, 1.5, 1.51]
    assert kinds(ha)[-2:] == ["BindingCreated", "BindingUpdated"]
    assert isinstance(mn.state, Registered)


def test_lost_refresh_is_resent_after_a_second():
    mn, (ha, _) = mobile_node(), home_agent()
    over = link(mn, ha, drop={2})
    mn.start(0.0)
    over.run(until=400.0)
    assert [at for at, _ in messages(over)][2:] == [315.0, 316.0, 316.01]


def test_back_off_doubles_up_to_32_seconds_and_does_not_end():
    mn, (ha, _) = mobile_node(), home_agent()
    over = link(mn, ha, drop=range(20))
    mn.start(0.0)
    over.run(until=490.0)
    times = [at for at, _ in messages(over)]
    assert times[:8] == [0.0, 1.5, 4.5, 10.5, 22.5, 46.5, 78.5, 110.5]
    assert {later - at for at, later in itertools.pairwise(times[5:])} == {32.0}
    told = [event for event in mn.events if isinstance(event, Unanswered)]
    assert told == [Unanswered(120.0 * n, "no answer from the home agent") for n in (1, 2, 3, 4)]
    over.run(until=700.0)
    assert isinstance(mn.state, Registered)


def test_of_many_updates_the_last_ones_are_remembered():
    mn = mobile_node()
    mn.start(0.0)
    while (at := mn.next_timeout()) < 3600.0:
        mn.handle_timeout(at)
    assert len(mn.state.sent) == 16
    assert mn.state.sent[-1][1] > 3500.0


def test_slow_acknowledgement_of_an_earlier_update_counts():
    mn, (ha, _) = mobile_node(), home_agent()
    over = link(mn, ha, delay=1.0)
    mn.start(0.0)
    over.run(until=5.0)
    accepted = [e for e in mn.events if isinstance(e, BindingAccepted)]
    assert [e.at for e in accepted] == [2.0]
    assert mn.state.expires_at == 420.0  # Counted from when that update was sent.


def test_movement():
    mn, (ha, kernel) = mobile_node(), home_agent()
    over = link(mn, ha)
    mn.start(0.0)
    over.run(until=10.0)
    mn.move(NEXT_CARE_OF, 10.0)
    over.run(until=20.0)
    assert kernel.bound == kernel.reached == {HOME: NEXT_CARE_OF}
    assert ha.bindings[HOME].care_of == NEXT_CARE_OF
    assert kinds(ha).count("NeighbourAdvertised") == 1


@pytest.mark.parametrize("drop", [set(), {2}, {3}])
def test_de_registration(drop):
    mn, (ha, kernel) = mobile_node(), home_agent()
    over = link(mn, ha, drop=drop)
    mn.start(0.0)
    over.run(until=1.0)
    mn.stop(1.0)
    over.run(until=5.0)
    assert mn.state == Idle()
    assert mn.events[-1].lifetime == 0
    assert kernel.bound == {}
    assert isinstance(ha.bindings[HOME], Ended)
    over.run(until=60.0)
    assert (ha.bindings, kernel.reached) == ({}, {})


def test_a_delayed_update_does_not_bring_back_what_was_de_registered():
    mn, (ha, kernel) = mobile_node(), home_agent()
    over = link(mn, ha)
    mn.start(0.0)
    over.run(until=1.0)
    stale = over.sent[0][2]
    mn.stop(1.0)
    over.run(until=2.0)
    ha.handle_message(stale, (str(HOME), 0), 3.0)
    assert kinds(ha)[-1] == "BindingRejected"
    assert kernel.bound == {}


def test_binding_expires_on_both_sides_when_refreshes_are_lost():
    mn, (ha, kernel) = mobile_node(lifetime=8), home_agent()
    over = link(mn, ha, drop=range(2, 100))
    mn.start(0.0)
    over.run(until=20.0)
    assert BindingExpired(8.0) in mn.events
    assert "BindingRemoved" in kinds(ha)
    assert (kernel.bound, kernel.reached, ha.bindings) == ({}, {}, {})


def test_a_restarted_mobile_node_learns_the_sequence_number():
    mn, (ha, _) = mobile_node(), home_agent()
    ahead = mn._sequence + 100
    ha.bindings[HOME] = Bound(CARE_OF, ahead, None, 420.0)
    over = link(mn, ha)
    mn.start(0.0)
    over.run(until=5.0)
    _, (_, refusal), (at, retry), (_, answer) = messages(over)
    assert (refusal.status, refusal.sequence) == (135, ahead)
    assert (at, retry.sequence) == (0.02, ahead + 1)
    assert answer.status == 0


def test_other_timers():
    timers = BindingTimers(first=2.0, initial=2.0, maximum=8.0)
    mn, (ha, _) = mobile_node(timers=timers), home_agent()
    over = link(mn, ha, drop=range(100))
    mn.start(0.0)
    over.run(until=30.0)
    assert [at for at, _ in messages(over)] == [0.0, 2.0, 6.0, 14.0, 22.0, 30.0]
