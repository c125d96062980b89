"""What a program imports: those that a script starts do so within the bootstrap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
NEEDLESS = {"OpenSSL", "cryptography.x509", "dns", "agents.diameter", "agents.eap.tls"}


@pytest.mark.parametrize(
    "program", ["agents.nodes.ike_daemon.main", "agents.nodes.home_registration.main"]
)
def test_what_a_script_starts_reads_no_certificates(program):
    listed = f"import {program}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", listed], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert program in done.stdout.split()
    assert NEEDLESS.isdisjoint(done.stdout.split())
