"""Runs on workers of a Dask cluster, whose labs are processes in which they take no time."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from distributed import Client

from testbed import cli, runner
from testbed.base.places import PROJECT
from testbed.cluster import client
from testbed.cluster.client import connected
from testbed.cluster.parcel import pack, unpack
from testbed.cluster.worker import Outcome
from testbed.experiment.spec import Spec
from testbed.lab import LabError, host, inside
from testbed.lab.doctor import lacking
from testbed.results import folder as results
from tests import guests
from tests.testbed import synthesis as syn
from tests.testbed.cluster_session import KERNEL
from tests.testbed.dask_cluster import PATIENCE, DaskCluster, until
from tests.testbed.stand_ins import Watcher

SPEC = """
name = "made-up"
approach = "pana-ikev1"
topology = "paper"
runs = 2
[variants.one]
[variants.two]
"""
WORKER = "tests.testbed.cluster_worker"

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    syn.write(folder / "A.pcapng", syn.bootstrap())
    syn.write_events(folder / "events.jsonl")
    return folder


@pytest.fixture
def dask(place):
    with DaskCluster(place, WORKER) as cluster:
        yield cluster


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "made-up.toml").write_text(SPEC)
    return Spec.load(tmp_path / "made-up.toml")


def carry_out(spec, dask, root, watcher=None):
    with connected(dask.address, "auto", spec.needs()) as cluster:
        return runner.carry_out(
            spec,
            spec.plan(),
            lab=cluster,
            jobs=cluster.jobs,
            seed=1,
            root=root,
            watcher=watcher or Watcher(),
        )


def resume(folder, dask):
    with connected(dask.address, "auto", ()) as cluster:
        return runner.resume(folder, lab=cluster, jobs=cluster.jobs, watcher=Watcher())


def began(place):
    """What each session has said of each run's beginning, by run."""
    told = {}
    for path in sorted(place.glob("began-*")):
        _, run, pid = path.name.split("-")
        told.setdefault(int(run), []).append(json.loads(path.read_text()) | {"pid": int(pid)})
    return told


def sessions(place):
    return {one["pid"] for told in began(place).values() for one in told}


def is_alive(pid):
    return Path(f"/proc/{pid}").exists()


def lines(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def in_the_background(call):
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def left_over(dask):
    return [pid for pid in sessions(dask.place) if is_alive(pid)] + list(dask.temporary.iterdir())


def test_a_worker_is_killed_and_all_runs_are_there_exactly_once(spec, tmp_path, place, dask):
    first, second = dask.add_worker(), dask.add_worker()

    def kill():
        both = {first.pid, second.pid}
        until(lambda: {one["worker"] for told in began(place).values() for one in told} == both)
        first.kill()
        (place / "go").touch()

    killer = in_the_background(kill)
    watcher = Watcher()
    outcome = carry_out(spec, dask, tmp_path, watcher)
    killer.join()

    assert sorted(line["run"] for line in lines(outcome.folder)) == [1, 2, 3, 4]
    assert {run.status for run in outcome.results.runs} == {"ok"}
    assert len({run.worker for run in outcome.results.runs}) == 1
    assert watcher.told.count("finished") == 4
    times = {run: [one["worker"] for one in told] for run, told in began(place).items()}
    [lost] = [run for run, workers in times.items() if first.pid in workers]
    assert sorted(times.pop(lost)) == sorted([first.pid, second.pid])
    assert all(workers == [second.pid] for workers in times.values())
    until(lambda: not left_over(dask))


@pytest.mark.skipif(
    inside() is not None or bool(lacking("uml", ())), reason="needs what `mip6lab doctor` lists"
)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_in_user_mode_linux_too_and_nothing_is_left_of_the_killed_workers_lab(tmp_path, place):
    path = tmp_path / "static.toml"
    path.write_text(
        'name = "static"\napproach = "static"\ntopology = "paper"\nruns = 2\n'
        "settings.duplicate_address_detection = false\n[variants.only]\n"
    )

    def begun():
        return list(dask.temporary.glob(f"{host.PREFIX}*/experiment/session/runs/*/events.jsonl"))

    with DaskCluster(place) as dask:
        first = dask.add_worker()

        def kill():
            until(begun)
            dask.add_worker()
            first.kill()

        killer = in_the_background(kill)
        outcome = carry_out(Spec.load(path), dask, tmp_path)
        killer.join()
        until(lambda: not list(dask.temporary.iterdir()))
        until(lambda: not guests.at_work("linux.uml", str(dask.temporary)))

    assert [(run.run, run.reason) for run in outcome.results.runs] == [(n, None) for n in (1, 2)]
    assert len(lines(outcome.folder)) == 2


def test_what_comes_back_is_what_would_have_been_left_here(spec, tmp_path, place, dask):
    dask.add_worker()
    (place / "go").touch()

    outcome = carry_out(spec, dask, tmp_path)

    manifest = outcome.results.manifest
    assert (manifest.lab, manifest.jobs, manifest.kernel) == ("uml", 1, KERNEL)
    [address] = manifest.workers
    assert {run.worker for run in outcome.results.runs} == {address}
    assert outcome.results.warnings == []
    run = results.run_folder(outcome.folder, 1)
    modes = {name: stat.S_IMODE((run / name).stat().st_mode) for name in ("keys", "keys/secret")}
    assert modes == {"keys": 0o700, "keys/secret": 0o600}
    assert "a complaint" in (outcome.folder / "lab.log").read_text()
    assert len(sessions(place)) == 1
    for told in began(place).values():
        here = outcome.folder / "shared" / results.read_plan(outcome.folder)[0].shared
        assert sorted(told[0]["shared"]) == sorted(path.name for path in here.iterdir())
    until(lambda: not left_over(dask))


def test_an_interruption_ends_all_and_what_is_missing_is_carried_out_and_nothing_twice(
    spec, tmp_path, place, dask
):
    dask.add_worker()
    (place / "go-1").touch()
    (place / "go-2").touch()
    interrupter = in_the_background(
        lambda: (until(lambda: 3 in began(place)), os.kill(os.getpid(), signal.SIGINT))
    )
    watcher = Watcher()
    interrupted = carry_out(spec, dask, tmp_path, watcher)
    interrupter.join()

    assert "stopping" in watcher.told
    assert [run.run for run in interrupted.results.runs] == [1, 2]
    until(lambda: not left_over(dask))

    (place / "go").touch()
    outcome = resume(interrupted.folder, dask)

    assert [run.run for run in outcome.results.runs] == [1, 2, 3, 4]
    times = {run: len(told) for run, told in began(place).items()}
    assert times == {1: 1, 2: 1, 3: 2, 4: 1}


def test_nothing_is_left_of_a_client_that_is_killed(tmp_path, place, dask):
    dask.add_worker()
    (tmp_path / "made-up.toml").write_text(SPEC)
    command = (sys.executable, "-m", "testbed", "run", str(tmp_path / "made-up.toml"))
    where = ("--scheduler", dask.address, "--output", str(tmp_path / "out"))
    with subprocess.Popen((*command, *where), cwd=PROJECT, stderr=subprocess.PIPE) as mip6lab:
        until(lambda: began(place))
        mip6lab.kill()

    until(lambda: not left_over(dask))
    (place / "go").touch()
    [folder] = (tmp_path / "out" / "made-up").iterdir()
    assert [run.run for run in resume(folder, dask).results.runs] == [1, 2, 3, 4]


def test_a_run_whose_workers_all_die_has_failed(spec, tmp_path, place):
    watcher = Watcher()
    allowed = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with DaskCluster(place, WORKER, **allowed) as dask:
        first = dask.add_worker()

        def kill():
            until(lambda: watcher.told and began(place))  # Untold it waited for another.
            first.kill()
            dask.add_worker()
            (place / "go").touch()

        killer = in_the_background(kill)
        loaded = carry_out(spec, dask, tmp_path, watcher).results
        killer.join()

    [lost] = loaded.failed
    assert began(place)[lost.run][0]["worker"] == first.pid
    assert "1 worker of the cluster died while they carried it out, the last one" in lost.reason
    assert [run.run for run in loaded.runs] == [1, 2, 3, 4]


def test_a_lab_that_breaks_down_again_and_again_loses_its_run_alone(spec, tmp_path, place, dask):
    dask.add_worker()
    (place / "go").touch()
    (place / "break-3").touch()

    complaint = r"run 3, on a worker of the cluster: the session ended with status 1: out of memory"
    with pytest.raises(LabError, match=complaint):
        carry_out(spec, dask, tmp_path)

    folder = (tmp_path / "made-up" / "latest").resolve()
    assert {1, 2} <= {line["run"] for line in lines(folder)}
    assert 3 not in {line["run"] for line in lines(folder)}
    assert len(began(place)[3]) == 3
    (place / "break-3").unlink()
    assert resume(folder, dask).results.missing == []


def test_a_scheduler_that_goes_is_told_and_what_is_done_is_kept(spec, tmp_path, place, dask):
    dask.add_worker()
    (place / "go-1").touch()
    killer = in_the_background(lambda: (until(lambda: 2 in began(place)), dask.scheduler.kill()))

    with pytest.raises(LabError, match=f"the scheduler at {dask.address} is gone\nwhat is done"):
        carry_out(spec, dask, tmp_path)

    killer.join()
    assert [line["run"] for line in lines((tmp_path / "made-up" / "latest").resolve())] == [1]
    until(lambda: not left_over(dask))


def test_that_no_worker_comes_back_is_told(spec, tmp_path, place, dask, monkeypatch):
    monkeypatch.setattr(client, "ABSENCE", 1.0)
    worker = dask.add_worker()
    killer = in_the_background(lambda: (until(lambda: began(place)), worker.kill()))

    with pytest.raises(LabError, match="has had no worker for 1 s"):
        carry_out(spec, dask, tmp_path)

    killer.join()


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ("other version", "its mip6lab is another version .*: install the same there"),
        ("no lab", "the uml lab lacks: a kernel"),
        ("no product", ".*No module named .*; install the same mip6lab there as here"),
    ],
)
def test_a_worker_that_cannot_be_used_is_named_and_nothing_begins(
    spec, tmp_path, dask, asked, complaint
):
    dask.add_worker(asked)

    with pytest.raises(LabError, match=rf"^worker tcp://127.0.0.1:\d+: {complaint}"):
        carry_out(spec, dask, tmp_path)

    assert not (tmp_path / "made-up").exists()


def test_what_is_not_there_is_said_with_what_to_do(dask, monkeypatch):
    monkeypatch.setattr(client, "CONNECT", 0.5)
    asked = [
        (dask.address, f"the scheduler at {dask.address} has no worker; start some: dask worker"),
        ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1 within"),
        ("nonsense://1", "a scheduler's address is such as tcp://host:8786"),
        ("tls://127.0.0.1:1", "TLS takes its certificates from Dask's configuration"),
    ]
    for address, complaint in asked:
        with pytest.raises(LabError) as refused, connected(address, "auto", ()):
            pass
        assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), r"--scheduler needs Dask: \S+ -m pip install --editable '\S+\[cluster\]'"),
        (("--jobs", "2"), "--jobs is how many labs this machine has at once; with --scheduler"),
    ],
)
def test_what_the_command_line_lacks_is_said(tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made-up.toml").write_text(SPEC)

    done = CliRunner().invoke(
        cli.main, ["run", "made-up.toml", "--scheduler", "tcp://127.0.0.1:1", *arguments]
    )

    assert done.exit_code == 2
    assert re.match(f"mip6lab: {complaint}", done.output)
    assert not (tmp_path / "results").exists()


def test_slots_that_would_share_a_processor_are_refused(dask):
    for _ in range(2):
        dask.add_worker("one CPU")
    with Client(dask.address, set_as_default=False) as here:
        here.wait_for_workers(2, timeout=PATIENCE)

    with pytest.raises(LabError) as refused, connected(dask.address, "auto", ()):
        pass
    assert "its workers have 2 slots and it has 1 CPUs; labs that share" in str(refused.value)


def test_a_folder_travels_with_its_modes_and_without_links(tmp_path):
    there = tmp_path / "there"
    (there / "keys").mkdir(parents=True, mode=0o700)
    (there / "keys" / "secret").write_bytes(b"\0\1")
    (there / "keys" / "secret").chmod(0o400)
    (there / "keys").chmod(0o500)
    (there / "link").symlink_to("/etc/passwd")
    (there / "empty").touch()

    unpack(pack(there), tmp_path / "here")

    here = tmp_path / "here"
    assert sorted(path.name for path in here.iterdir()) == ["empty", "keys"]
    assert (here / "keys" / "secret").read_bytes() == b"\0\1"
    assert stat.S_IMODE((here / "keys" / "secret").stat().st_mode) == 0o400
    assert stat.S_IMODE((here / "keys").stat().st_mode) == 0o500


@pytest.mark.parametrize("name", ["../out", "/tmp/mip6lab-out", "a/../../out"])
def test_nothing_is_unpacked_elsewhere(tmp_path, name):
    with pytest.raises(ValueError, match="is not within the folder"):
        unpack([(".", 0o755, None), (name, 0o644, b"")], tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("folder", "lines"), [([("../out", 0o644, b"")], []), ([(".", 0o700, None)], ["{"])]
)
def test_a_worker_that_sends_no_result_ends_the_session_in_words(tmp_path, folder, lines):
    there = results.create(tmp_path, "made-up", SPEC)
    plan = Spec(tomllib.loads(SPEC), "spec").plan(1)[:1]
    (there / "shared" / plan[0].shared).mkdir(parents=True)
    outcome = Outcome("tcp://worker", 1, lines, folder, b"")
    sent = SimpleNamespace(add_done_callback=lambda done: done(None), result=lambda **_: outcome)
    scheduler = SimpleNamespace(
        status="closed", subscribe_topic=lambda *_: None, submit=lambda *_, **__: sent
    )
    cluster = client.Cluster(scheduler, "tcp://scheduler", ())
    cluster.count_slots = lambda: 1
    (ended,) = cluster.dispatch(there, plan).told()
    assert "run 1: worker tcp://worker of the cluster sent no result" in str(ended.status)
