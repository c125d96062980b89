"""Leases, and a clock for them that a test sets."""

import pytest

from agents.aaa.leases import Leases


class Clock:
    """The time of a clock, as a test wants it."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(tmp_path, clock):
    with Leases(tmp_path / "leases.db", clock) as leases:
        yield leases
