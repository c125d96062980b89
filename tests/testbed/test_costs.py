"""What a run costs, as report.html shows it."""

from dataclasses import replace

import pytest

from testbed.report import conclusion, costs, plots
from testbed.results import folder as results
from testbed.results.manifest import begin_manifest, end_manifest
from testbed.results.runs import Run
from tests.testbed import sample

PLAIN = {"network": 2.0, "bootstrap": 1.0, "teardown": 0.5, "total": 4.0, "whole": 6.0}
LIVED = {"network": 2.0, "bootstrap": 1.0, "steps": 9.0, "teardown": 0.5, "whole": 13.0}


@pytest.fixture
def folder(tmp_path):
    spec = sample.BASE + "[variants.plain]\n[variants.lived]\n"
    folder = results.create(tmp_path, "costs", spec, "one")
    found = [PLAIN, {name: 3 * value for name, value in PLAIN.items()}, PLAIN, LIVED]
    for number, one in enumerate(found, 1):
        variant = "lived" if one is LIVED else "plain"
        results.append(folder, Run(run=number, variant=variant, seed=1, status="failed", costs=one))
    return folder


def write_manifest(folder, *sessions):
    """Write the manifest of sessions: labs at once, when they started and when they ended."""
    manifest = None
    for jobs, started, ended in sessions:
        manifest = begin_manifest(folder, lab="uml", jobs=jobs, seed=1, before=manifest)
        manifest.started = f"2026-01-01T{started}+00:00"
        end_manifest(folder, manifest)
        manifest.ended = ended and f"2026-01-01T{ended}+00:00"
    return manifest


def test_parts_come_in_the_order_of_runs_and_sums_last(folder):
    head, rows = costs.cost_rows(results.load(folder))

    assert head == ["median of a run", "plain", "lived"]
    assert rows == [
        ("network", "2.00 s", "2.00 s"),
        ("bootstrap", "1.00 s", "1.00 s"),
        ("steps", "-", "9.00 s"),
        ("teardown", "500 ms", "500 ms"),
        ("total", "4.00 s", "-"),
        ("whole", "6.00 s", "13.0 s"),
    ]


def test_parts_and_the_rest_make_up_the_whole(folder):
    fig, data = costs.costs_figure(results.load(folder))

    of = {(variant, part): seconds for variant, part, seconds in data[1:]}
    assert of["plain", "rest"] == pytest.approx(2.5)
    assert of["lived", "rest"] == pytest.approx(0.5)
    assert {part for _, part in of} == {*PLAIN, "steps", "rest"} - {"total", "whole"}
    written = {text.get_text() for axes in fig.axes for text in axes.texts}
    assert {"6.00 s", "13.0 s", "9.00 s"} <= written


@pytest.mark.parametrize(
    ("sessions", "said"),
    [
        ([(1, "12:00:00", "12:01:00")], "4 runs in 60 s: 4.00 per minute, one at a time."),
        (
            [(1, "12:00:00", "12:01:00"), (2, "20:00:00", "20:01:00")],
            "4 runs in 120 s: 2.00 per minute, one and 2 at a time.",
        ),
        ([(2, "12:00:00", None), (2, "20:00:00", "20:01:00")], None),
        ([(1, "12:00:00", "12:00:00")], None),
    ],
)
def test_runs_per_minute(folder, sessions, said):
    loaded = results.load(folder)
    manifest = write_manifest(folder, *sessions)

    assert costs.pace(replace(loaded, manifest=manifest)) == said
    assert costs.pace(loaded) is None


@pytest.mark.usefixtures("one_format")
def test_the_page_has_table_figure_and_pace(folder):
    manifest = write_manifest(folder, (2, "12:00:00", "12:01:00"))
    loaded = replace(results.load(folder), manifest=manifest)

    conclusion.write(loaded)

    page = (folder / "report.html").read_text()
    section = page[page.index(">Costs of a run</h2>") : page.index(">Manifest</h2>")]
    assert "4 runs in 60 s: 4.00 per minute, 2 at a time." in section
    assert "<td>steps</td><td>-</td><td>9.00 s</td>" in section
    for part in LIVED:
        assert section.count(f"{part}: ") == 1, "every row is explained"
    assert "fork: " not in section
    assert section.count("<img ") == 1
    assert page.count('alt="What a run takes') == 1
    assert "<tr><td>jobs</td><td>2</td></tr>" in page


def test_where_there_are_no_costs_there_is_no_figure_of_them(folder):
    (folder / "runs.jsonl").write_text("")
    results.append(folder, Run(run=1, variant="plain", seed=1, status="failed", reason="no"))

    assert {path.stem for path in plots.draw(results.load(folder))} == {"topology"}
