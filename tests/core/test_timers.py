from agents.core.timers import Timers


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


def test_the_earliest_comes_first_whatever_was_moved():
    timers: Timers[int] = Timers()
    for key in range(500):
        timers.set(key, float(key))
    for key in range(500):
        timers.set(key, 1000.0 - key)
    assert [timers.pop(2000.0) for _ in range(500)] == [*range(499, -1, -1)]
    assert timers.pop(2000.0) is None
