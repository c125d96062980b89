"""Carrying out experiments in a lab that is made up, whole and interrupted."""

import json
import os
import platform
import re

import pytest
from click.testing import CliRunner

from agents.core.documents import parse_toml
from testbed import cli, runner
from testbed.base.jsonl import DataError
from testbed.experiment.spec import Spec
from testbed.lab import LabError
from testbed.results import folder as results
from tests.testbed import synthesis as syn
from tests.testbed.stand_ins import KERNEL, Lab, Watcher

SPEC = """
name = "made-up"
approach = "pana-ikev1"
topology = "paper"
runs = 2
[variants.one]
[variants.two]
"""

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "made-up.toml").write_text(SPEC)
    return Spec.load(tmp_path / "made-up.toml")


def carry_out(spec, root, lab, watcher=None, jobs=1):
    return runner.carry_out(
        spec, spec.plan(), lab=lab, jobs=jobs, seed=1, root=root, watcher=watcher or Watcher()
    )


def told(folder):
    return {
        name: (folder / name).read_text() for name in ("summary.json", "report.html", "runs.jsonl")
    }


def test_the_manifest_names_the_kernel_that_the_hosts_ran_on(spec, tmp_path):
    manifest = carry_out(spec, tmp_path, Lab()).results.manifest

    assert manifest.kernel == KERNEL
    assert platform.release() in manifest.caller_kernel


def test_an_interruption_is_told_everywhere(spec, tmp_path):
    watcher = Watcher()

    outcome = carry_out(spec, tmp_path, Lab(stop=3), watcher)

    assert "stopping" in watcher.told
    loaded = outcome.results
    assert [run.run for run in loaded.runs] == [1, 2]
    text = "2 of 4 planned runs done, missing are one 1, two 1"
    assert text in loaded.unfinished
    written = told(outcome.folder)
    summary = json.loads(written["summary.json"])
    assert (summary["planned"], summary["done"]) == (4, 2)
    assert {name: one["missing"] for name, one in summary["variants"].items()} == {
        "one": 1,
        "two": 1,
    }
    assert text in " ".join(summary["warnings"])
    assert text in written["report.html"]
    assert text in CliRunner().invoke(cli.main, ["report", str(outcome.folder)]).output


def test_what_is_missing_is_carried_out_and_nothing_twice(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder
    stale = results.run_folder(folder, 3) / "captures" / "stale"
    stale.touch()
    lab = Lab()

    outcome = runner.resume(folder, lab=lab, watcher=Watcher())

    assert lab.carried_out == [3, 4]
    assert [run.run for run in outcome.results.runs] == [1, 2, 3, 4]
    assert outcome.results.unfinished is None
    assert outcome.results.warnings == []
    assert not stale.exists()
    assert "planned runs done" not in told(folder)["report.html"]
    [before] = outcome.results.manifest.earlier
    assert before.ended
    with pytest.raises(DataError, match="all of its 4 planned runs are there"):
        runner.resume(folder, lab=lab, watcher=Watcher())
    done = CliRunner().invoke(cli.main, ["run", "--resume", str(folder)])
    assert done.exit_code == 0
    assert "nothing to do" in done.stderr
    assert "all of its 4 planned runs are there" in done.stderr


def test_a_torn_line_is_a_run_that_is_missing(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder
    path = folder / "runs.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    lab = Lab()

    outcome = runner.resume(folder, lab=lab, watcher=Watcher())

    assert lab.carried_out == [2, 3, 4]
    assert [run.run for run in outcome.results.runs] == [1, 2, 3, 4]


def test_runs_on_another_kernel_are_told(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=2)).folder
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace(KERNEL, "Linux 5.10"))

    loaded = runner.resume(folder, lab=Lab(), watcher=Watcher()).results

    assert f"the kernel is not the same in all runs: Linux 5.10, {KERNEL}" in loaded.warnings


def test_nobody_goes_on_with_what_is_under_way(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=2)).folder

    with (
        results.held(folder),
        pytest.raises(DataError, match="carried out already"),
    ):
        runner.resume(folder, lab=Lab(), watcher=Watcher())


def change_plan(**changes):
    def change(folder):
        plan = json.loads((folder / "plan.json").read_text())
        plan["runs"][3].update(changes)
        (folder / "plan.json").write_text(json.dumps(plan))

    return change


def rename_a_variant(folder):
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(text.replace("variants.two", "variants.three"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (rename_a_variant, "has no variant two, of which plan.json has run"),
        (change_plan(variant="../../elsewhere"), r"has no variant ../../elsewhere, of which"),
        (change_plan(parameters={"links.access.delay": 0.5}), "links.access.delay = 0.5, of which"),
        (change_plan(run=1), r"plan.json: run 1 is not one run"),
        (change_plan(run=-4), r"plan.json: run -4 is not one run"),
    ],
)
def test_a_plan_that_does_not_fit_its_experiment_is_not_gone_on_with(
    spec, tmp_path, change, complaint
):
    folder = carry_out(spec, tmp_path, Lab(stop=2)).folder
    change(folder)
    before = (folder / "manifest.json").read_text()

    with pytest.raises(DataError, match=complaint):
        runner.interrupted(folder)
    with pytest.raises(DataError, match=complaint):
        runner.resume(folder, lab=Lab(), watcher=Watcher())
    assert (folder / "manifest.json").read_text() == before


@pytest.mark.parametrize("command", [["report"], ["plot"], ["run", "--resume"]])
def test_what_belongs_to_somebody_else_is_left_alone(spec, tmp_path, monkeypatch, command):
    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)  # Root may always.

    refused = CliRunner().invoke(cli.main, [*command, str(folder)])

    assert refused.exit_code == 2
    assert refused.output == f"mip6lab: {folder} cannot be written to; copy it, and use the copy\n"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_file_that_cannot_be_written_is_named(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab()).folder
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()

    refused = CliRunner().invoke(cli.main, ["report", str(folder)])

    assert refused.exit_code == 2
    assert re.fullmatch(r"mip6lab: .*report\.html.*: Is a directory\n", refused.output)


def test_runs_of_a_variant_that_the_experiment_has_no_more_are_reported(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab()).folder
    rename_a_variant(folder)

    runner.conclude(folder)

    assert json.loads(told(folder)["summary.json"])["variants"]["two"]["expected"] == "a bootstrap"


def test_what_stands_in_the_place_of_a_run_goes_and_what_it_links_to_stays(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder
    others = tmp_path / "others"
    others.mkdir()
    (others / "precious").touch()
    results.clear_run_folder(folder, 3)
    results.run_folder(folder, 3).symlink_to(others)
    results.run_folder(folder, 4).touch()

    assert runner.resume(folder, lab=Lab(), watcher=Watcher()).results.missing == []
    assert [path.name for path in others.iterdir()] == ["precious"]
    assert not results.run_folder(folder, 3).is_symlink()


def test_runs_that_are_kept_elsewhere_are_left_alone(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder
    elsewhere = (folder / "runs").rename(tmp_path / "elsewhere")
    (folder / "runs").symlink_to(elsewhere)
    before = {path: path.lstat().st_mtime_ns for path in elsewhere.rglob("*")}

    refused = CliRunner().invoke(cli.main, ["run", "--resume", str(folder)])

    assert refused.exit_code == 2
    assert (
        f"{folder}/runs is a link, and what is half done there would be removed" in refused.output
    )
    assert {path: path.lstat().st_mtime_ns for path in elsewhere.rglob("*")} == before


def test_what_killed_writers_left_goes_and_other_hidden_files_stay(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder
    killed, alive = (f".mip6lab.summary.json.{pid}" for pid in (999999999, 1))
    others = [folder / name for name in (alive, ".notes", ".notes.999999999", ".mip6lab.notes")]
    for path in (folder / killed, *others):
        path.touch()

    runner.resume(folder, lab=Lab(), watcher=Watcher())

    assert sorted(folder.glob(".*")) == sorted(others)


def test_latest_moves_with_the_first_result(spec, tmp_path):
    nothing = carry_out(spec, tmp_path, Lab(stop=1))
    latest = tmp_path / "made-up" / "latest"

    assert not latest.exists()
    assert "0 of 4 planned runs done" in nothing.results.unfinished
    outcome = carry_out(spec, tmp_path, Lab(stop=2))
    assert latest.resolve() == outcome.folder.resolve()
    runner.resume(nothing.folder, lab=Lab(stop=1), watcher=Watcher())
    assert latest.resolve() == outcome.folder.resolve()


def test_a_lab_that_breaks_down_leaves_a_whole_folder(spec, tmp_path):
    with pytest.raises(LabError, match=r"out of memory\nwhat is done is in .*made-up"):
        carry_out(spec, tmp_path, Lab(stop=3, error=LabError("out of memory")))

    folder = (tmp_path / "made-up" / "latest").resolve()
    assert "2 of 4 planned runs done" in told(folder)["report.html"]


def test_labs_at_once_share_the_runs(spec, tmp_path):
    lab, watcher = Lab(at_once=2), Watcher()

    outcome = carry_out(spec, tmp_path, lab, watcher, jobs=2)

    first, second = (job.began for job in lab.jobs)
    assert sorted(first + second) == [1, 2, 3, 4]
    assert {first[0], second[0]} == {1, 2}
    assert first == sorted(first)
    assert second == sorted(second)
    assert [run.run for run in outcome.results.runs] == [1, 2, 3, 4]
    assert outcome.results.warnings == []
    assert watcher.told.count("finished") == 4
    assert {"lab 0 ended", "lab 1 ended"} <= set(watcher.told)
    assert outcome.results.manifest.jobs == 2
    assert (outcome.folder / "lab.log").exists()
    assert (outcome.folder / "lab-2.log").exists()


def test_there_are_no_more_labs_than_runs(spec, tmp_path):
    lab = Lab()

    assert carry_out(spec, tmp_path, lab, jobs=7).results.manifest.jobs == 4
    assert len(lab.jobs) == 4


def test_runs_are_read_by_number_whichever_was_over_first(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab()).folder
    path = folder / "runs.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))

    assert [run.run for run in runner.conclude(folder).runs] == [1, 2, 3, 4]
    rows = (folder / "phases.csv").read_text().splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["1", "2", "3", "4"]


def test_a_lab_that_breaks_down_stops_no_other_and_loses_its_run_alone(spec, tmp_path):
    lab = Lab(stop=2, error=LabError("out of memory"), at_once=2)

    with pytest.raises(LabError, match=r"^out of memory\nwhat is done is in .*made-up"):
        carry_out(spec, tmp_path, lab, jobs=2)

    folder = (tmp_path / "made-up" / "latest").resolve()
    assert sorted(lab.carried_out) == [1, 3, 4]
    assert [planned.run for planned in results.load(folder).missing] == [2]
    again = Lab()
    assert runner.resume(folder, lab=again, jobs=2, watcher=Watcher()).results.missing == []
    assert again.carried_out == [2]


def test_a_lab_that_cannot_be_had_ends_the_others_at_once(spec, tmp_path):
    lab = Lab(refuse=1, error=LabError("no room for two"), at_once=2)

    with pytest.raises(LabError, match="no room for two"):
        carry_out(spec, tmp_path, lab, jobs=2)

    assert lab.jobs[0].killed.is_set()
    assert lab.carried_out == []


def test_an_interruption_ends_all_labs(spec, tmp_path):
    lab = Lab(stop=2, at_once=2)

    loaded = carry_out(spec, tmp_path, lab, jobs=2).results

    assert all(job.killed.is_set() for job in lab.jobs)
    assert 2 in [planned.run for planned in loaded.missing]
    assert set(lab.carried_out) >= {run.run for run in loaded.runs}


def test_what_a_lab_of_another_number_at_once_measured_is_told(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=2), jobs=1).folder

    loaded = runner.resume(folder, lab=Lab(at_once=2), jobs=2, watcher=Watcher()).results

    assert "the number of labs at once is not the same in all runs: 1, 2" in loaded.warnings


def test_a_run_that_cannot_be_cleared_is_named(spec, tmp_path, monkeypatch):
    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder

    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(DataError, match=r"runs/0003: Operation not permitted; remove it"):
        runner.resume(folder, lab=Lab(), watcher=Watcher())


@pytest.mark.usefixtures("spec")
def test_more_labs_at_once_than_cpus_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(cli.main, ["run", "made-up.toml", "--jobs", "2"])

    assert done.exit_code == 2
    assert done.output.startswith("mip6lab: 2 labs at once need a CPU each, and this program may")
    assert done.output.endswith("; use --jobs 1 at most\n")
    assert not (tmp_path / "results").exists()


def cut_events(run):
    path = run / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-5])


def cut_capture(run):
    path = run / "captures" / "A.pcapng"
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("status", ["ok", "expected"])
@pytest.mark.parametrize("spoil", [cut_events, cut_capture])
def test_a_run_whose_record_is_not_whole_has_failed(spec, tmp_path, spoil, status):
    loaded = carry_out(spec, tmp_path, Lab(spoil=spoil, status=status)).results

    assert [run.status for run in loaded.runs] == ["failed"] * 4
    assert all(spoil.__name__.removeprefix("cut_")[:7] in run.reason for run in loaded.runs)


FLOODED = """
name = "flooded"
approach = "pana-ikev1"
topology = "attacked"
runs = 1
[settings]
flood = { attack = "pana_initiation" }
[variants.one]
expect.octets_back = 1.0
"""


def flooding(octets, back):
    """Return what has a run's events tell of a flood, of which so much came back."""

    def tell(run):
        told = {"t": 1, "host": "E", "agent": "flooder", "event": "Flooded", "seconds": 1.0}
        with (run / "events.jsonl").open("a") as log:
            log.write(json.dumps(told | {"octets": octets, "octets_back": back}) + "\n")

    return tell


@pytest.mark.parametrize("status", ["ok", "expected"])
@pytest.mark.parametrize(
    ("octets", "back", "reason"),
    [
        (100, 100, None),
        (100, 101, "1.01 octets came back for one that was sent; 1 may"),
        (0, 0, "the stranger told of nothing that it sent, so that nothing can be judged by it"),
    ],
)
def test_more_octets_back_than_may_come_are_a_failure(tmp_path, octets, back, reason, status):
    spec = Spec(parse_toml(FLOODED), "flooded.toml")
    lab = Lab(spoil=flooding(octets, back), status=status)
    [run] = carry_out(spec, tmp_path, lab).results.runs
    assert (run.status, run.reason) == ("failed" if reason else status, reason)
    assert run.flood["octets_back"] == back


def test_a_run_that_failed_keeps_its_reason_and_how_far_it_went(spec, tmp_path):
    def without_ike(run):
        packets = [packet for packet in syn.bootstrap() if packet[0] < 0.0215]
        syn.write(run / "captures" / "A.pcapng", packets)

    lab = Lab(spoil=without_ike, status="failed")
    run = carry_out(spec, tmp_path, lab).results.runs[0]

    assert run.status == "failed"
    assert run.came_to == "no reason given"
    assert run.phases == {"pana": pytest.approx(0.02, abs=1e-5)}
    assert run.ended_in == "pana_to_ike"


def test_a_folder_whose_name_is_not_utf8_is_read_but_nothing_is_run_in_it(spec, tmp_path):
    odd = tmp_path / os.fsdecode(b"lat\xf6n")
    with pytest.raises(LabError, match=r"lat\\xf6n: its name is not UTF-8; keep results in"):
        carry_out(spec, odd, Lab())
    assert not odd.exists()

    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder.rename(odd)
    with pytest.raises(LabError, match="its name is not UTF-8"):
        runner.resume(folder, lab=Lab(), watcher=Watcher())
    shown = CliRunner().invoke(cli.main, ["report", str(folder)])
    assert shown.exit_code == 0
    assert r"lat\xf6n" in shown.output
    folder.joinpath("runs.jsonl").write_text("garbage\n")
    refused = CliRunner().invoke(cli.main, ["report", str(folder)])
    assert refused.exit_code == 2
    assert r"lat\xf6n" in refused.output
    assert len(refused.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "neither an EXPERIMENT to run nor --resume"),
        (["run", "x.toml", "--resume", "."], "as it was planned"),
        (["run", "--resume", ".", "--runs", "3"], "as it was planned"),
        (["run", "--resume", "."], r"no results folder"),
    ],
)
def test_what_cannot_be_resumed_is_said_in_a_line(tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(cli.main, arguments)

    assert done.exit_code == 2
    assert len(done.output.splitlines()) == 1
    assert re.search(complaint, done.output)


@pytest.mark.parametrize("name", ["manifest.json", "plan.json", "runs.jsonl"])
def test_an_unknown_format_is_one_clear_line(spec, tmp_path, name):
    folder = carry_out(spec, tmp_path, Lab()).folder
    text = (folder / name).read_text()
    (folder / name).write_text(re.sub(r'"format": ?1', '"format": 9', text))

    done = CliRunner().invoke(cli.main, ["report", str(folder)])

    assert done.exit_code == 2
    assert f"{name}" in done.output
    assert "format 9, and this version of mip6lab reads format 1" in done.output
    assert len(done.output.splitlines()) == 1


def test_every_file_of_results_says_its_format(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab()).folder

    for name in ("manifest.json", "plan.json", "summary.json"):
        assert json.loads((folder / name).read_text())["format"] == 1
    for line in (folder / "runs.jsonl").read_text().splitlines():
        assert json.loads(line)["format"] == 1
    head, *rows = (folder / "phases.csv").read_text().splitlines()
    assert head.endswith(",format")
    assert all(row.endswith(",1") for row in rows)
    assert "results of format 1" in (folder / "report.html").read_text()


def test_a_plan_of_the_first_results_is_read(spec, tmp_path):
    folder = carry_out(spec, tmp_path, Lab(stop=3)).folder
    path = folder / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text())["runs"]))

    assert results.read_plan(folder) == spec.plan()
