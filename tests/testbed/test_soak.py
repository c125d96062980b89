"""Steps that are taken again and again: what is held is noted, and judged by its slope."""

import json
import os
import random
from itertools import pairwise

import msgspec
import pytest

from testbed import runner
from testbed.analysis.growth import growth_over, growths, too_short
from testbed.experiment.spec import Spec, SpecError
from testbed.experiment.steps import Expectation
from testbed.report import page, plots, soaks
from testbed.results import folder as results
from testbed.results.runs import Held, Run
from testbed.run import held
from tests.testbed.simulated import carry_out

CYCLES = 8
EXPERIMENT = """
name = "soak"
approach = "pana-ikev1"
topology = "paper"
runs = 1
settings.duplicate_address_detection = false
settings.crowd = { retry_first = 0.01, retry_longest = 0.01 }
[variants.ended]
cycles = 8
sampled = 1
steps = [
    { host = "B", command = "terminate", until = "A BindingAccepted", cuts = true, lasts = 300.0 },
]
[variants.once]
steps = [{ host = "A", command = "ping", until = "A PingAnswered" }]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return carry_out(tmp_path_factory.mktemp("soak"), EXPERIMENT)


def test_each_cycle_is_a_bootstrap_and_nothing_of_it_is_left(folder):
    runs = {run.variant: run for run in results.load(folder).runs}
    ended, once = runs["ended"], runs["once"]

    assert (ended.status, once.status, once.held) == ("ok", "ok", [])
    events = results.run_folder(folder, ended.run) / "events.jsonl"
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert sum(e["event"] == "SubscriberAuthenticated" for e in told) == CYCLES + 1
    assert [one.cycles for one in ended.held] == list(range(1, CYCLES + 1))
    assert all(299 < b.seconds - a.seconds < 400 for a, b in pairwise(ended.held))
    # What the models of kernels were asked for is kept for tests, and is no part of a program.
    grown = {f"{g.whose}: {g.kind}" for g in growths(ended) if g.verdict == "grows"}
    assert grown <= {"ike: objects"}
    assert ended.held[-1].amounts["security associations"] == {"A": 2, "B": 0, "C": 2, "CN": 0}


@pytest.mark.usefixtures("one_format")
def test_it_is_drawn_and_in_the_report(folder):
    loaded = results.load(folder)
    assert folder / "figures" / "soak.svg" in plots.draw(loaded)
    page.write(loaded)
    text = (folder / "report.html").read_text()
    assert "Held over many bootstraps in a row" in text
    _, rows = soaks.rows(loaded)
    assert {row[0] for row in rows} == {"ended"}


def series(amount, number=20):
    return [
        Held(cycles=50 * n, seconds=60.0 * n, amounts={"memory": {"B": amount(n)}})
        for n in range(1, number + 1)
    ]


def judge(amount, number=20):
    run = Run(run=1, variant="x", seed=1, status="failed", held=series(amount, number))
    return growths(run)


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_is_told_from_noise(seed):
    rng = random.Random(seed)
    [leak] = judge(lambda n: 1e6 + 500.0 * n + rng.gauss(0, 300))
    [noise] = judge(lambda _: 1e6 + rng.choice([0, 4096]))
    assert leak.verdict == "grows"
    assert leak.slope == pytest.approx(10.0, rel=0.2)
    assert leak.ci95[0] < leak.slope < leak.ci95[1]
    assert noise.verdict == "flat"


def test_what_fills_at_first_and_one_odd_sample_are_no_growth():
    [filled] = judge(lambda n: min(n, 4) * 1000.0)
    [odd] = judge(lambda n: 5000.0 if n == 20 else 1000.0)
    assert (filled.verdict, filled.slope, filled.ci95) == ("flat", 0.0, (0.0, 0.0))
    assert odd.verdict == "flat"
    assert judge(float, number=5) == []


def test_what_fills_for_four_minutes_is_too_short_to_judge():
    held = [one for one in series(float) if one.seconds < 240 + 4 * 60]
    short = Run(run=1, variant="x", seed=1, status="failed", held=held)
    assert growths(short) == []
    assert too_short(short).startswith("too short to judge: 4 samples after the first 20% and 240")
    long = Run(run=1, variant="x", seed=1, status="failed", held=series(float))
    assert too_short(long) == ""


def test_a_run_that_is_too_short_to_judge_says_so(tmp_path):
    text = EXPERIMENT.replace("cycles = 8", "cycles = 4\nexpect.growth = 0.0")
    folder = carry_out(tmp_path, text.split("[variants.once]")[0])
    loaded = results.load(folder)
    found = json.loads((folder / "summary.json").read_text())["variants"]["ended"]["held"]
    assert found["not_judged"].startswith("too short to judge")
    assert soaks.rows(loaded)[1] == [("ended", "everything", "", "", "", found["not_judged"])]
    assert found["not_judged"] in (folder / "report.html").read_text()
    assert [run.status for run in loaded.runs] == ["ok"]


@pytest.mark.parametrize(("growth", "status"), [(0.0, "failed"), (1e6, "ok"), (None, "ok")])
def test_a_run_in_which_something_grows_has_failed(folder, growth, status):
    loaded = results.load(folder)
    ended = next(run for run in loaded.runs if run.held)
    line = msgspec.to_builtins(ended) | {"held": msgspec.to_builtins(series(float))}
    topology = loaded.spec.topology("ended")
    judged = runner.analyse(folder, line, topology, Expectation(growth=growth))
    assert judged.status == status
    assert judged.reason == ("grows with the cycles: B: memory" if status == "failed" else None)


@pytest.mark.parametrize(
    ("kind", "each", "allowed", "fails"),
    [
        ("memory", 100.0, 0.0, True),
        ("memory", 100.0, 256.0, False),
        ("memory", 300.0, 256.0, True),
        ("routes", 1.0, 256.0, True),
        ("routes", 0.0, 0.0, False),
    ],
)
def test_memory_may_grow_as_far_as_is_allowed_and_nothing_else_may(kind, each, allowed, fails):
    held = [
        Held(cycles=n, seconds=60.0 * n, amounts={kind: {"B": 5.0 + each * n}})
        for n in range(1, 21)
    ]
    run = Run(run=1, variant="x", seed=1, status="failed", held=held)
    assert growth_over(run, allowed) == (f"grows with the cycles: B: {kind}" if fails else "")


def test_what_this_process_holds_is_seen():
    def amounts():
        found = held.of_programs({"me": os.getpid()})
        return {kind: one["me"] for kind, one in found.items()}

    before = amounts()
    reader, writer = os.pipe()
    block = b"x" * (32 << 20)
    after = amounts()
    os.close(reader)
    os.close(writer)
    assert after["descriptors"] == before["descriptors"] + 2
    assert after["memory"] > before["memory"] + len(block) // 2
    assert after["threads"] >= 1


def test_cycles_are_of_steps(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(EXPERIMENT.replace("[variants.once]\n", "[variants.once]\ncycles = 2\n"))
    assert Spec.load(path).variants["once"].cycles == 2
    path.write_text(EXPERIMENT[: EXPERIMENT.index("steps =")])
    with pytest.raises(SpecError, match="`cycles` and `sampled` are for `steps`; there are none"):
        Spec.load(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("sampled = 9", "sampled: what is held would never be noted, for there are 8 cycles; at"),
        ("expect.growth = 0.0", "expect.growth: it is noted nowhere what is held; set `sampled`"),
    ],
)
def test_what_could_never_be_judged_is_refused(tmp_path, change, complaint):
    path = tmp_path / "x.toml"
    path.write_text(EXPERIMENT.replace("sampled = 1", change))
    with pytest.raises(SpecError, match=complaint):
        Spec.load(path)
