"""Deadlines go by the measured speed of the machine."""

import pytest

from agents.core.patience import SLOWNESS, patient
from testbed.run.speed import USUAL, slower, slowness


def test_a_usual_machine_and_a_faster_one_wait_as_long_as_is_written(monkeypatch):
    monkeypatch.delenv(SLOWNESS, raising=False)
    assert patient(60.0) == 60.0
    for seconds in (USUAL / 10, USUAL):
        monkeypatch.setenv(SLOWNESS, f"{slower(seconds):g}")
        assert patient(60.0) == 60.0


def test_a_slow_machine_waits_in_proportion(monkeypatch):
    monkeypatch.setenv(SLOWNESS, f"{slower(12 * USUAL):g}")
    assert patient(60.0) == pytest.approx(720.0)


def test_this_machine_is_measured():
    assert 1.0 <= slowness() < 100.0
