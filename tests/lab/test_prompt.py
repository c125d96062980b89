"""Mininet's prompt, by `mip6lab shell` and by Mininet's own command as the README has it."""

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.base.places import PROJECT
from testbed.lab import NativeLab
from tests.lab.needs import needs

pytestmark = needs("namespaces", "veth", "sch_htb")

SHELL = [sys.executable, "-m", "testbed", "shell", "paper", "--lab", "native"]
ALL_REACHED = "*** Results: 0% dropped (12/12 received)"
# What runs without a virtual environment, and what Mininet's own clean-up would remove.
# The clone may be below /tmp.
APART = """
mount --bind . /mnt && mount -t tmpfs tmpfs /tmp && cd /mnt || exit
touch /tmp/foreign.log
ip link add name foreign-eth0 type veth peer name foreign-eth1
printf 'pingall\\n' | env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin {command}
ls /tmp/foreign.log /sys/class/net/foreign-eth0 >/dev/null || echo removed
pgrep -f '[m]ininet:' || echo none left
"""


def test_a_script_is_carried_out_and_none_of_it_eaten_by_a_host(tmp_path):
    script = tmp_path / "script"
    script.write_text("nodes\nnet\nA ping -c1 CN\nlinks\npingall\n")

    with script.open() as stdin:
        done = subprocess.run(
            SHELL, cwd=PROJECT, stdin=stdin, capture_output=True, text=True, check=False
        )

    said = done.stdout
    assert done.returncode == 0, done.stderr
    expected = (
        "A (mobile node), B (access router)",
        "*** Starting CLI:",
        "available nodes are: \nA B C CN\n",
        "B B-access:A-access B-core:C-core",
        "1 packets transmitted, 1 received",
        "A-access<->B-access",
        "A -> B C CN",
        ALL_REACHED,
    )
    places = [said.find(text) for text in expected]
    assert -1 not in places, said
    assert places == sorted(places)


class Terminal:
    """A program on a terminal."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(PROJECT)
            os.execv(command[0], command)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def read_until(self, text: str) -> str:
        """Return what is said up to `text`; AssertionError after 30 s without it."""
        said, deadline = b"", time.monotonic() + 30
        while text.encode() not in said:
            ready, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {text!r} in {said!r}"
            said += os.read(self._fd, 4096)
        return said.decode()

    def end(self) -> int:
        status = os.waitpid(self.pid, 0)[1]
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


def test_at_a_terminal_ctrl_c_ends_what_runs_in_a_host_and_no_more():
    terminal = Terminal(SHELL)
    terminal.read_until("mininet> ")
    terminal.type("A ping CN\n")
    terminal.read_until("icmp_seq=2")
    terminal.type("\x03")
    terminal.read_until("mininet> ")
    terminal.type("pingall\n")
    assert ALL_REACHED in terminal.read_until("mininet> ").split("mininet> ")[0]
    terminal.type("exit\n")
    terminal.read_until("*** Done")
    assert terminal.end() == 0


@pytest.fixture
def folder(place) -> Path:
    """A folder that the hosts of a lab can reach, with a clone's topologies and no more."""
    shutil.copytree(PROJECT / "topologies", place / "topologies", dirs_exist_ok=True)
    return place


def documented() -> str:
    """Return Mininet's command as the README has it, without sudo."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    [command] = set(re.findall(r"sudo (mn --custom [^`\n#]+)", readme))
    return shlex.join(shlex.split(command))


def mininet(command: str, folder: Path, at: Path = PROJECT) -> tuple[str, list[str]]:
    """Run Mininet apart; return what was left of the foreign things, and what it said."""
    log = folder / "log"
    script = APART.format(command=f"{command} >&2")
    with NativeLab().start(["sh", "-c", script], cwd=at, log=log) as job:
        left = list(job.lines())
        job.wait(60)
    said = log.read_text()
    log.unlink()
    return said, left


def test_the_documented_command_of_mininet_works_without_our_packages(folder):
    said, left = mininet(documented(), folder)

    assert ALL_REACHED in said
    assert not re.search(r"quantum|Error: (?!setting resource limits)|Traceback", said), said
    assert left == ["none left"]


@pytest.mark.parametrize("trouble", ["a wrong argument", "half a clone"])
def test_what_goes_wrong_removes_nothing_of_others(folder, trouble):
    if trouble == "half a clone":
        said, left = mininet(documented(), folder, at=folder)
        assert "topologies/mn.py: No module named 'testbed'" in said
    else:
        said, left = mininet(documented().replace("paper ", "paper,nonsense=1 "), folder)
        assert "Caught exception" in said
    assert left == ["none left"]
