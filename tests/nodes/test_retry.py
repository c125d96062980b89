"""The pauses between attempts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agents.nodes import retry
from agents.nodes.retry import Retry


class Loop:
    """Stands in for the event loop; its time goes on by hand."""

    def __init__(self):
        self.now = 0.0
        self.due = None

    def time(self):
        return self.now

    def call_later(self, pause, call):
        self.due = (pause, call)
        return SimpleNamespace(cancel=lambda: setattr(self, "due", None))

    def wait(self):
        """Let the timer run out and return how long it has run."""
        (pause, call), self.due = self.due, None
        self.now += pause
        call()
        return pause


@pytest.fixture
def loop(monkeypatch):
    loop = Loop()
    monkeypatch.setattr(retry.asyncio, "get_running_loop", lambda: loop)
    return loop


def test_the_pause_doubles_until_an_attempt_lasts(loop):
    attempts = Retry(lambda: None)
    pauses = []
    for _ in range(10):
        attempts.later()
        pauses.append(loop.wait())
        attempts.begun()
        loop.now += 30.0  # It is not answered.
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    loop.now += 30.0
    attempts.later()
    assert loop.wait() == 0.25


def test_there_is_one_timer(loop):
    attempts = Retry(lambda: None)
    attempts.later()
    first = loop.due
    attempts.later()
    assert loop.due is first
    attempts.close()
    assert loop.due is None
