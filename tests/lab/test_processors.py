"""Slower processors on a real kernel; wants root and cgroup v2 with its CPU controller:

mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_processors.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.lab.doctor import lacking
from testbed.run.cpu import slowed

SPIN = """
import sys, time
sys.stdin.read()
def worked(seconds):
    begun, wall = time.process_time(), time.monotonic()
    while time.process_time() - begun < seconds:
        pass
    return time.monotonic() - wall
print(worked(0.2) / 0.2)
"""


LACKING = lacking("native", {"cgroup_cpu"})
pytestmark = pytest.mark.skipif(bool(LACKING), reason=", ".join(f.how for f in LACKING))


def test_a_process_takes_as_much_longer_as_its_share_is_small():
    control = Path("/run/cgroup/cgroup.subtree_control")
    before = control.read_text() if control.exists() else ""
    with slowed("mip6lab-test", 0.5) as processors:
        child = subprocess.Popen(
            [sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        processors.assign("A", child.pid)
        out, _ = child.communicate(b"", timeout=60)
        part = processors.processor.share
    assert part < 0.5
    assert float(out) > 0.8 / part
    assert not Path("/run/cgroup/mip6lab-test").exists()
    assert control.read_text() == before


INSIDE = """
import subprocess
from testbed.run.cpu import slowed
with slowed("mip6lab-test", 0.5) as processors, subprocess.Popen(["sleep", "60"]) as child:
    processors.assign("A", child.pid)
    print(open(f"/proc/{child.pid}/cgroup").read())
    child.kill()
"""


def test_a_container_whose_group_has_processes_is_no_obstacle():
    # What a container's manager does: a group, a process in it, and a namespace rooted there.
    script = """
mount -t tmpfs none /run && mount -t cgroup2 none /mnt && mkdir /mnt/container
grep -qw cpu /mnt/cgroup.subtree_control || echo +cpu >/mnt/cgroup.subtree_control
echo $$ >/mnt/container/cgroup.procs
unshare --cgroup --mount "$0" -c "$1"
echo $$ >/mnt/cgroup.procs
rmdir /mnt/container
"""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script, sys.executable, INSIDE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "/mip6lab-test/A" in done.stdout
