"""Medians, intervals and the summary."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.analysis import samples, stats
from testbed.base.phases import PHASES
from testbed.report import style
from testbed.results import folder as results
from tests.testbed import sample


def test_medians_and_intervals():
    found = samples.summarise([1.0, 2.0, 3.0, 4.0, 5.0, 100.0])

    assert (found.median, found.n) == (3.5, 6)
    assert found.mean == pytest.approx(115 / 6)
    assert found.quartiles == (2.25, 4.75)
    assert found.range == found.ci95 == (1.0, 100.0)
    assert samples.summarise([float(n) for n in range(10)]).ci95 == (1.0, 8.0)


def test_what_has_no_interval():
    assert samples.summarise([]) is None
    for n in range(1, 6):
        few = samples.summarise([float(i) for i in range(n)])
        assert few.ci95 is None
        assert few.range == (0.0, n - 1.0)
        assert few.as_json()["ci95"] is None
    assert samples.summarise([2.0] * 6).ci95 == (2.0, 2.0)


def test_intervals_and_ranges_are_written_apart():
    assert style.interval(samples.summarise([0.05])) == "50.0 ms"
    assert style.interval(samples.summarise([0.05, 0.06, 0.07])) == "60.0 ms (50.0 to 70.0)"
    assert style.interval(samples.summarise([1.0, 2.0] * 3)) == "1.50 s [1.00, 2.00]"


@settings(max_examples=25)
@given(st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=40))
def test_the_interval_lies_within_the_sample_and_around_the_median(values):
    found = samples.summarise(values)
    low, high = found.ci95
    ordered = [min(values), low, found.median, high, max(values)]
    for smaller, larger in itertools.pairwise(ordered):
        assert smaller <= larger * (1 + 1e-12)  # Interpolation rounds.


@pytest.mark.parametrize("n", [6, 10, 15])
def test_the_interval_holds_the_median_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    held = 0
    for sample_of in rng.exponential(size=(400, n)):
        low, high = samples.summarise(sample_of.tolist()).ci95
        held += low <= np.log(2) <= high
    assert held >= 0.94 * 400


def test_the_summary_has_the_designed_form(tmp_path):
    loaded = results.load(sample.make(tmp_path, runs=7, captures=False))

    summary = json.loads(stats.write_summary(loaded).read_text())

    assert (summary["experiment"], summary["lab"]) == ("paper", "uml")
    assert summary["paper"]["total"] == 8.4
    assert list(summary["variants"]) == ["script", "resident", "resident-no-dad"]
    assert sum(one["runs"] for one in summary["variants"].values()) == 21
    assert sum(one["succeeded"] for one in summary["variants"].values()) == 20
    for one in summary["variants"].values():
        assert set(one["phases"]) == {*PHASES, "total"}
        for phase in one["phases"].values():
            assert set(phase) >= {"median", "mean", "ci95", "n"}
            assert phase["ci95"][0] <= phase["median"] <= phase["ci95"][1]
            assert phase["n"] == one["succeeded"]
        assert one["largest_disagreement"]["ike"] == pytest.approx(0.0002)
        assert one["costs"]["setup"] == 0.4
    failures = [f for one in summary["variants"].values() for f in one["failures"]]
    assert failures == [{"run": 1, "reason": "timed out <in> IKE"}]
