"""The sim lab: whole experiments on the virtual clock, by the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.analysis import losses
from testbed.analysis.compare import surroundings
from testbed.base.places import PROJECT
from testbed.cli import main
from testbed.lab import UmlLab
from testbed.report import losses as report
from testbed.report import tables
from testbed.results import folder as results
from testbed.trace.frames import read_frames
from tests.testbed.simulated import RUN, carry_out
from tests.wireshark import FAULTS, tshark

PROGRAM = (sys.executable, "-m", "testbed")
ONE = """
name = "one"
approach = "pana-ikev1"
topology = "paper"
runs = 2
links.access.delay = 0.02
settings.duplicate_address_detection = false
[variants.only]
"""
ALL = """
name = "all"
approach = "static"
topology = "paper"
runs = 1
seed = 5
links.access.delay = 0.005
[variants.static]
[variants.pana-ikev1]
approach = "pana-ikev1"
[variants.pana-ikev2]
approach = "pana-ikev2"
[variants.pana-fast]
approach = "pana-fast"
[variants.dns-ikev2]
approach = "dns-ikev2"
[variants.dhcpv6-ikev2]
approach = "dhcpv6-ikev2"
topology = "dhcpv6"
"""
STEPS = """
name = "steps"
approach = "pana-ikev1"
topology = "paper"
runs = 1
[variants.moves]
expect.silence = 0.1
steps = [
    { host = "A", command = "ping", until = "A PingAnswered", packets = 5 },
    { host = "A", run = "ip -6 address add 2001:db8:a::abcd/64 dev A-access nodad", command =\
 "move 2001:db8:a::abcd", until = "A BindingAccepted", packets = 5 },
    { host = "A", command = "deregister", until = "A BindingAccepted", cuts = true },
]
[variants.refused]
settings.subscribed = false
expect.reason = "refused"
[variants.never]
timeout = 0.05
links.access.delay = 0.02
"""


CUT = """
name = "cut"
approach = "pana-ikev2"
topology = "paper"
runs = 1
[variants.healed]
steps = [
    { host = "B", cut = "access", lasts = 20.0 },
    { host = "B", heal = "access", packets = 25 },
]
[variants.stays]
steps = [{ host = "C", cut = "core" }, { host = "C", packets = 25 }]
"""
ATTEMPTS = """
name = "attempts"
approach = "pana-ikev1"
topology = "paper"
runs = 8
timeout = 3600.0
[variants.lossy]
attempts = 0
links.access.loss = 30
[variants.refused]
attempts = 3
runs = 1
settings.subscribed = false
expect.reason = "refused"
"""


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return carry_out(tmp_path_factory.mktemp("one"), ONE, "--jobs", "2", drawn=True)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    return carry_out(tmp_path_factory.mktemp("every"), ALL)


def test_an_experiment_has_the_results_of_any_lab(one):
    loaded = results.load(one)
    assert [run.status for run in loaded.runs] == ["ok", "ok"]
    assert (loaded.manifest.lab, loaded.manifest.jobs) == ("sim", 2)
    assert loaded.manifest.kernel == "none (simulated)"
    assert loaded.manifest.services.startswith("measured")
    assert any("nothing ran" in warning for warning in loaded.warnings)
    assert loaded.manifest.delays_measured["only: access"] == pytest.approx(0.02, abs=1e-4)
    for name in ("summary.json", "report.html", "phases.csv"):
        assert (one / name).exists()
    assert "nothing ran" in (one / "report.html").read_text()
    assert "simulated" in listed(one.parent.parent)[str(one)]
    assert any("simulated" in warning for warning in surroundings([loaded]))
    assert list((one / "figures").glob("*.svg"))
    run = loaded.runs[0]
    assert run.traffic.links["access"].round_trips == 11
    assert run.phases["total"] == pytest.approx(11 * 0.04, abs=0.1)
    assert run.event_phases["total"] == pytest.approx(run.phases["total"], abs=0.01)


def test_captures_are_read_by_wireshark_with_the_keys_of_the_run(one):
    run = one / "runs" / "0001"
    assert (run / "keys" / "keys.jsonl").stat().st_mode & 0o777 == 0o600
    capture = run / "captures" / "A.pcapng"
    profile = run / "keys" / "wireshark"
    assert tshark(capture, "-Y", FAULTS, profile=profile) == ""
    shown = tshark(capture, "-Y", "mipv6", profile=profile)
    assert "Binding Update" in shown
    assert "Binding Acknowledgement" in shown
    assert "Client Hello" in tshark(capture, profile=profile)


def trace(folder):
    """Return all that happened in the runs: events without what is not drawn, frames as masked."""
    told = {}
    for run in sorted((folder / "runs").iterdir()):
        told[run.name] = (
            (run / "events.jsonl").read_text(),
            {
                path.name: [(f.time, masked(f.data)) for f in read_frames(path)]
                for path in sorted((run / "captures").iterdir())
            },
        )
    return told


CLEAR = {500: 28, 716: 16}
"""Octets of a message's own header, by the port: what follows is keyed by TLS, or TLS itself."""

SA_INIT, MAIN = 34, 2


def masked(frame):
    """Return the octets of a frame that TLS has no part in, and so nothing that it has keyed.

    Signatures in it are of one length or another: so are messages, and what TCP counts.
    """
    protocol, upper = frame[20], frame[54:]
    if protocol == 58:
        return frame
    if protocol == 6:
        return frame[:18], frame[20:54], upper[:4], upper[13:16]
    if protocol == 17:
        ports = {int.from_bytes(upper[:2]), int.from_bytes(upper[2:4])}
        keyed = [CLEAR[port] for port in ports if port in CLEAR]
        is_clear = 500 in ports and (upper[26] == SA_INIT or (upper[26] == MAIN and not upper[27]))
        if not keyed or is_clear:
            return frame
        header = upper[8 : 8 + keyed[0]]
        length = slice(2, 4) if 716 in ports else slice(24, 28)
        return frame[:18], frame[20:54], upper[:4], header[: length.start], header[length.stop :]
    return frame[: 54 + 24 + 8]  # Home Address option or routing header, SPI and number.


def again(folder, there, seed=None):
    """Return results of the same prepared experiment once more, in a process of its own."""
    shutil.copytree(folder, there, ignore=shutil.ignore_patterns("runs", "runs.jsonl"))
    (there / "runs").mkdir()
    (there / "runs.jsonl").touch()
    if seed is not None:
        plan = json.loads((there / "plan.json").read_text())
        for run in plan["runs"]:
            run["seed"] += seed
        (there / "plan.json").write_text(json.dumps(plan))
    for path in (folder / "shared").rglob("*.toml"):
        assert path.exists()
    command = (sys.executable, "-m", "testbed.run.simulation", str(there))
    subprocess.run(command, check=True, capture_output=True, cwd=PROJECT)
    return there


def test_the_same_seed_makes_the_same_trace_and_another_does_not(every, tmp_path):
    first = trace(every)
    assert trace(again(every, tmp_path / "same")) == first
    other = trace(again(every, tmp_path / "other", seed=1))
    assert other.keys() == first.keys()
    assert all(other[run][1] != first[run][1] for run in first)


def test_without_tls_every_octet_is_the_same(every, tmp_path):
    [static] = [run for run in results.load(every).runs if run.variant == "static"]
    captures = f"runs/{static.run:04}/captures"
    there = again(every, tmp_path / "same")
    for path in (every / captures).iterdir():
        assert (there / captures / path.name).read_bytes() == path.read_bytes()


def test_what_follows_a_bootstrap_is_simulated_too(tmp_path):
    runs = {run.variant: run for run in results.load(carry_out(tmp_path, STEPS)).runs}
    assert runs["moves"].status == "ok"
    assert runs["moves"].continuity["answered"] >= 10
    assert runs["refused"].status == "expected"
    assert runs["never"].status == "failed"
    assert "no binding within 0.05 s" in runs["never"].reason


def test_as_many_attempts_are_made_as_are_allowed_and_told(tmp_path):
    loaded = results.load(carry_out(tmp_path, ATTEMPTS))
    for run in loaded.runs:
        lines = (loaded.folder / "runs" / f"{run.run:04}" / "events.jsonl").read_text().splitlines()
        names = [json.loads(line)["event"] for line in lines]
        failed, done = names.count("AttemptFailed"), names.count("Bootstrapped")
        assert run.attempts == failed + done
        assert (failed, done) == (3, 0) if run.variant == "refused" else done == 1
    assert any(run.attempts > 1 for run in loaded.runs if run.variant == "lossy")
    made = json.loads((loaded.folder / "summary.json").read_text())["variants"]
    assert made["refused"]["attempts"] == {"3": 1}
    assert sum(made["lossy"]["attempts"].values()) == 8
    assert "3" in tables.outcome_rows(loaded)[1][1]


@pytest.mark.usefixtures("no_figures")
def test_a_link_may_be_cut_and_healed(tmp_path):
    loaded = results.load(carry_out(tmp_path, CUT))
    found = {run.variant: run for run in loaded.runs}
    assert found["healed"].status == "ok"
    assert 20.0 < found["healed"].continuity["silence"] < 25.0
    assert found["stays"].status == "failed"
    assert "25 of 25 packets were not answered" in found["stays"].reason


@pytest.mark.usefixtures("no_figures")
def test_what_was_killed_is_gone_and_can_be_gone_on_with(tmp_path):
    (tmp_path / "long.toml").write_text(ONE.replace("runs = 2", "runs = 16"))
    begin = (*PROGRAM, *RUN, str(tmp_path / "long.toml"), "--jobs", "2", "--output", str(tmp_path))
    with subprocess.Popen(begin, cwd=PROJECT, stderr=subprocess.DEVNULL) as first:
        until(lambda: [*tmp_path.glob("one/2*/runs/0003")])
        first.send_signal(signal.SIGKILL)
    [folder] = tmp_path.glob("one/2*")
    until(lambda: not at_work(str(folder)))
    before = (folder / "services.json").read_bytes()

    resumed = CliRunner().invoke(main, [*RUN, "--resume", str(folder), "--json"])

    assert resumed.exit_code == 0, resumed.stderr
    assert "2 at a time" in resumed.stderr
    runs = [json.loads(line)["run"] for line in (folder / "runs.jsonl").read_text().splitlines()]
    assert sorted(runs) == list(range(1, 17))
    assert (folder / "services.json").read_bytes() == before
    told = [one for one in json.loads(resumed.stdout)["warnings"] if "nothing ran" in one]
    assert len(told) == 1
    assert "on a virtual clock, with service times measured" in told[0]
    assert "simulated" in listed(tmp_path)[str(folder)]


def listed(folder):
    done = CliRunner().invoke(main, ["list", "results", "--json", "--output", str(folder)])
    return json.loads(done.stdout)["results"]


def until(done):
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def at_work(text):
    """Return the processes that have a text in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in line:
                found.append(entry.name)
    return found


@pytest.mark.parametrize(
    ("experiment", "told"),
    [
        ("paper", "variants script, paper2006: a launch script starts real programs"),
        ("paper", "variant resident-no-dad-cold: programs that begin cold"),
        ("paper", "variant paper2006: slower processors"),
        ("floods", "variants pana-initiation, pana-start, pana-eap: the flooder on host E"),
        ("floods", "ikev2-auth, binding-updates-ikev2: the flooder on host X"),
    ],
)
def test_what_cannot_be_simulated_is_said_before_anything_starts(experiment, told, tmp_path):
    done = CliRunner().invoke(main, ["run", experiment, "--lab", "sim", "--output", str(tmp_path)])
    assert done.exit_code == 2
    assert told in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("settings.diameter_tls=true", "streams have no TLS"),
        ('variants.eap.steps=[{host="A",run="ip link set A-access down"}]', "there is no shell"),
    ],
)
def test_so_is_what_a_setting_or_a_step_asks_for(setting, told, tmp_path):
    command = ["run", "rekey", "--lab", "sim", "--set", setting, "--output", str(tmp_path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.parametrize("option", [("--services", "services.json"), ("--slowness", "2")])
def test_service_times_are_the_simulators_only(option, monkeypatch, tmp_path):
    monkeypatch.setattr("testbed.cli.experiments.choose_lab", lambda *_: UmlLab())
    command = ["run", "rekey", "--lab", "uml", *option, "--output", str(tmp_path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert f"{option[0]} is for the sim lab" in done.output


def test_hosts_may_be_slower_than_measured(one, tmp_path):
    fast = results.load(one)
    given = ("--services", str(one / "services.json"), "--slowness", "10")
    slow = results.load(carry_out(tmp_path, ONE, *given))
    assert slow.manifest.services == f"{fast.manifest.services}, times 10"
    computed = [loaded.runs[0].phases["total"] - 11 * 0.04 for loaded in (fast, slow)]
    assert computed[1] == pytest.approx(10 * computed[0], rel=0.01)


@pytest.mark.parametrize("slowness", ["nan", "0", "-1", "1001"])
def test_how_much_slower_has_limits(slowness, tmp_path):
    done = CliRunner().invoke(
        main, ["run", "rekey", "--lab", "sim", "--slowness", slowness, "--output", str(tmp_path)]
    )
    assert done.exit_code == 2
    assert "'--slowness'" in done.output
    assert not list(tmp_path.iterdir())


def test_the_variants_that_can_be_simulated_are_named(tmp_path):
    done = CliRunner().invoke(main, ["run", "paper", "--lab", "sim", "--output", str(tmp_path)])
    assert "the others: --variant resident --variant resident-no-dad\n" in done.output


def test_reasons_are_grouped_behind_what_can_be_simulated(tmp_path):
    done = CliRunner().invoke(main, ["run", "attacks", "--lab", "sim", "--output", str(tmp_path)])
    _, what, able, *reasons = done.output.splitlines()
    assert what.endswith("the sim lab cannot carry this out")
    assert able.startswith("it can carry out the others: --variant client-other-ca ")
    assert len(reasons) < 12
    assert "variants pana-replay, pana-flip, pana-termination, rogue-paa, " in reasons[0]
    assert reasons[0].endswith(": the attacker on host E sends from real sockets")
    whys = [line.rpartition(": ")[2] for line in reasons]
    assert whys == list(dict.fromkeys(whys))


@pytest.mark.parametrize(
    ("octets", "where"), [(500, "Z: File too large"), (20_000, "leases.sqlite: not a usable")]
)
def test_a_disk_without_room_is_told_in_words(octets, where, tmp_path):
    command = [sys.executable, "-m", "testbed", "run", "paper", "--variant", "resident"]
    options = ["--lab", "sim", "--runs", "1", "--output", str(tmp_path)]
    limited = ["prlimit", f"--fsize={octets}", *command, *options]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert where in done.stderr.splitlines()[-1]


def test_service_times_of_another_experiment_are_refused(one, tmp_path):
    given = ["--services", str(one / "services.json"), "--output", str(tmp_path)]
    done = CliRunner().invoke(main, ["run", "rekey", "--lab", "sim", *given])
    assert done.exit_code == 2
    assert "no service times of eap" in done.output
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"format": 2, "more": []}', "format 2, and this version of mip6lab reads format 1"),
        ('{"format": 1}', "missing required field `cpu`"),
        pytest.param('{"x": ' + 10**5 * "[", "contains unknown field `x`", id="deep"),
    ],
)
def test_service_times_that_cannot_be_read_are_refused(content, told, tmp_path):
    file = tmp_path / "services.json"
    file.write_text(content)
    given = ["--variant", "resident", "--services", str(file), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["run", "paper", "--lab", "sim", *given])
    assert done.exit_code == 2
    assert told in done.output
    assert not [*(tmp_path / "out").iterdir()]


def test_service_times_that_were_measured_with_other_settings_are_told(one, tmp_path):
    other = ONE + "settings.ike.mode = 'aggressive'\nruns = 1\n"
    loaded = results.load(carry_out(tmp_path, other, "--services", str(one / "services.json")))
    assert loaded.manifest.services.endswith("with other settings: settings.ike")
    assert any("settings.ike" in warning for warning in loaded.warnings)


def test_service_times_of_another_approach_by_the_same_name_are_refused(one, tmp_path):
    experiment = tmp_path / "one.toml"
    experiment.write_text(ONE.replace('"pana-ikev1"', '"pana-ikev2"'))
    given = ["--services", str(one / "services.json"), "--output", str(tmp_path)]
    done = CliRunner().invoke(main, ["run", str(experiment), "--lab", "sim", *given])
    assert done.exit_code == 2
    assert "no service times of only with the approach pana-ikev2" in done.output
    assert not [*tmp_path.glob("one/*")]


def test_ctrl_c_while_service_times_are_measured_leaves_nothing(tmp_path):
    (tmp_path / "one.toml").write_text(ONE)
    there = str(tmp_path / "results")
    command = (*PROGRAM, *RUN, str(tmp_path / "one.toml"), "--output", there)
    with subprocess.Popen(
        command, cwd=PROJECT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as run:
        until(lambda: [*tmp_path.glob("results/one/2*/shared/only/*")])
        run.send_signal(signal.SIGINT)
    assert run.returncode != 0
    assert not [*tmp_path.glob("results/one/*")]


def test_service_times_without_those_of_a_program_are_refused(one, tmp_path):
    times = json.loads((one / "services.json").read_text())
    times["prepared"]["only"]["home_network"] = []
    file, experiment = tmp_path / "services.json", tmp_path / "one.toml"
    file.write_text(json.dumps(times))
    experiment.write_text(ONE)
    given = ["--services", str(file), "--output", str(tmp_path)]
    done = CliRunner().invoke(main, ["run", str(experiment), "--lab", "sim", *given])
    assert done.exit_code == 2
    assert "no service times of the home network of only" in done.output


def test_a_link_that_loses_half_of_everything_is_measured_all_the_same(tmp_path):
    lossy = 'name = "lossy"\napproach = "static"\ntopology = "paper"\nruns = 12\n[variants.only]\n'
    text = f"{lossy}links.access.loss = 50\nlinks.access.delay = 0.1\n"
    folder = carry_out(tmp_path, text)
    runs = results.load(folder).runs
    assert len(runs) == 12
    assert [run.measured["access"]["delay"] for run in runs] == pytest.approx([0.1] * 12, rel=0.01)
    assert {run.measured["access"]["loss"] for run in runs} == {50.0}


CORRUPT = """
attempts = 0
timeout = 3600
links.access.corruption = 20
links.core.corruption = 20
"""
THRICE = "{ access.loss = 1 }, { access.loss = 1, core.loss = 1 }, { core.loss = 1 }"
BAD = """
attempts = 0
timeout = 3600
[links.access]
delay = 0.01
loss = 30
[links.core]
delay = 0.01
loss = 30
[variants.static]"""


def test_where_much_is_lost_all_bootstrap_and_capture_and_events_agree(tmp_path):
    everything = ALL.replace("links.access.delay = 0.005\n[variants.static]", BAD)
    loaded = results.load(carry_out(tmp_path, everything.replace("runs = 1\n", "runs = 2\n")))
    assert len(loaded.runs) == 12
    for run in loaded.runs:
        assert run.status == "ok", run.reason
        for phase, seconds in run.phases.items():
            assert seconds == pytest.approx(run.event_phases[phase], abs=0.02), (run.variant, phase)
        traffic = run.traffic.links["access"].protocols.values()
        assert sum(count.repeated for count in traffic) > 0
    (sample, *_) = [s for s in losses.samples(loaded) if s.variant == "static"]
    assert sample.condition == losses.Condition(("access", "core"), "loss", 30.0)
    assert sample.success == 1.0


def test_where_a_fifth_has_a_wrong_bit_capture_and_events_agree(tmp_path):
    text = ALL.partition("[variants.pana-ikev1]")[0].replace("runs = 1", "runs = 30")
    loaded = results.load(carry_out(tmp_path, text + CORRUPT))
    assert [run.status for run in loaded.runs] == ["ok"] * 30
    for run in loaded.runs:
        assert run.phases["total"] == pytest.approx(run.event_phases["total"], abs=0.02)
    assert len({round(run.phases["binding"]) for run in loaded.runs}) > 2


def test_loss_is_drawn_link_by_link_and_then_on_both(tmp_path):
    text = ALL.replace("links.access.delay = 0.005\n", "[sweep]\nlinks = [{}, " + THRICE + "]\n")
    loaded = results.load(carry_out(tmp_path, text.partition("[variants.pana-ikev1]")[0]))
    figure, _ = report.figure(loaded)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == ["loss on access", "loss on core", "loss on access and core"]
    measured = [row[:2] for row in report.rows(loaded)[1]]
    assert measured == [
        ("-", "nothing"),
        ("access", "loss 1 %"),
        ("core", "loss 1 %"),
        ("access and core", "loss 1 %"),
    ]


def test_there_is_no_host_to_run_a_command_in():
    done = CliRunner().invoke(main, ["exec", "--lab", "sim", "true"])
    assert done.exit_code == 2
    assert "'sim' is not one of" in done.output
