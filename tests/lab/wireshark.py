"""What tcpdump captures in a host, and what tshark says of a capture."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.namespaces import DEADLINE, Host


def _skip_without(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"needs {program}")


@contextmanager
def capturing(host: Host, interface: str, what: str, path: Path) -> Iterator[None]:
    """Capture while the block runs; a ping at its end makes sure of what came before."""
    _skip_without("tcpdump")
    tcpdump = subprocess.Popen(
        host.command("tcpdump", "-U", "--immediate-mode", "-i", interface, "-w", str(path), what),
        stderr=subprocess.PIPE,
    )
    try:
        assert tcpdump.stderr
        assert any(b"listening" in line for line in tcpdump.stderr)
        yield
    finally:
        tcpdump.send_signal(signal.SIGINT)
        tcpdump.communicate(timeout=DEADLINE)


def tshark(path: Path, *options: str, **environment: str) -> list[str]:
    """Return the lines that tshark writes of a capture."""
    _skip_without("tshark")
    return subprocess.run(
        ["tshark", "-n", "-r", path, *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
