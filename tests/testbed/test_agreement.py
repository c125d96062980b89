"""A simulation held against a real lab."""

import json
import shutil
from dataclasses import replace

import msgspec
import pytest
from click.testing import CliRunner

from testbed.analysis.agreement import agreement
from testbed.base.jsonl import DataError
from testbed.cli import main
from testbed.experiment.spec import Spec
from testbed.report.agreement import tables
from testbed.results import folder as results
from tests.testbed import sample


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return results.load(sample.swept(tmp_path_factory.mktemp("results")))


def longer(loaded, factor, *phases):
    """Return the same results with phases so many times as long."""
    runs = [
        msgspec.structs.replace(
            run, phases={n: t * (factor if n in phases else 1) for n, t in run.phases.items()}
        )
        if run.status == "ok"
        else run
        for run in loaded.runs
    ]
    return replace(loaded, runs=runs)


def test_the_same_results_agree(swept):
    found = agreement(swept, swept)
    assert found.whole
    assert {one.variant for one in found.phases} == set(swept.variants)
    assert any(one.judged for one in found.phases)
    assert all(one.deviation == 0 for one in found.phases)


@pytest.mark.parametrize(("factor", "agrees"), [(1.09, True), (0.89, False), (1.2, False)])
def test_a_long_phase_may_be_off_by_a_tenth(swept, factor, agrees):
    assert agreement(longer(swept, factor, "total"), swept).whole is agrees


def test_computing_time_is_not_judged(swept):
    found = agreement(longer(swept, 0.1, "ike_to_binding"), swept)
    assert found.whole
    assert any(one.name == "ike_to_binding" and one.deviation < -0.5 for one in found.phases)


def test_a_round_trip_more_is_a_difference(swept):
    def more(run):
        if not run.traffic:
            return run
        links = {
            name: msgspec.structs.replace(link, round_trips=link.round_trips + 1)
            for name, link in run.traffic.links.items()
        }
        return msgspec.structs.replace(
            run, traffic=msgspec.structs.replace(run.traffic, links=links)
        )

    found = agreement(replace(swept, runs=[more(run) for run in swept.runs]), swept)
    assert found.round_trips
    assert not any(one.agrees for one in found.round_trips)
    assert not found.whole


def test_results_with_nothing_in_common_cannot_be_compared(swept):
    with pytest.raises(DataError, match="in common"):
        agreement(replace(swept, runs=[]), swept)


def without_traffic(loaded):
    """Return the same results as if they were of many mobile nodes: no round trips are counted."""
    runs = [msgspec.structs.replace(run, traffic=None) for run in loaded.runs]
    return replace(loaded, runs=runs)


def test_where_there_is_nothing_to_judge_it_is_refused(swept):
    many = without_traffic(swept)
    assert agreement(many, many).whole  # Its links are long.
    points = [{"links.access.delay": 0.0, "links.core.delay": 0.0}]
    short = replace(many, runs=[run for run in many.runs if run.parameters in points])
    assert short.runs
    with pytest.raises(DataError, match=r"there is nothing to judge: .* not of many"):
        agreement(short, short)


def test_delays_that_are_not_swept_count_too(swept):
    document = {name: value for name, value in swept.spec.document.items() if name != "sweep"}
    long = Spec(document | {"links": {"access": {"delay": 0.1}}}, "one.toml")
    runs = [msgspec.structs.replace(run, parameters={}) for run in swept.runs]
    for spec, judged in ((long, True), (Spec(document, "one.toml"), False)):
        found = agreement(*2 * [replace(swept, runs=runs, spec=spec)])
        assert any(phase.judged for phase in found.phases) is judged


@pytest.fixture
def simulated(swept, tmp_path):
    """The same results, as if they had been simulated."""
    folder = tmp_path / "simulated"
    shutil.copytree(swept.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"lab": "sim"}))
    return folder


@pytest.mark.usefixtures("one_format")
def test_the_command_draws_it_and_tells_by_its_exit_status(swept, simulated):
    folders = str(simulated), str(swept.folder)
    done = CliRunner().invoke(main, ["agree", *folders, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["agrees"]
    for kind in ("svg", "csv"):
        assert (simulated / "figures" / f"agreement.{kind}").stat().st_size
    done = CliRunner().invoke(main, ["agree", *folders])
    assert "differs" not in done.output


def test_only_a_simulation_is_held_against_a_lab_and_in_this_order(swept, simulated):
    for pair, complaint in (
        ((swept.folder, simulated), "no simulation"),
        ((swept.folder, swept.folder), "no simulation"),
        ((simulated, simulated), "a simulation too"),
    ):
        done = CliRunner().invoke(main, ["agree", *map(str, pair)])
        assert done.exit_code == 2
        assert complaint in done.stderr
        assert "mip6lab agree SIMULATED REAL" in done.stderr


def test_where_all_is_computing_time_there_is_no_empty_table(swept):
    found = agreement(swept, swept)
    assert len(tables(found)) == 2
    short = [replace(phase, judged=False) for phase in found.phases]
    assert len(tables(replace(found, phases=short))) == 1
    assert len(tables(replace(found, round_trips=[]))) == 1
