"""Mistakes put in on purpose are found soon, by the invariant that they break, and minimised."""

from dataclasses import replace

import pytest

from tests.schedules.__main__ import fewest_faults
from tests.schedules.bugs import BUGS, half_open_is_not_limited
from tests.schedules.carried_out import carry_out
from tests.schedules.minimise import minimise
from tests.schedules.scenes import scene
from tests.schedules.schedule import Fault, Schedule, draw

WHERE = {
    "AUTH is not checked": "static",
    "leases are forgotten": "pana-fast",
    "updates in clear are taken": "pana-fast",
}
MOST = 40
"""Schedules of one scene within which each is found."""

BURST = Schedule("pana-ikev1 aggressive", 2, (0.0,), (Fault(70, "burst", "ike"),))
"""A stranger begins a hundred negotiations of IKEv1, as if in the subscriber's name."""


@pytest.mark.parametrize("name", BUGS)
def test_a_mistake_is_found_and_its_schedule_is_made_short(name):
    bug, number = BUGS[name]
    with bug():
        for seed in range(MOST):
            outcome = carry_out(draw(seed, scene(WHERE[name])))
            if outcome.broken is not None:
                break
        assert outcome.broken == number
        fewest = fewest_faults(outcome)
        assert len(fewest.faults) <= 3
        again = carry_out(fewest)
        assert again.broken == number
    assert carry_out(fewest).broken is None


def test_what_is_remembered_of_a_stranger_is_bounded_by_what_bounds_it():
    assert carry_out(BURST).broken is None
    with half_open_is_not_limited():
        assert carry_out(BURST).broken == 6


def test_what_is_left_is_needed():
    schedule = Schedule("static", 0, (0.0, 0.0), tuple(Fault(n, "drop") for n in range(40)))

    def fails(fewer):
        return {3, 17, 18} <= {fault.step for fault in fewer.faults}

    fewest = minimise(schedule, fails)
    assert [fault.step for fault in fewest.faults] == [3, 17, 18]
    assert fewest.starts == (0.0,)
    assert minimise(schedule, lambda _: True) == replace(schedule, starts=(0.0,), faults=())
