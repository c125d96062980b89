"""How slow a processor's share of the CPU is made."""

from __future__ import annotations

import pytest

from testbed.run.cpu import REFERENCE_RATE, Processor, Processors, maximum, measure, share


def test_the_reference_is_itself():
    assert share(0.2, REFERENCE_RATE) == 1.0
    assert share(0.1, REFERENCE_RATE) == pytest.approx(0.5)
    assert share(1.0, 10 * 5 * REFERENCE_RATE) == pytest.approx(0.1)


def test_a_processor_is_not_made_faster():
    assert share(4.0, REFERENCE_RATE) == 1.0


@pytest.mark.parametrize(
    ("part", "line"), [(1.0, "10000 10000"), (0.25, "2500 10000"), (0.02, "1000 50000")]
)
def test_quotas_have_short_periods_and_are_no_less_than_the_kernel_wants(part, line):
    assert maximum(part) == line


def test_this_processor_has_a_rate():
    assert measure() > 1e6


def test_a_host_has_one_group(tmp_path):
    processors = Processors(tmp_path, Processor(1.0, 1e9, 0.25))
    processors.assign("A", 1)
    processors.assign("A", 2)
    processors.assign("B", 3)
    assert (tmp_path / "A" / "cpu.max").read_text() == "2500 10000"
    assert (tmp_path / "A" / "cgroup.procs").read_text() == "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A", "B"]
