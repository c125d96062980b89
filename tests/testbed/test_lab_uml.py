"""The uml lab, booted in earnest where it is installed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.lab import LabError, UmlLab, host, inside, uml_host
from testbed.lab.doctor import lacking
from tests import guests

installed = pytest.mark.skipif(
    inside() is not None or bool(lacking("uml", ())), reason="needs what `mip6lab doctor` lists"
)


@installed
def test_output_log_status_and_ownership(tmp_path):
    guests.check_output_log_status_and_ownership(UmlLab(), tmp_path)


@installed
def test_without_a_terminal_a_command_that_reads_gets_standard_input(tmp_path):
    guests.check_standard_input("uml", tmp_path)


@installed
def test_kernel_features_that_a_host_may_lack_are_there():
    guests.check_kernel_features(UmlLab())


@installed
def test_a_terminal_is_handed_on(tmp_path):
    guests.check_terminal("uml", tmp_path)


@installed
def test_nothing_is_left_when_the_caller_is_killed(tmp_path):
    guests.check_nothing_is_left_of_a_killed_caller("uml", "linux.uml", tmp_path)


@installed
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_two_labs_share_the_runs_and_nothing_is_left_when_the_command_is_killed(tmp_path):
    (tmp_path / "two.toml").write_text(
        'name = "two"\napproach = "static"\ntopology = "paper"\nruns = 2\n'
        "settings.duplicate_address_detection = false\n[variants.only]\n"
    )
    command = (sys.executable, "-m", "testbed", "run", "--lab", "uml")
    begin = (*command, str(tmp_path / "two.toml"), "--jobs", "2", "--output", str(tmp_path))
    with subprocess.Popen(begin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as first:
        until(lambda: len(list(tmp_path.glob("two/2*/runs/*"))) == 2)
        assert len(at_work(str(host.PREFIX))) >= 2
        first.kill()
    [folder] = tmp_path.glob("two/2*")
    consoles = [path.read_text() for path in folder.glob("lab*.console.log")]
    own = [line.split("uml_dir=")[1].split()[0] for line in consoles]
    assert len(set(own)) == 2
    until(lambda: not any(at_work(one) or Path(one).exists() for one in own))

    resume = (*command, "--resume", str(folder), "--json")
    done = subprocess.run(resume, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "2 at a time" in done.stderr
    assert json.loads(done.stdout)["done"] == 2
    runs = [json.loads(line)["run"] for line in (folder / "runs.jsonl").read_text().splitlines()]
    assert sorted(runs) == [1, 2]


@installed
def test_a_kernel_that_dies_is_told_with_its_last_words(tmp_path):
    guests.check_last_words(UmlLab(), tmp_path)


def test_without_room_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(uml_host, "_has_room", lambda *_: False)
    with pytest.raises(LabError, match="TMPDIR"):
        uml_host.memory()


def test_labs_at_once_share_the_memory_and_need_room_for_all(monkeypatch):
    rooms = []
    monkeypatch.setattr(host, "_available", lambda: 6 << 30)
    monkeypatch.setattr(uml_host, "_has_room", lambda _, size: rooms.append(size) or True)

    sizes = [uml_host.memory(at_once=n)[0] for n in (1, 2, 5, 100)]

    assert sizes == [2 << 30, 2 << 30, 1 << 30, 512 << 20]
    assert rooms == [2 << 30, 4 << 30, 5 << 30, 50 << 30]


def test_without_the_program_it_says_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match="make setup"):
        uml_host.program()


def test_two_labs_take_two_cpus():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU")
    with uml_host.one_cpu() as first, uml_host.one_cpu() as second:
        free = first != second
    # Labs of others may hold them all.
    assert free or first in os.sched_getaffinity(0)


def test_stale_folders_are_swept_and_those_in_use_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stale = tmp_path / f"{host.PREFIX}stale"
    stale.mkdir()
    os.utime(stale, (0, 0))
    with host.job_folder() as folder:
        assert not stale.exists()
        os.utime(folder, (0, 0))
        host.sweep()
        assert folder.exists()
    assert not folder.exists()


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def at_work(text: str) -> list[str]:
    return guests.at_work("linux.uml", text)
