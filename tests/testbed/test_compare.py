"""Comparisons, and the command that shows them."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from testbed.analysis import compare
from testbed.analysis.claims import NOT_SHOWN, SUPPORTED
from testbed.analysis.compare import Sample, holm
from testbed.analysis.fits import interval
from testbed.base.jsonl import DataError
from testbed.base.phases import PHASES, TOTAL
from testbed.base.places import PROJECT
from testbed.cli import main
from testbed.report import tables
from testbed.results import folder as results
from tests.testbed import sample

FAST, SLOW = [0.1, 0.11, 0.12, 0.13, 0.105, 0.11], [0.3, 0.31, 0.32, 0.29, 0.305, 0.3]
FAR = ["--at", "links.access.delay=0.1", "--at", "links.core.delay=0.1"]


def pair(one, other):
    return strata({"": one}, {"": other})


def strata(one, other):
    (made,) = compare.compare([Sample("one", one), Sample("other", other)])
    return made


def test_a_clear_difference():
    made = pair(FAST, [0.3, 0.31, 0.32, 0.29, 0.305, 0.33])

    assert made.difference == pytest.approx(0.3075 - 0.11)
    assert made.ratio == pytest.approx(0.3075 / 0.11)
    assert made.difference_ci95[0] <= made.difference <= made.difference_ci95[1]
    assert made.ratio_ci95[0] <= made.ratio <= made.ratio_ci95[1]
    assert (made.points, made.n, made.delta, made.size) == (1, (6, 6), 1.0, "large")
    assert made.p_least == pytest.approx(2 / 924)  # Two of the ways to choose six of twelve.
    assert made.verdict == "longer"
    assert pair(SLOW, FAST).verdict == "shorter"
    assert pair([1.0, 2, 3, 4], [5.0, 6, 7, 8]).p == pytest.approx(2 / 70)


def test_no_difference():
    made = pair(FAST, FAST)
    assert (made.verdict, made.delta, made.p) == ("not told apart", 0.0, 1.0)


@pytest.mark.parametrize(
    ("n", "verdict"), [(1, "too few runs"), (3, "too few runs"), (4, "longer")]
)
def test_too_few_runs_find_nothing(n, verdict):
    few = pair([0.1 + i / 1e3 for i in range(n)], [0.3 + i / 1e3 for i in range(n)])

    assert (few.verdict, few.difference_ci95, few.ratio_ci95) == (verdict, None, None)


def test_runs_that_would_do_for_one_comparison_are_too_few_for_many():
    found = [Sample(name, {"": [i + n / 10 for n in range(4)]}) for i, name in enumerate("abc")]

    assert {one.verdict for one in compare.compare(found)} == {"too few runs"}
    assert {one.verdict for one in compare.compare(found[:2])} == {"longer"}


def points(shift, rng, runs=3):
    """Return runs at ten points that lie much farther apart than the shift."""
    return {str(i): (i + shift + rng.normal(0, 0.05, runs)).tolist() for i in range(10)}


def test_few_runs_at_many_points_tell_apart():
    rng = np.random.default_rng(5)
    made = strata(points(0, rng), points(0.1, rng))

    assert (made.verdict, made.points, made.n) == ("longer", 10, (30, 30))
    assert made.difference == pytest.approx(0.1, abs=0.05)
    assert made.difference_ci95[0] < 0.1 < made.difference_ci95[1]
    assert 0.5 < made.delta <= 1
    assert pair(*[np.concatenate(list(points(s, rng).values())) for s in (0, 0.1)]).p > 0.5
    assert made == strata(*[points(s, r) for r in [np.random.default_rng(5)] for s in (0, 0.1)])


def test_what_is_compared_of_several_points_is_the_mean_of_their_medians():
    one, other = {"near": [1.0, 2.0, 9.0], "far": [10.0, 20.0, 90.0]}, {"near": [3.0], "far": [5.0]}
    made = strata(one, other)
    assert made.mean_of_medians == (11.0, 4.0)
    assert (made.difference, made.ratio) == (-7.0, 4 / 11)
    assert made.as_json()["mean_of_medians"] == (11.0, 4.0)
    [heading] = [one for one in tables.comparison_rows([made])[0] if "median" in one]
    assert heading == "mean of the\npoints' medians"
    assert pair([1.0, 2.0, 9.0], [3.0]).mean_of_medians == (2.0, 3.0)
    assert "medians" in tables.comparison_rows([pair([1.0, 2.0, 9.0], [3.0])])[0]


def test_points_without_a_difference_are_told_apart_as_seldom_as_is_said():
    rng = np.random.default_rng(6)
    told = [
        compare._test([(rng.normal(i, 1, 3), rng.normal(i, 1, 3)) for i in range(6)], seed)[0]
        for seed in range(200)
    ]

    assert 2 <= sum(p < 0.05 for p in told) <= 20


def test_intervals_over_points_hold_the_truth():
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(60):
        first, second = compare._means_of_medians(
            [(rng.exponential(1, 3), 0.5 + rng.exponential(1, 3)) for _ in range(10)], seed
        )
        low, high = interval(second - first)
        held += low <= 0.5 <= high
    assert held >= 54


def test_points_that_only_one_has_are_left_out():
    made = strata({"near": FAST, "far": SLOW}, {"near": FAST})

    assert (made.points, made.n, made.delta) == (1, (6, 6), 0.0)
    with pytest.raises(DataError, match="no two samples"):
        strata({"near": FAST}, {"far": FAST})


def test_nothing_has_no_ratio():
    nothing = [0.0] * 6
    assert (pair(nothing, FAST).ratio, pair(nothing, FAST).ratio_ci95) == (None, None)
    assert (pair(nothing, nothing).ratio, pair(nothing, nothing).p) == (None, 1.0)
    assert pair(FAST, nothing).ratio == 0.0
    now_and_then = pair([0.0, 0.1, 0.1, 0.1, 0.1, 0.1], FAST)
    assert now_and_then.ratio > 0
    rows = tables.comparison_rows([pair(nothing, FAST)])[1]
    assert "-" in rows[0]
    assert json.loads(json.dumps(pair(nothing, FAST).as_json()))["ratio"] is None


@settings(max_examples=25)
@given(*[st.lists(st.integers(1, 9).map(float), min_size=1, max_size=6)] * 2)
def test_cliffs_delta_is_what_its_definition_says(one, other):
    longer = sum(b > a for a in one for b in other) - sum(b < a for a in one for b in other)

    assert pair(one, other).delta == pytest.approx(longer / (len(one) * len(other)))


def test_holms_correction():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holms_correction_keeps_the_order_and_bounds(values):
    corrected = holm(values)

    assert all(
        p <= q <= min(1.0, p * len(values)) + 1e-12 for p, q in zip(values, corrected, strict=True)
    )
    assert [q for _, q in sorted(zip(values, corrected, strict=True))] == sorted(corrected)


def test_all_pairs_or_all_with_one():
    found = [Sample(name, {"": FAST}) for name in ("a", "b", "c")]

    assert [(c.first, c.second) for c in compare.compare(found)] == [
        *(("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert [(c.first, c.second) for c in compare.compare(found, "b")] == [("b", "a"), ("b", "c")]
    with pytest.raises(DataError, match='"d" has no successful run; use one of "a", "b"'):
        compare.compare(found, "d")
    with pytest.raises(DataError, match="no two samples"):
        compare.compare(found[:1])


def test_variants_of_several_folders_are_told_apart(tmp_path):
    one = results.load(sample.make(tmp_path / "a", runs=3, failed=0, captures=False))
    other = results.load(sample.make(tmp_path / "b", runs=3, failed=0, captures=False))
    swept = results.load(sample.swept(tmp_path, approaches={"resident": (1, 1, 1), "x": (1, 1, 1)}))

    named = compare.names([one, swept])
    assert (named[0]["script"], named[1]["x"]) == ("script", "x")
    assert named[0]["resident"] != named[1]["resident"]
    assert named[0]["resident"] == "paper/20260101T000000Z resident"
    assert len(compare.samples([one, other], "total", {})) == 6


def test_a_sweep_is_compared_at_all_its_points_or_where_asked(tmp_path):
    loaded = [results.load(sample.swept(tmp_path))]

    for one in compare.samples(loaded, "total", {}):
        assert len(one.points) == 9
        assert {len(values) for values in one.points.values()} == {2}
    there = compare.samples(loaded, "total", {"links.core.delay": 0.05})
    assert list(there[0].points) == ["access 0 ms", "access 20 ms", "access 100 ms"]
    with pytest.raises(DataError, match="not swept"):
        compare.samples(loaded, "total", {"links.home.delay": 0.05})
    with pytest.raises(DataError, match="no run at core 70 ms"):
        compare.samples(loaded, "total", {"links.core.delay": 0.07})


def test_what_two_folders_were_made_on(tmp_path):
    loaded = [results.load(sample.make(tmp_path / x, runs=1, captures=False)) for x in "ab"]
    for one in loaded:
        one.manifest.load_before = (0.5, 0.5, 0.5)

    assert compare.surroundings(loaded) == []
    other = loaded[1].manifest
    other.lab, other.kernel, other.cpu, other.load_before = "native", "x", "y", (3.0, 0.5, 0.5)
    other.jobs = 2
    for run in loaded[1].of("resident"):
        run.warm = False
    told = compare.surroundings(loaded)
    assert "the programs of resident differ: warm, cold" in told
    assert told[:2] == [
        "the lab differs: uml, native",
        "the number of labs at once differs: 1, 2",
    ]
    named = ["lab", "number", "kernel", "cpu", "programs", "load"]
    assert [text.split()[1] for text in told] == named
    other.emulated = True
    assert any("emulated" in text for text in compare.surroundings(loaded))
    assert "no manifest" in compare.surroundings([loaded[0], replace(loaded[1], manifest=None)])[0]
    assert compare.surroundings(loaded[1:]) == []


def test_the_command_compares(tmp_path):
    folder = str(sample.swept(tmp_path, runs=6, grid=sample.NEAR, slow=0))

    done = CliRunner().invoke(main, ["compare", folder, "--baseline", "pana-ikev2", *FAR])
    assert done.exit_code == 0, done.output
    assert "large" in done.output
    assert "supported" in done.output

    for arguments, points in ((FAR, 1), ([], 4)):
        done = CliRunner().invoke(main, ["compare", folder, "--phase", "ike", "--json", *arguments])
        content = json.loads(done.stdout)
        assert (content["phase"], content["warnings"]) == ("ike", [])
        assert len(content["comparisons"]) == 6
        assert {one["points"] for one in content["comparisons"]} == {points}
        assert {one["verdict"] for one in content["comparisons"]} == {"longer", "shorter"}
        supported = [one["verdict"] for one in content["claims"]]
        assert supported[:5] == [SUPPORTED, SUPPORTED, NOT_SHOWN, SUPPORTED, NOT_SHOWN]
        assert set(supported[5:]) == {NOT_SHOWN}


def test_in_80_columns_nothing_of_a_comparison_is_cut():
    names = {name: f"experiment-of-a-long-name/20260101T000000Z {name}" for name in "ab"}
    one, other = (Sample(names[name], {(): [0.1234 * k] * 8}) for k, name in enumerate("ab", 1))
    console = Console(width=80, file=io.StringIO())

    console.print(tables.comparisons(compare.compare([one, other]), TOTAL))

    text = console.file.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for whole in ("Cliff's", "247 ms", "+123 ms", "longer"):
        assert whole in text


def test_a_baseline_of_several_folders_is_named_by_what_tells_it_apart(tmp_path):
    folders = [str(sample.make(tmp_path / name, runs=2)) for name in ("one", "two")]
    loaded = [results.load(Path(folder)) for folder in folders]
    there = [called["resident"] for called in compare.names(loaded)]

    done = CliRunner().invoke(main, ["compare", *folders, "--baseline", "resident"])
    assert done.exit_code == 2
    assert '"resident" is in several folders' in done.output.replace("\n", " ")
    assert all(f'"{name}"' in done.output for name in there)
    done = CliRunner().invoke(main, ["compare", *folders, "--baseline", there[0]])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("phase", [*PHASES, TOTAL])
def test_every_phase_of_approaches_without_pana(tmp_path, phase):
    folder = sample.swept(tmp_path, runs=6, grid={})
    lines = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    for line in lines:
        if line["variant"] in ("pana-ikev1", "pana-fast"):  # As if they were without.
            line["phases"] |= {"pana": 0.0, "pana_to_ike": 0.0}
    (folder / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    for arguments in ([], ["--json"]):
        done = CliRunner().invoke(main, ["compare", str(folder), "--phase", phase, *arguments])
        assert done.exit_code == 0, done.output
    ratios = {one["ratio"] for one in json.loads(done.stdout)["comparisons"]}
    assert (None in ratios) == phase.startswith("pana")


def test_folders_of_different_labs_are_compared_with_a_warning(tmp_path):
    folders = [sample.swept(tmp_path / name, runs=1, grid={}) for name in ("a", "b")]
    path = folders[1] / "manifest.json"
    path.write_text(path.read_text().replace('"uml"', '"native"'))

    done = CliRunner().invoke(main, ["compare", *map(str, folders), "--json"])

    assert "warning: the lab differs: uml, native" in done.stderr
    assert "the lab differs: uml, native" in json.loads(done.stdout)["warnings"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["compare", "/nonexistent"], "no such results folder"),
        (["compare", "FOLDER", "--at", "x"], "KEY=VALUE"),
        (["compare", "FOLDER", "--baseline", "x"], '"x" has no successful run'),
        (["compare", "FOLDER", "--at", "links.access.delay=9"], "there are links.access.delay: 0"),
        (["compare", "FOLDER", "--at", "runs=9"], "swept are: links.access.delay"),
        (["run", "SWEEP"], "is a sweep: mip6lab sweep"),
        (["sweep", "PAPER"], "has no .sweep.: mip6lab run"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, arguments, complaint):
    folder = sample.swept(tmp_path, runs=1, grid=sample.NEAR)
    names = {
        "FOLDER": str(folder),
        "SWEEP": str(PROJECT / "experiments" / "rtt.toml"),
        "PAPER": str(PROJECT / "experiments" / "paper.toml"),
    }

    done = CliRunner().invoke(main, [names.get(one, one) for one in arguments])

    assert done.exit_code == 2
    assert done.stderr.startswith("mip6lab: ")
    assert complaint.replace(".sweep.", "[sweep]") in done.stderr


def test_no_probability_is_above_1():
    found = [Sample(name, {"": [1.0]}) for name in "abcd"]

    for one in compare.compare(found):
        assert max(one.p, one.p_holm, one.p_least) <= 1.0
        assert one.verdict == "too few runs"
