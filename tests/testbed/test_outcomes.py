"""What runs came to, and that everything tells the same of it."""

import io
import json
import re

import pytest
from rich.console import Console

from testbed import runner
from testbed.analysis import stats
from testbed.base.phases import PHASES, TOTAL
from testbed.report import curves, plots, tables, terminal
from testbed.results import folder as results
from testbed.results import outcomes
from testbed.results.runs import Run
from tests.testbed.test_plots import texts

SPEC = """
name = "expecting"
approach = "pana-ikev1"
topology = "paper"
[variants.plain]
[variants.refused]
approach = "static"
description = "it is to be refused"
expect.reason = "no subscriber"
[variants.watched]
expect.event = "B Impersonated"
"""
WHOLE = dict.fromkeys(PHASES, 0.1) | {TOTAL: 0.5}
REFUSAL = "the home network knows no subscriber of that name"


def line(number, variant, status, **more):
    if status == "ok":
        more = {"phases": WHOLE, "outcome": "bootstrapped with home agent 2001:db8::1"} | more
    return Run(run=number, variant=variant, seed=1, status=status, **more)


def made(root, *runs, spec=SPEC):
    folder = results.create(root, "expecting", spec, "one")
    for run in runs:
        results.append(folder, run)
    return results.load(folder)


@pytest.fixture
def loaded(tmp_path):
    """All runs as expected: one bootstrap, one refusal between PANA and IKE, one event in PANA."""
    return made(
        tmp_path,
        line(1, "plain", "ok"),
        line(2, "refused", "expected", outcome=REFUSAL, phases={"pana": 0.05}),
        line(3, "watched", "expected", outcome="B Impersonated", phases={}),
    )


def shown(loaded):
    console = Console(width=200, file=io.StringIO())
    terminal.show(loaded, console)
    return console.file.getvalue()


@pytest.mark.usefixtures("no_figures")
def test_a_refusal_that_was_expected_is_a_success_everywhere(loaded):
    folder = loaded.folder
    runner.conclude(folder)

    summary = json.loads((folder / "summary.json").read_text())["variants"]["refused"]
    assert (summary["runs"], summary["succeeded"], summary["success_rate"]) == (1, 1, 1.0)
    assert summary["bootstrapped"] == 0
    assert summary["expected"] == "refused: no subscriber"
    assert summary["outcomes"] == [
        {
            "outcome": REFUSAL,
            "as_expected": True,
            "runs": 1,
            "phases": {"pana": 0.05},
            "ended_in": "pana_to_ike",
        }
    ]
    page = (folder / "report.html").read_text()
    for text in (shown(loaded), page):
        assert re.search(r"1/1", text)
        assert REFUSAL in text
        assert "PANA 50.0 ms, ended before IKE" in text
        assert "ended in PANA" in text
    assert "3 of 3 runs ended as expected" in page
    assert "0 of 1" not in page
    assert "refused: no subscriber" in page


def test_silence_loss_and_recovery_are_numbers_of_the_summary(tmp_path):
    went_on = {"sent": 100.0, "answered": 97.0, "silence": 0.06}
    loaded = made(
        tmp_path,
        line(1, "plain", "ok", continuity=went_on, recovery=2.5),
        line(2, "plain", "ok", continuity=went_on | {"answered": 95.0, "silence": 0.1}),
        line(3, "refused", "expected", outcome=REFUSAL, phases={"pana": 0.05}),
    )
    found = stats.summary(loaded)["variants"]
    plain = {name: found["plain"][name] for name in ("silence", "lost", "recovery")}
    assert plain["silence"]["range"] == [0.06, 0.1]
    assert plain["lost"]["median"] == 4.0
    assert (plain["recovery"]["median"], plain["recovery"]["n"]) == (2.5, 1)
    assert [found["refused"][name] for name in plain] == [None, None, None]
    assert "3 of 100 packets lost, longest silence 0.060 s" in loaded.runs[0].came_to


def test_a_column_of_descriptions_is_there_if_there_are_any(tmp_path, loaded):
    assert "description" in tables.outcome_rows(loaded)[0]
    bare = made(tmp_path / "bare", line(1, "plain", "ok"), spec=SPEC.replace("description", "#"))
    head, rows = tables.outcome_rows(bare)
    assert head == ["variant", "expected", "came to", "attempts", "runs as expected"]
    assert {len(row) for row in rows} == {len(head)}
    assert "all phases took 500 ms" in shown(bare)


@pytest.mark.parametrize("draw", [plots.phases_figure, curves.stacked_figure])
def test_figures_draw_as_far_as_it_went_and_say_that_it_was_expected(loaded, draw):
    fig, _ = draw(loaded)

    said = texts(fig)
    assert f"as expected: {REFUSAL}" in said
    assert not [text for text in said if "of 1 run" in text]
    assert any("median of 1 successful run per variant" in text for text in said)
    widths = [round(bar.get_width(), 3) for axes in fig.axes for bar in axes.patches]
    assert 0.05 in widths


def test_the_data_of_a_figure_have_how_far_it_went(loaded):
    _, rows = plots.phases_figure(loaded)

    assert ["refused", "pana", 0.05, "", "", "", 1] in rows


@pytest.mark.usefixtures("one_format")
def test_an_experiment_without_any_bootstrap_has_a_figure_and_no_empty_sections(tmp_path):
    loaded = made(tmp_path, line(1, "refused", "expected", outcome=REFUSAL, phases={"pana": 0.05}))
    folder = runner.conclude(loaded.folder).folder

    page = (folder / "report.html").read_text()

    assert "1 of 1 run ended as expected" in page
    assert ">Phases</h2>" not in page
    assert {path.stem for path in (folder / "figures").glob("*.svg")} == {"phases", "topology"}


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ("up = 0", "a bootstrap of any number of the mobile nodes"),
        ("up = 3", "a bootstrap of at least 3 of the mobile nodes"),
        ("reason = 'full'", "not a bootstrap of all: full"),
    ],
)
def test_what_is_expected_of_many_is_told_as_it_is_judged(tmp_path, expect, words):
    many = f"""
name = "expecting"
approach = "pana-ikev1"
topology = "operator"
[operator]
mobile_nodes = 4
[variants.many]
expect.{expect}
"""
    assert outcomes.expectation(made(tmp_path, spec=many), "many") == words


def test_what_was_not_expected_is_told_apart(tmp_path):
    good = line(1, "refused", "expected", outcome=REFUSAL, phases={"pana": 0.05})
    bad = line(2, "refused", "failed", reason="it succeeded", phases={})
    loaded = made(tmp_path, good, bad)

    found = outcomes.outcomes(loaded, "refused")

    assert [(one.text, one.as_expected, one.runs) for one in found] == [
        (REFUSAL, True, 1),
        ("it succeeded", False, 1),
    ]
    assert outcomes.verdict(loaded, "refused") == "1 of 2 runs succeeded: it succeeded"
    assert stats.summary(loaded)["variants"]["refused"]["success_rate"] == 0.5
    assert "failed: it succeeded (1 run)" in shown(loaded)
    assert "1/2" in shown(loaded)


def test_runs_of_a_variant_went_through_what_all_of_them_did(tmp_path):
    far = {"pana": 0.05, "pana_to_ike": 0.01}
    loaded = made(
        tmp_path,
        line(1, "refused", "expected", outcome=REFUSAL, phases=far),
        line(2, "refused", "expected", outcome=REFUSAL, phases={"pana": 0.07}),
    )

    [one] = outcomes.outcomes(loaded, "refused")

    assert (one.runs, one.ended_in) == (2, "pana_to_ike")
    assert one.phases == {"pana": pytest.approx(0.06)}


def test_an_experiment_that_expects_nothing_shows_times(tmp_path):
    spec = SPEC[: SPEC.index("[variants.refused]")]
    loaded = made(tmp_path, line(1, "plain", "ok"), spec=spec)

    assert "8.4 s" in shown(loaded)
    assert "came to" not in shown(loaded)


def test_a_specification_that_cannot_be_used_is_told_in_a_line(tmp_path):
    loaded = made(tmp_path, line(1, "plain", "ok"), spec="variants = 3\n")

    [warning] = loaded.warnings

    assert "\n" not in warning
    assert "spec.toml" in warning
    assert "what was expected of the variants is not known" in warning
    assert f"warning: {warning}" in shown(loaded)
