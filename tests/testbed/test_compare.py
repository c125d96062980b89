"""Comparisons, claims, and the commands that show them."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed import claims, compare, results
from testbed.claims import CONTRADICTED, NOT_SHOWN, SUPPORTED
from testbed.cli import main
from testbed.compare import Sample, holm
from testbed.counts import Count
from testbed.jsonl import DataError
from tests.testbed import sample

FAST, SLOW = [0.1, 0.11, 0.12, 0.13, 0.105], [0.3, 0.31, 0.32, 0.29, 0.305]
FAR = ["--at", "links.access.delay=0.1", "--at", "links.core.delay=0.1"]
NEAR = {"links.access.delay": (0.0, 0.1), "links.core.delay": (0.0, 0.1)}


def pair(one, other):
    (made,) = compare.compare([Sample("one", {}, one), Sample("other", {}, other)])
    return made


def test_a_clear_difference():
    made = pair(FAST, SLOW)

    assert made.difference == pytest.approx(0.305 - 0.11)
    assert made.ratio == pytest.approx(0.305 / 0.11)
    assert made.difference_ci95[0] <= made.difference <= made.difference_ci95[1]
    assert made.ratio_ci95[0] <= made.ratio <= made.ratio_ci95[1]
    assert (made.u, made.delta, made.size) == (0.0, 1.0, "large")
    assert made.p == pytest.approx(2 / 252)  # Two of the ways to choose five of ten.
    assert made.verdict == "longer"
    assert pair(SLOW, FAST).verdict == "shorter"


def test_no_difference_and_too_few_runs():
    assert pair(FAST, FAST).verdict == "not told apart"
    assert pair(FAST, FAST).delta == 0.0
    few = pair([0.1], [0.3])
    assert (few.verdict, few.difference_ci95, few.n) == ("not told apart", None, (1, 1))


@settings(max_examples=25, deadline=None)
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
    found = [Sample(name, {}, FAST) for name in ("a", "b", "c")]

    assert [(c.first, c.second) for c in compare.compare(found)] == [
        *(("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert [(c.first, c.second) for c in compare.compare(found, "b")] == [("b", "a"), ("b", "c")]
    with pytest.raises(DataError, match="no successful run of d"):
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


def test_a_sweep_is_compared_at_its_ends_or_where_asked(tmp_path):
    loaded = [results.load(sample.swept(tmp_path))]

    points = {tuple(s.point.values()) for s in compare.samples(loaded, "total", {})}
    assert points == {(0.0, 0.0), (0.1, 0.1)}
    there = compare.samples(loaded, "total", {"links.core.delay": 0.05})
    assert {tuple(s.point.values()) for s in there} == {(0.0,), (0.1,)}
    with pytest.raises(DataError, match="not swept"):
        compare.samples(loaded, "total", {"links.home.delay": 0.05})
    with pytest.raises(DataError, match="no run at core 70 ms"):
        compare.samples(loaded, "total", {"links.core.delay": 0.07})


def verdicts(folder):
    return [one.verdict for one in claims.findings([results.load(folder)])]


def test_the_claims_are_supported(tmp_path):
    found = claims.findings([results.load(sample.swept(tmp_path, runs=4, slow=0))])

    assert [one.verdict for one in found] == [SUPPORTED] * 4
    saved, infrastructure, chosen, fast = found
    assert saved.data["saved"] == 1
    assert saved.data["fitted"]["saved"] == pytest.approx(1, abs=0.15)
    assert saved.data["dhcpv6_messages"] == [0, 2]
    assert infrastructure.data["with_dhcpv6"] == 2
    assert chosen.data["registered_with_it"] == chosen.data["runs"] == 3 * 36
    assert fast.data["ratio"] < 0.6


@pytest.mark.parametrize(
    ("approaches", "expected"),
    [
        ({"dhcpv6-ikev2": (9, 7, 0.05), "pana-ikev2": (9, 7, 0.05)}, CONTRADICTED),
        ({"dhcpv6-ikev2": (8, 7, 0.05), "pana-ikev2": (9, 7, 0.05)}, CONTRADICTED),
        ({"dhcpv6-ikev2": (11, 7, 0.05), "pana-ikev2": (9, 7, 0.05)}, SUPPORTED),
        ({"pana-ikev2": (9, 7, 0.05)}, NOT_SHOWN),
    ],
)
def test_whether_pana_saves_an_exchange(tmp_path, approaches, expected):
    assert verdicts(sample.swept(tmp_path, runs=1, approaches=approaches))[0] == expected


def test_a_pana_that_needs_dhcp(tmp_path):
    folder = sample.swept(tmp_path, runs=1, approaches={"pana-ikev2": (9, 7, 0.04)})
    loaded = results.load(folder)
    loaded.runs[3].traffic.links["access"].protocols["DHCPv6"] = Count(2, 200)

    assert claims.findings([loaded])[1].verdict == CONTRADICTED


def test_a_home_agent_that_the_aaah_did_not_name(tmp_path):
    folder = sample.swept(tmp_path, runs=1, approaches={"pana-ikev2": (9, 7, 0.04)})
    loaded = results.load(folder)
    loaded.runs[0].traffic.home_agent = "2001:db8::bad"

    assert claims.findings([loaded])[2].verdict == CONTRADICTED


@pytest.mark.parametrize(("trips", "expected"), [((8, 7), CONTRADICTED), ((5, 4), SUPPORTED)])
def test_whether_pana_fast_is_fast(tmp_path, trips, expected):
    approaches = {"pana-ikev2": (9, 7, 0.04), "pana-fast": (*trips, 0.04)}
    folder = sample.swept(tmp_path, approaches=approaches, grid=NEAR, slow=0)

    assert verdicts(folder)[3] == expected


def test_runs_without_counts_show_nothing(tmp_path):
    assert verdicts(sample.make(tmp_path, runs=2, captures=False)) == [NOT_SHOWN] * 4


def test_the_command_compares(tmp_path):
    folder = str(sample.swept(tmp_path, runs=5, grid=NEAR, slow=0))

    done = CliRunner().invoke(main, ["compare", folder, "--baseline", "pana-ikev2", *FAR])
    assert done.exit_code == 0, done.output
    assert "large" in done.output
    assert "supported" in done.output

    done = CliRunner().invoke(main, ["compare", folder, "--phase", "ike", "--json", *FAR])
    content = json.loads(done.stdout)
    assert content["phase"] == "ike"
    assert len(content["comparisons"]) == 6
    assert {one["verdict"] for one in content["comparisons"]} == {"longer", "shorter"}
    assert [one["verdict"] for one in content["claims"]] == [SUPPORTED] * 4


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["compare", "/nonexistent"], "no such results folder"),
        (["compare", "FOLDER", "--at", "x"], "KEY=VALUE"),
        (["compare", "FOLDER", "--baseline", "x"], "no successful run of x"),
        (["run", "SWEEP"], "is a sweep: mip6lab sweep"),
        (["sweep", "PAPER"], "has no .sweep.: mip6lab run"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, arguments, complaint):
    folder = sample.swept(tmp_path, runs=1, grid=NEAR)
    names = {
        "FOLDER": str(folder),
        "SWEEP": str(results.PROJECT / "experiments" / "rtt.toml"),
        "PAPER": str(results.PROJECT / "experiments" / "paper.toml"),
    }

    done = CliRunner().invoke(main, [names.get(one, one) for one in arguments])

    assert done.exit_code == 2
    assert done.stderr.startswith("mip6lab: ")
    assert complaint.replace(".sweep.", "[sweep]") in done.stderr
