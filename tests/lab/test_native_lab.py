"""The native lab; inside user-mode Linux as well as on the host."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.lab import LabError, NativeLab, inside
from tests.lab.needs import needs

pytestmark = needs("namespaces")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a lab does not cover, as it may TMPDIR."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def run(script: str, folder: Path, **environment: str) -> tuple[int, list[str], str]:
    log = folder / "log"
    with NativeLab().start(
        ["sh", "-c", script], cwd=folder, log=log, environment=environment
    ) as job:
        lines = list(job.lines())
        return job.wait(10), lines, log.read_text()


def test_output_log_and_exit_status_are_delivered(folder):
    status, lines, log = run("echo one; echo two; echo bad >&2; exit 7", folder)
    assert (status, lines, log) == (7, ["one", "two"], "bad\n")


def test_a_command_killed_by_a_signal_has_the_shells_status(folder):
    assert run("kill -9 $$", folder)[0] == 128 + signal.SIGKILL


def test_a_place_of_its_own(folder):
    script = """
    ip link add name x0 type veth peer name x1
    ls /sys/class/net | grep -v -e tnl -e sit | xargs  # The kernel's fallback tunnels are nobody's.
    ls /run/netns | wc -l; ip netns add here; ls /run/netns
    echo $HOME $TMPDIR $GIVEN $MIP6LAB_INSIDE $SECRET
    """
    os.environ["SECRET"] = "x"
    try:
        status, lines, log = run(script, folder, GIVEN="yes")
    finally:
        del os.environ["SECRET"]
    assert (status, log) == (0, "")
    assert lines == ["lo x0 x1", "0", "here", "/run/home /run/tmp yes native"]
    assert not Path("/run/netns/here").exists()


def test_wait_times_out_and_leaving_kills(folder):
    with NativeLab().start(["sleep", "987654"], cwd=folder) as job, pytest.raises(TimeoutError):
        job.wait(0.05)
    assert not processes("sleep 987654")


def test_nothing_is_left_when_the_caller_is_killed(folder):
    program = (
        "from pathlib import Path; from testbed.lab import NativeLab\n"
        f"job = NativeLab().start(['sh', '-c', 'sleep 876543 & echo up; sleep 876543'], "
        f"cwd=Path('{folder}'))\n"
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


def test_a_hidden_folder_and_a_missing_right_are_told(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LabError, match="hides"):
        NativeLab().start(["true"], cwd=Path("/run"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="root"):
        NativeLab().start(["true"], cwd=folder)


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
