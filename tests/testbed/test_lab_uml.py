"""The uml lab, booted in earnest where it is installed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.lab import LabError, UmlLab, inside, uml_host
from testbed.lab.doctor import lacking

installed = pytest.mark.skipif(
    inside() is not None or bool(lacking("uml", ())), reason="needs what `mip6lab doctor` lists"
)


@installed
def test_output_log_status_and_ownership(tmp_path):
    # A path that is awkward in a shell and on a kernel's command line, lines that a console would
    # cut or recode.
    folder = tmp_path / "a 'quoted' $folder"
    folder.mkdir()
    program = (
        "import json, os, sys, time\n"
        "open('made', 'w').close()\n"
        "print('bad', file=sys.stderr)\n"
        "for n in range(3): print(json.dumps({'n': n, 'pad': '\u00e9\\t' * 50000}, "
        "ensure_ascii=False), flush=True)\n"
        "print(json.dumps([os.geteuid(), time.time(), os.getcwd()]))\n"
        "sys.stdout.write('no newline'); sys.exit(9)"
    )
    log = folder / "log"
    with UmlLab().start([sys.executable, "-c", program], cwd=folder, log=log) as job:
        *long, facts, last = job.lines()
        status = job.wait(30)
    assert [json.loads(line)["n"] for line in long] == [0, 1, 2]
    assert all(len(json.loads(line)["pad"]) == 100000 for line in long)
    user, clock, cwd = json.loads(facts)
    assert (user, cwd, last, status) == (0, str(folder), "no newline", 9)
    assert clock == pytest.approx(time.time(), abs=30)
    assert log.read_text() == "bad\n"
    assert (folder / "made").stat().st_uid == os.geteuid()


@installed
def test_without_a_terminal_a_command_that_reads_gets_standard_input(tmp_path):
    given = "one\n\x03\u00e9 two"  # A terminal would take the second line for an interrupt.
    program = (
        "import sys; from pathlib import Path; from testbed.lab import UmlLab\n"
        f"sys.exit(UmlLab().interact(['sh', '-c', 'cat; exit 7'], cwd=Path({str(tmp_path)!r}), "
        "reads=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=given, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (f"{given}\n", 7), done.stderr


@installed
def test_kernel_features_that_a_host_may_lack_are_there(tmp_path):
    program = (
        "from testbed.lab.doctor import examine\n"
        "print([f.name for f in examine() if f.kind == 'kernel' and not f.here])"
    )
    with UmlLab().start([sys.executable, "-c", program], cwd=Path.cwd()) as job:
        assert list(job.lines()) == ["[]"]
    assert not list(tmp_path.iterdir())


@installed
def test_nothing_is_left_when_the_caller_is_killed(tmp_path):
    program = (
        "from pathlib import Path; from testbed.lab import UmlLab\n"
        f"job = UmlLab().start(['sh', '-c', 'pwd; sleep 1000'], cwd=Path('{tmp_path}'))\n"
        "print(job._folder, flush=True)\n"
        "for line in job.lines(): print(line, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        folder = caller.stdout.readline().decode().strip()
        assert caller.stdout.readline().decode().strip() == str(tmp_path)
        assert at_work(folder)
        caller.kill()
    until(lambda: not at_work(folder) and not Path(folder).exists())


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
        assert len(at_work(str(uml_host.PREFIX))) >= 2
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
    with (
        UmlLab().start(["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 100"], cwd=tmp_path) as job,
        pytest.raises(LabError, match="panic"),
    ):
        job.wait(30)


def test_without_room_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(uml_host, "_has_room", lambda *_: False)
    with pytest.raises(LabError, match="TMPDIR"):
        uml_host.memory()


def test_labs_at_once_share_the_memory_and_need_room_for_all(monkeypatch):
    rooms = []
    monkeypatch.setattr(uml_host, "_available", lambda: 6 << 30)
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
    stale = tmp_path / f"{uml_host.PREFIX}stale"
    stale.mkdir()
    os.utime(stale, (0, 0))
    with uml_host.job_folder() as folder:
        assert not stale.exists()
        os.utime(folder, (0, 0))
        uml_host.sweep()
        assert folder.exists()
    assert not folder.exists()


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def at_work(text: str) -> list[str]:
    """Return the command lines at work that contain the text; defunct ones have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and "linux.uml" in line:
            found.append(line)
    return found
