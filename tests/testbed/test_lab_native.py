"""The native lab; what needs root is skipped without it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.lab import LabError, NativeLab, inside
from testbed.lab.doctor import examine

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def namespaces() -> bool:
    return os.geteuid() == 0 and examine(["namespaces"])[0].here is True


needs_namespaces = pytest.mark.skipif(not namespaces(), reason="needs root and namespaces")


def run(script: str, tmp_path: Path, **environment: str) -> tuple[int, list[str], str]:
    log = tmp_path / "log"
    with NativeLab().start(
        ["sh", "-c", script], cwd=tmp_path, log=log, environment=environment
    ) as job:
        lines = list(job.lines())
        return job.wait(10), lines, log.read_text()


@needs_namespaces
def test_output_log_and_exit_status_are_delivered(tmp_path):
    status, lines, log = run("echo one; echo two; echo bad >&2; exit 7", tmp_path)
    assert (status, lines, log) == (7, ["one", "two"], "bad\n")


@needs_namespaces
def test_a_command_killed_by_a_signal_has_the_shells_status(tmp_path):
    assert run("kill -9 $$", tmp_path)[0] == 128 + signal.SIGKILL


@needs_namespaces
def test_a_place_of_its_own(tmp_path):
    script = """
    ip -br link | wc -l
    ip link add name x0 type veth peer name x1 && ls /sys/class/net | tr '\\n' ' '; echo
    ls /run/netns | wc -l; ip netns add here; ls /run/netns
    echo $HOME $TMPDIR $GIVEN $MIP6LAB_INSIDE $SECRET
    """
    os.environ["SECRET"] = "x"
    try:
        status, lines, log = run(script, tmp_path, GIVEN="yes")
    finally:
        del os.environ["SECRET"]
    assert (status, log) == (0, "")
    assert lines == ["1", "lo x0 x1 ", "0", "here", "/run/home /run/tmp yes native"]
    assert not Path("/run/netns/here").exists()


@needs_namespaces
def test_wait_times_out_and_leaving_kills(tmp_path):
    with NativeLab().start(["sleep", "987654"], cwd=tmp_path) as job, pytest.raises(TimeoutError):
        job.wait(0.05)
    assert not processes("sleep 987654")


@needs_namespaces
def test_nothing_is_left_when_the_caller_is_killed(tmp_path):
    program = (
        "from pathlib import Path; from testbed.lab import NativeLab\n"
        f"job = NativeLab().start(['sh', '-c', 'sleep 876543 & echo up; sleep 876543'], "
        f"cwd=Path('{tmp_path}'))\n"
        "for line in job.lines(): print(line, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"up\n"
        assert processes("sleep 876543")
        caller.kill()
    deadline = time.monotonic() + 10
    while processes("sleep 876543"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_hidden_folder_and_a_missing_right_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LabError, match="hides"):
        NativeLab().start(["true"], cwd=Path("/run"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="root"):
        NativeLab().start(["true"], cwd=tmp_path)


def test_outside_no_lab_is_claimed(monkeypatch):
    monkeypatch.delenv("MIP6LAB_INSIDE", raising=False)
    assert inside() is None


def processes(text: str) -> list[str]:
    """Return the command lines at work that contain the text; defunct ones have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if text in line and "python" not in line:
            found.append(line)
    return found
