"""The measurements beside others, once each and briefly: all of them give times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.base.places import PROJECT
from tests.lab.needs import needs
from tests.lab.strongswan import CHARON

TOOLS = (CHARON, "/usr/sbin/hostapd", "/usr/bin/eapol_test")

pytestmark = [
    needs("namespaces", "veth", "esp6", "xfrm_user"),
    pytest.mark.skipif(
        not all(Path(tool).exists() for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
    ),
]


def test_every_comparison_has_a_time_of_both_sides_cold_and_warm():
    command = [sys.executable, "-m", "tests.lab.peers", "--rounds", "1", "--warm", "1"]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    _, _, *lines = done.stdout.strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [cell[1] for cell in cells] == ["cold", "warm"] * 4
    for _, _, theirs, ours, ratio in cells:
        theirs_ms, own_ms, quotient = (float(c.split()[0]) for c in (theirs, ours, ratio))
        assert theirs_ms > 0.5
        assert own_ms > 0.5
        assert quotient == pytest.approx(own_ms / theirs_ms, abs=0.02)
