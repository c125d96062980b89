"""What is said of many mobile nodes that are switched on: of all runs, and how they were."""

import pytest

from testbed.base.phases import PHASES, TOTAL
from testbed.report import storms
from testbed.results import folder as results
from testbed.results.runs import Crowd, Run

SPEC = """
name = "many"
approach = "pana-ikev2"
topology = "operator"
[operator]
mobile_nodes = 4
[sweep]
"links.core.delay" = [0.0, 0.1]
[variants.first]
[variants.second]
arrivals.rate = 4.0
"""
TIMES = dict.fromkeys(PHASES, 0.1) | {TOTAL: 0.5}


def crowd(last, *, failures=0, up=4):
    curve = [(last * n / up, n) for n in range(1, up + 1)]
    reached = {"50": last / 2, "99": last, "100": last} if up == 4 else {"50": last / 2}
    return Crowd(
        nodes=4, up=reached, curve=curve, messages={"PANA": 40}, repeated={"PANA": 10}, dropped={},
        failures=failures, late=0, unanswered=0, busy={}, simulator=0.1, seconds=1.0,
        public_keys="model",
    )  # fmt: skip


def made(root, *there):
    """Write runs of these crowds: variant, delay on the core link, crowd."""
    folder = results.create(root, "many", SPEC, "one")
    for number, (variant, delay, one) in enumerate(there, 1):
        point = {"links.core.delay": delay}
        run = Run(run=number, variant=variant, seed=1, status="ok", phases=TIMES, parameters=point)
        run.crowd = one
        results.append(folder, run)
    return results.load(folder)


def test_a_row_is_of_all_runs_of_a_variant_at_a_point(tmp_path):
    loaded = made(
        tmp_path,
        *(("first", 0.0, crowd(last)) for last in (10.0, 30.0, 20.0)),
        ("first", 0.1, crowd(40.0, failures=20)),
        ("second", 0.1, crowd(50.0)),
        ("second", 0.1, crowd(60.0, up=2)),
    )
    head, rows = storms.rows(loaded)
    told = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["variant"].splitlines() for row in told] == [
        ["first", "core 0 ms", "3 runs"],
        ["first", "core 100 ms"],
        ["second", "core 100 ms", "2 runs"],
    ]
    assert [row["100 %"] for row in told] == ["20.0 s", "40.0 s", "-"]
    assert [row["50 %"] for row in told] == ["10.0 s", "20.0 s", "27.5 s"]
    assert [row["attempts\nfailed"] for row in told] == ["0", "20", "0"]
    assert [row["collapse"] for row in told] == ["no", "yes", "no"]
    assert told[0]["sent\nagain"] == "25.0 %"
    _, (_, *drawn) = storms.figure(loaded)
    assert {(row[0], row[2]) for row in drawn if row[1] == "core 0 ms"} == {
        ("first", 1), ("first", 2), ("first", 3),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variants", "how"),
    [
        (["first"], "4 mobile nodes switched on at once"),
        (["second"], "4 mobile nodes switched on one by one"),
        (["first", "second"], "4 mobile nodes switched on at once or one by one"),
    ],
)
def test_a_figure_says_how_they_were_switched_on(tmp_path, variants, how):
    fig, _ = storms.figure(made(tmp_path, *((name, 0.0, crowd(10.0)) for name in variants)))
    assert fig.texts[1].get_text() == f"Experiment many: {how} (simulated); log scale"
