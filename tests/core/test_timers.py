from hypothesis import given
from hypothesis import strategies as st

from agents.core.timers import Timers, earliest


def test_timers_that_are_stopped_or_moved_do_not_pile_up():
    """Whoever makes a node arm and stop timers makes it remember no more for that."""
    timers: Timers[int] = Timers()
    timers.set(0, 5.0)
    for key in range(1, 100_000):
        timers.set(key, 1000.0)
        timers.set(0, 5.0)
        timers.cancel(key)
        assert len(timers._heap) < 100
    assert timers.pop(4.0) is None
    assert timers.pop(5.0) == 0
    assert timers.next() is None


def test_the_earliest_of_several_deadlines_is_none_if_there_is_none():
    assert earliest() is earliest(None, None) is None
    assert earliest(None, 3.0, 1.0, None, 2.0) == 1.0


def test_a_deadline_that_is_set_again_keeps_its_place_and_one_that_was_stopped_does_not():
    timers: Timers[str] = Timers()
    for key in ("a", "b", "a"):
        timers.set(key, 1.0)
    assert timers.pop(1.0) == "a"
    timers.set("a", 1.0)
    assert [timers.pop(1.0) for _ in range(3)] == ["b", "a", None]


def test_the_earliest_comes_first_whatever_was_moved():
    timers: Timers[int] = Timers()
    for key in range(500):
        timers.set(key, float(key))
    for key in range(500):
        timers.set(key, 1000.0 - key)
    assert [timers.pop(2000.0) for _ in range(500)] == [*range(499, -1, -1)]
    assert timers.pop(2000.0) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.floats(0, 100))))
def test_timers_are_the_smallest_of_a_dictionary(changes):
    timers, model = Timers[int](), {}
    for key, deadline in changes:
        if deadline is None:
            timers.cancel(key)
            model.pop(key, None)
        else:
            timers.set(key, deadline)
            model[key] = deadline
        assert timers.next() == min(model.values(), default=None)
    due = []
    while (key := timers.pop(50.0)) is not None:
        due.append(key)
    assert sorted(due) == sorted(key for key, deadline in model.items() if deadline <= 50)
    assert [model[key] for key in due] == sorted(model[key] for key in due)
    later = [deadline for deadline in model.values() if deadline > 50]
    assert timers.next() == min(later, default=None)
