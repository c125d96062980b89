"""`mip6lab interop`: what it tells of a row and keeps of it, and what of tests that do not pass."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from testbed.base.places import PROJECT
from tests.lab.experiment import NEEDS
from tests.lab.needs import needs
from tests.wireshark import rows

TESTS = """
import socket
import pytest

def test_passes(tmp_path, record_property):
    record_property("run", tmp_path)
    (tmp_path / "daemon.log").write_text("served")
    (tmp_path / "silent.log").touch()
    for n in range(3):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 7))

def test_fails():
    assert 1 == 2, "they differ"

def test_has_no_fixture(nowhere):
    pass

@pytest.mark.skip(reason="lacks a daemon")
def test_is_skipped():
    pass
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=PROJECT, capture_output=True, text=True, check=False
    )


@needs("root")
def test_the_plugin_tells_what_became_of_each_test_and_why(tmp_path: Path) -> None:
    module = tmp_path / "test_some.py"
    module.write_text(TESTS)

    kept = tmp_path / "kept"
    done = run(
        *["pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.kept", "--kept"],
        str(kept),
        str(module),
    )

    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    told = {line["test"].rpartition("::")[2]: line for line in lines}
    assert {name: line["outcome"] for name, line in told.items()} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_has_no_fixture": "failed",
        "test_is_skipped": "skipped",
    }
    assert "they differ" in told["test_fails"]["reason"]
    assert "nowhere" in told["test_has_no_fixture"]["reason"]
    assert told["test_is_skipped"]["reason"] == "lacks a daemon"
    folder = kept / "test_some" / "test_passes"
    assert told["test_passes"]["folder"] == str(folder)
    kinds = {"log.txt", "daemon.log", "lab.pcapng", "run"}
    assert {path.name for path in folder.iterdir()} == kinds
    assert (folder / "daemon.log").read_text() == "served"
    assert (folder / "run" / "silent.log").exists()
    assert rows(folder / "lab.pcapng", "udp.dstport", where="udp and not icmp") == ["7"] * 3
    assert "they differ" in (folder.with_name("test_fails") / "log.txt").read_text()


@NEEDS
@needs("nsd")
def test_a_row_is_carried_out_in_a_lab(place: Path) -> None:
    options = "--lab", "native", "--json", "--output", str(place / "interop")
    done = run("testbed", "interop", *options, "NSD", "truncated")

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    [row] = said["pairs"]
    assert (row["status"], row["result"], row["left"]) == (0, "green", "agent")
    assert "NSD" in said["versions"]
    [folder] = map(Path, row["folders"])
    assert folder.is_relative_to(said["folder"])
    assert rows(folder / "a.pcapng", "dns.qry.name", where="dns and tcp")
