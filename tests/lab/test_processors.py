"""Slower processors on a real kernel; wants root and cgroup v2 with its CPU controller:

mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_processors.py
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from testbed.cpu import slowed

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


def lacks_controller() -> bool:
    here = "unshare -m sh -c 'mount -t cgroup2 none /mnt && grep -qw cpu /mnt/cgroup.controllers'"
    return bool(os.geteuid()) or bool(os.system(here))


pytestmark = pytest.mark.skipif(lacks_controller(), reason="no CPU controller of cgroup v2")


def test_a_process_takes_as_much_longer_as_its_share_is_small():
    with slowed("mip6lab-test", 0.5) as processors:
        child = subprocess.Popen(
            [sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        processors.assign("A", child.pid)
        out, _ = child.communicate(b"", timeout=60)
        part = processors.processor.share
    assert part < 0.5
    assert float(out) > 0.8 / part
    assert not list(os.scandir("/run/cgroup")) or not os.path.exists("/run/cgroup/mip6lab-test")
