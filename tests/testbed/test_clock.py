"""The time of day that is set while packets are stamped by it."""

import pytest

from testbed.run.capture import offset, step

MS = 10**6
START = (1_000_000_000 * MS, 1_000_000_000 * MS + 40)


def later(seconds, slack=0):
    """Return what is read after the clock was set by some seconds."""
    by = round(seconds * 1e9)
    return START[0] + by - slack, START[1] + by + slack


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 365 * 86400.0, -365 * 86400.0, 0.002, -0.002])
def test_a_clock_that_was_set_is_told(seconds):
    assert step(START, later(seconds)) == pytest.approx(seconds, abs=1e-6)
    assert step(later(seconds), START) == pytest.approx(-seconds, abs=1e-6)


def test_what_cannot_be_known_is_not_told():
    assert step(START, START) == 0.0
    assert step(START, later(0.02, slack=30 * MS)) == 0.0  # A process may wait between two clocks.


def test_the_clocks_of_this_machine_go_together():
    assert abs(step(offset(), offset())) < 3600.0
    low, high = offset()
    assert low <= high
