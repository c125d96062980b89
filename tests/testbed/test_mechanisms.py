"""What each variant of a cumulative experiment adds."""

from __future__ import annotations

import pytest

from testbed.analysis.mechanisms import explain, is_cumulative, share_rows
from testbed.base.phases import PHASES, TOTAL
from testbed.results import folder as results
from testbed.results.runs import Run

BASE = 'name = "habits"\napproach = "pana-ikev1"\ntopology = "paper"\n'
SPEC = f"{BASE}cumulative = true\n[variants.plain]\n[variants.slower]\n[variants.broken]\n"


def run(number, variant, *lengths):
    phases = dict(zip(PHASES, lengths, strict=True)) | {TOTAL: sum(lengths)}
    return Run(run=number, variant=variant, seed=1, status="ok", phases=phases)


@pytest.fixture
def loaded(tmp_path):
    folder = results.create(tmp_path, "habits", SPEC, "one")
    for one in (
        run(1, "plain", 0.02, 0.0, 0.02, 0.0, 1.0),
        run(2, "slower", 0.02, 3.0, 1.0, 2.0, 1.0),
        run(3, "slower", 0.02, 1.0, 1.04, 2.0, 1.0),
        Run(run=4, variant="broken", seed=1, status="failed", reason="as asked"),
    ):
        results.append(folder, one)
    return results.load(folder)


def test_differences_of_means_and_what_is_left_of_the_paper(loaded):
    shares = explain(loaded)
    assert [(s.name, s.kind) for s in shares] == [
        ("plain", "start"),
        ("slower", "adds"),
        ("together", "together"),
        ("the paper", "paper"),
        ("unexplained", "unexplained"),
    ]
    start, adds, together, paper, left = (s.seconds for s in shares)
    assert adds["pana_to_ike"] == pytest.approx(2.0)
    assert adds["ike"] == pytest.approx(1.0)
    for phase in (*PHASES, TOTAL):
        assert start[phase] + adds[phase] == pytest.approx(together[phase])
        assert together[phase] + left[phase] == pytest.approx(paper[phase])


def test_the_table_has_signs_for_differences(loaded):
    head, rows = share_rows(loaded)
    assert head[0] == "mean seconds"
    assert rows[1] == ("slower", "·", "+2.00", "+1.00", "+2.00", "·", "+5.00")
    assert all(len(row) == len(head) for row in rows)


def test_only_an_experiment_that_says_so_is_cumulative(loaded, tmp_path):
    assert is_cumulative(loaded)
    other = results.create(tmp_path, "other", f"{BASE}[variants.plain]\n", "one")
    assert not is_cumulative(results.load(other))
    assert explain(results.load(other)) == []
