"""The results folder, and the report."""

import io
import json
import os
import stat
from pathlib import Path

import msgspec
import pytest
from markupsafe import escape
from rich.console import Console

from testbed.analysis import stats
from testbed.base.jsonl import DataError, append_line
from testbed.base.phases import PHASES
from testbed.report import page as report
from testbed.report import style, terminal
from testbed.results import folder as results
from testbed.results import paper
from testbed.results.manifest import begin_manifest, end_manifest, this_machine
from testbed.results.runs import Run
from tests.testbed import sample

TIMES = {"pana": 0.02, "pana_to_ike": 0.0, "ike": 0.03, "ike_to_binding": 0.0, "binding": 1.0}
TIMES |= {"total": sum(TIMES.values())}


def ok(number, variant="resident", **changes):
    values = {"run": number, "variant": variant, "seed": 1, "status": "ok", "phases": TIMES}
    return Run(**values | changes)


@pytest.fixture
def folder(tmp_path):
    return results.create(tmp_path, "paper", sample.SPEC)


def test_the_newest_folder_with_a_result_is_latest(tmp_path):
    first = results.create(tmp_path, "paper", "a = 1\n", "one")
    second = results.create(tmp_path, "paper", "a = 2\n", "one")

    assert [first.name, second.name] == ["one", "one-2"]
    assert not (tmp_path / "paper" / "latest").exists()  # There is no result yet.
    results.link_latest(first)
    results.link_latest(second)
    assert os.readlink(tmp_path / "paper" / "latest") == "one-2"
    assert (first / "spec.toml").read_text() == "a = 1\n"
    assert sorted(p.name for p in (tmp_path / "paper").iterdir()) == ["latest", "one", "one-2"]


def test_a_folder_called_latest_is_left_alone_with_a_warning(tmp_path):
    copy = results.create(tmp_path, "paper", run_id="latest")
    fresh = results.create(tmp_path, "paper", run_id="one")

    results.link_latest(fresh)

    assert not copy.is_symlink()
    assert any("latest is no link" in warning for warning in results.load(fresh).warnings)
    assert results.load(copy).warnings == []


def test_a_run_has_its_folder_and_its_keys_are_private(folder):
    run = results.make_run_folder(folder, 12)

    assert run == results.run_folder(folder, 12) == folder / "runs" / "0012"
    assert sorted(p.name for p in run.iterdir()) == ["captures", "configuration", "keys", "logs"]
    for name in ("configuration", "keys"):
        assert stat.S_IMODE((run / name).stat().st_mode) == 0o700


def test_runs_come_back_as_written(folder):
    runs = [ok(1, first_packet=1.1), Run(run=2, variant="script", seed=2, status="failed")]
    for run in runs:
        results.append(folder, run)

    loaded = results.load(folder)

    assert loaded.runs == runs
    assert loaded.variants == ["script", "resident"]  # As in spec.toml.
    assert loaded.failed == runs[1:]
    assert loaded.values("resident", "binding") == [1.0]
    assert set(json.loads((folder / "runs.jsonl").read_text().splitlines()[0])) == {
        *("format", "run", "variant", "seed", "status", "reason", "outcome", "attempts"),
        *(
            "continuity",
            "recovery",
            "phases",
            "event_phases",
            "first_packet",
            "discovery",
            "overlap",
            "costs",
            "warm",
            "measured",
            "parameters",
            "traffic",
            "processor",
            "programs",
            "members",
            "overflows",
            "crowd",
            "held",
            "round_trips",
            "handovers",
            "throughput",
            "flood",
            "worker",
        ),
    }


@pytest.mark.parametrize("torn", ['{"run": 2, "vari', "{", "\udcff\udcfe"])
def test_a_torn_last_line_is_tolerated_reported_and_then_replaced(folder, torn):
    results.append(folder, ok(1))
    path = folder / "runs.jsonl"
    with path.open("a", errors="surrogateescape") as file:
        file.write(torn)

    loaded = results.load(folder)
    assert len(loaded.runs) == 1
    assert loaded.warnings == [f"{path}:2: the last line is not finished"]

    results.append(folder, ok(2))
    loaded = results.load(folder)
    assert [run.run for run in loaded.runs] == [1, 2]
    assert loaded.warnings == []


def test_a_last_line_that_lacks_only_its_end_counts(folder):
    results.append(folder, ok(1))
    path = folder / "runs.jsonl"
    path.write_bytes(path.read_bytes()[:-1])

    assert len(results.load(folder).runs) == 1
    results.append(folder, ok(2))
    assert [run.run for run in results.load(folder).runs] == [1, 2]


def test_no_run_at_all(folder):
    loaded = results.load(folder)

    assert loaded.runs == []
    assert stats.summary(loaded)["variants"] == {}
    assert "8.4 s" in shown(loaded)
    assert "0 of 0 runs succeeded" in report.write(results.load(folder)).read_text()


def test_a_run_from_a_line(folder):
    line = {"run": 1, "variant": "x", "seed": 1, "status": "ok", "phases": TIMES}
    line["measured"] = {"A-B": {"delay": 0.001, "rate": None}}
    (folder / "runs.jsonl").write_text(json.dumps(line) + "\n")

    [run] = results.load(folder).runs
    assert run.measured["A-B"]["rate"] is None


def test_a_torn_only_line_and_a_long_one(folder):
    path = folder / "runs.jsonl"
    for torn in ("{", "x" * 10_000):
        path.write_text(torn)
        results.append(folder, ok(1))
        assert [run.run for run in results.load(folder).runs] == [1]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("garbage\n", "malformed"),
        ('{"run": "one", "variant": "x", "seed": 1, "status": "ok"}\n', r"\$\.run"),
        ('{"run": 1, "variant": "x", "seed": 1, "status": "fine"}\n', "fine"),
        ('{"run": 2, "variant": "x", "seed": 1, "status": "ok"}\n', "run 2 is ok but has no pana"),
        (
            '{"run": 1, "variant": "x", "seed": 1, "status": "failed"}\n',
            "run 1 is in line 1 already",
        ),
        (
            '{"run": 2, "variant": "x", "seed": 1, "status": "failed", "phases": {"pana": -0.1}}\n',
            "pana is -0.1 s; no time is below 0",
        ),
        ('{"run": 2, "variant": "x", "seed": 1, "status": "failed", "overlap": -2}\n', "below 0"),
        (
            '{"format": 9, "run": 2, "variant": "x", "seed": 1, "status": "failed"}\n',
            "format 9, .* reads format 1: use the version that wrote it",
        ),
        ('{"format": 9, "runs": {"run": 2}}\n', "format 9, .* reads format 1"),
    ],
)
def test_a_bad_line_is_named(folder, line, complaint):
    results.append(folder, ok(1))
    with (folder / "runs.jsonl").open("a") as file:
        file.write(line)

    with pytest.raises(DataError, match=rf"runs\.jsonl:2: .*{complaint}"):
        results.load(folder)


def test_what_is_not_there_is_named(tmp_path, folder):
    with pytest.raises(DataError, match="no such results folder"):
        results.load(tmp_path / "none")
    (folder / "runs.jsonl").unlink()
    with pytest.raises(DataError, match=r"no results folder, for it has no runs\.jsonl$"):
        results.load(folder)
    results.link_latest(folder)
    with pytest.raises(DataError, match=r"runs\.jsonl; perhaps .*/latest$"):
        results.load(folder.parent)


@pytest.mark.parametrize(
    "content",
    [
        "{[",
        "\0",
        pytest.param('{"x": ' + 10**5 * "[", id="deep JSON"),
        pytest.param(f"x = {10**5 * '['}", id="deep TOML"),
    ],
)
@pytest.mark.parametrize("name", ["spec.toml", "manifest.json", "plan.json", "runs.jsonl"])
def test_a_damaged_file_is_named(folder, name, content):
    results.append(folder, ok(1))
    (folder / name).write_text(f"{content}\n")

    with pytest.raises(DataError, match=name):
        results.load(folder)


@pytest.mark.parametrize("name", ["manifest.json", "plan.json", "spec.toml", "runs.jsonl"])
@pytest.mark.parametrize("kind", ["without an end", "FIFO"])
def test_what_is_no_file_is_refused(folder, name, kind):
    (folder / name).unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    with pytest.raises(DataError, match=f"{name}: .*it is no regular file"):
        results.load(folder)


@pytest.mark.parametrize("seconds", ["1e308", "-1e308", "1e16"])
def test_a_time_that_nobody_has_measured_is_refused(folder, seconds):
    results.append(folder, ok(1))
    line = json.loads((folder / "runs.jsonl").read_text())
    (phase, *_) = line["phases"]
    line["phases"][phase] = float(seconds)
    (folder / "runs.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match=r"runs.jsonl:1: .*phases"):
        results.load(folder)


def test_the_manifest_says_what_a_result_depends_on(folder, monkeypatch):
    manifest = begin_manifest(folder, lab="uml", seed=3, delays_asked={"A-B": 0.01})
    results.append(folder, ok(1))
    assert results.load(folder).manifest.ended is None

    end_manifest(folder, manifest)

    loaded = results.load(folder).manifest
    assert loaded == manifest
    assert loaded.kernel is None  # No host has run yet.
    assert loaded.caller_kernel.startswith("Linux ")
    assert len(loaded.load_before) == len(loaded.load_after) == 3
    assert loaded.packages["scipy"]
    assert loaded.delays_asked == {"A-B": 0.01}
    monkeypatch.setenv("PATH", "/nonexistent")
    assert begin_manifest(folder, lab="uml", seed=3).commit is None


def test_an_emulated_processor_is_told_wherever_times_are_shown(folder):
    before = begin_manifest(folder, lab="vm", emulated=True, seed=3)
    results.append(folder, ok(1))
    shown = io.StringIO()

    loaded = results.load(folder)
    terminal.show(loaded, Console(file=shown, width=80))

    told = [warning for warning in loaded.warnings if "emulated" in warning]
    assert len(told) == 1
    assert stats.summary(loaded)["emulated"] is True
    assert told[0] in stats.summary(loaded)["warnings"]
    assert f"warning: {told[0]}" in shown.getvalue()
    assert escape(told[0]) in report.write(loaded).read_text()
    assert loaded.manifest.where == "vm lab, emulated processor"
    begin_manifest(folder, lab="vm", seed=3, before=before)  # On with KVM.
    assert "the processor was not emulated in all runs" in results.load(folder).warnings


def test_what_is_not_the_same_on_all_workers_is_told(folder):
    one = this_machine()
    workers = {"tcp://a:1": one, "tcp://b:1": msgspec.structs.replace(one, cpu="another")}
    begin_manifest(folder, lab="uml", seed=3, workers=workers)

    loaded = results.load(folder)

    assert loaded.manifest.workers == workers
    assert f"the cpu is not the same on all workers: {one.cpu}, another" in loaded.warnings


def test_the_papers_figures():
    quoted = paper.load_paper()

    assert quoted.seconds == {
        "pana": 0.04,
        "pana_to_ike": 3.8,
        "ike": 2.2,
        "ike_to_binding": 1.3,
        "binding": 0.8,
        "total": 8.4,
    }
    parts = sum(quoted.seconds[name] for name in PHASES)
    assert parts + quoted.unattributed == pytest.approx(quoted.total)
    for name, phase in quoted.phases.items():
        assert phase.source.startswith(f"{quoted.seconds[name]:g} s ")


@pytest.mark.parametrize("text", ["", "total = 'x'", "[["])
def test_a_damaged_paper_is_named(tmp_path, text):
    (tmp_path / "paper.toml").write_text(text)
    with pytest.raises(DataError, match=r"paper\.toml"):
        paper.load_paper(tmp_path / "paper.toml")


def test_a_variant_without_a_success(folder):
    results.append(folder, Run(run=1, variant="script", seed=1, status="failed", reason="no BA"))
    loaded = results.load(folder)

    one = stats.summary(loaded)["variants"]["script"]
    assert (one["succeeded"], one["success_rate"], one["phases"]) == (0, 0.0, {})
    assert "0 of 1 run" in shown(loaded)
    assert "run 1 (script) failed: no BA" in shown(loaded)
    assert "no BA" in report.write(loaded).read_text()


def test_the_page_says_what_variants_are_and_what_warm_and_cold_mean(tmp_path):
    described = '[variants.plain]\ndescription = "as ever, <b>"\n[variants.other]\n'
    folder = results.create(tmp_path, "paper", sample.BASE + described)
    for number, name in enumerate(["plain", "other"], 1):
        results.append(folder, ok(number, name, warm=name == "plain"))

    page = report.write(results.load(folder)).read_text()

    assert "<td>plain</td><td>as ever, &lt;b&gt;</td>" in page
    assert "<td>programs were</td><td></td><td>warm</td><td>cold</td>" in page
    assert "Warm programs had rehearsed" in page
    assert page.index(">Variants</h2>") < page.index(">Phases</h2>")


def test_where_no_variant_is_described_there_is_no_section_of_them(folder):
    results.append(folder, ok(1))

    assert ">Variants</h2>" not in report.write(results.load(folder)).read_text()


def test_in_80_columns_a_long_name_takes_nothing_from_the_times(folder):
    slow = {"total": 5.16}
    for number, changes in enumerate([{}, slow], 1):
        phases = TIMES | {"pana_to_ike": 0.9321e-3} | changes
        results.append(folder, ok(number, "resident-no-dad-cold", phases=phases))

    text = shown(results.load(folder), width=80)

    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for whole in ("resident-no-dad- ", "cold ", "0.932 ms", "(1.05 to 5.16)"):
        assert whole in text


def shown(loaded, width=140):
    console = Console(width=width, file=io.StringIO())
    terminal.show(loaded, console)
    return console.file.getvalue()


def test_the_phases_of_every_run_as_csv(folder):
    results.append(folder, ok(1))
    results.append(folder, Run(run=2, variant="a, b", seed=2, status="failed", reason='"x"'))

    lines = results.write_phases_csv(results.load(folder)).read_text().splitlines()

    assert lines[0] == (
        "run,variant,seed,status,pana,pana_to_ike,ike,ike_to_binding,binding,total,"
        "first_packet,discovery,overlap,came_to,format"
    )
    assert lines[1] == "1,resident,1,ok,0.02,0.0,0.03,0.0,1.0,1.05,,,,,1"
    assert lines[2] == '2,"a, b",2,failed,,,,,,,,,,"""x""",1'


def test_what_capture_and_events_contradict_each_other_in_is_warned_of(folder):
    more = {"pana": 0.05, "total": TIMES["total"] + 0.03}
    for number, logged in enumerate([TIMES, TIMES | more, None], 1):
        results.append(folder, ok(number, event_phases=logged))

    loaded = results.load(folder)

    assert loaded.warnings == [
        "run 2 (resident): capture and events differ by 30.0 ms in total, most in the phase PANA"
        " (30.0 ms)"
    ]
    assert f"warning: {loaded.warnings[0]}" in shown(loaded)
    assert loaded.warnings[0] in report.write(results.load(folder)).read_text()


def test_discovery_and_overlap_of_the_runs_that_have_them(folder):
    for number, found in enumerate([{}, {"discovery": 0.1, "overlap": 0.0}, {"overlap": 0.2}], 1):
        results.append(folder, ok(number, **found))

    loaded = results.load(folder)

    assert loaded.values("resident", "discovery") == [0.1]
    assert loaded.values("resident", "overlap") == [0.0, 0.2]


def test_the_table(tmp_path):
    text = shown(results.load(sample.make(tmp_path, runs=4, captures=False)))

    for expected in ("to IKE", "3.8 s", "8.4 s", "4 of 4 runs, warm", "runs, cold", "faster"):
        assert expected in text
    assert "0.26 s of the paper's total" in text


def test_the_report_is_one_page_and_escapes(tmp_path):
    loaded = results.load(sample.make(tmp_path, runs=3, captures=False))
    (loaded.folder / "figures").mkdir()
    (loaded.folder / "figures" / "costs.svg").write_text("<svg/>")

    page = report.write(loaded).read_text()

    assert "timed out &lt;in&gt; IKE" in page
    assert "data:image/svg+xml;base64,PHN2Zy8+" in page
    assert "8 of 9 runs succeeded" in page
    assert "A-B: 0.0001" in page
    assert 'src="http' not in page
    assert "{{" not in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.4, "8.40 s"),
        (12.345, "12.3 s"),
        (123.4, "123 s"),
        (0.99951, "1.00 s"),
        (0.9994, "999 ms"),
        (0.0516, "51.6 ms"),
        (0.000899, "0.899 ms"),
        (0.0, "0.00 ms"),
    ],
)
def test_times_are_written_with_three_digits(value, text):
    assert style.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.2, "as long"),
        (148.4, "18\N{MULTIPLICATION SIGN} slower"),
        (0.0516, "163\N{MULTIPLICATION SIGN} faster"),
        (1.0, "8.4\N{MULTIPLICATION SIGN} faster"),
        (84.0, "10\N{MULTIPLICATION SIGN} slower"),
        (0.0, ""),
    ],
)
def test_ratios_in_words(value, text):
    assert style.against_paper(value, 8.4) == text


def test_a_line_that_there_is_no_room_for_is_told():
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        append_line(Path("/dev/full"), ok(1))
