"""A disk that is full or read-only is said in plain words, and costs nothing that was done."""

import subprocess
import sys

import pytest

from testbed.base.places import PROJECT
from tests.testbed import killed

APART = ("unshare", "--map-root-user", "--mount")

pytestmark = pytest.mark.skipif(
    subprocess.run((*APART, "true"), capture_output=True, check=False).returncode != 0,
    reason="no user namespaces",
)


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    return killed.prepare(tmp_path_factory.mktemp("services"))


def check(folder, *what):
    command = (*APART, sys.executable, "-m", "tests.testbed.full_disk", str(folder), *what)
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# Room for no run, and for some; what a run leaves is about 150 KiB.
@pytest.mark.parametrize("what", [("results", "200"), ("results", "700"), ("read-only",)])
def test_results_go_on_when_there_is_room_again(tmp_path, services, what):
    (tmp_path / "services.json").write_bytes(services.read_bytes())

    check(tmp_path, *what)


def test_leases_are_given_again_when_there_is_room(tmp_path):
    check(tmp_path, "leases")
