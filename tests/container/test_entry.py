"""The image's entry point by itself: whose command it becomes, and what it says about results."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ENTRY = Path(__file__).parents[2] / "setup" / "container"
CALLER, LAB = 12345, 54321

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Make an image's folders: the project, lab's, and one that the caller has mounted."""
    tmp_path.chmod(0o755)
    for name, owner in (("testbed", LAB), ("testbed/setup", LAB), ("mounted", CALLER)):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, owner, owner)
    shutil.copy(ENTRY, tmp_path / "testbed" / "setup")
    (tmp_path / "bin").mkdir()
    find = tmp_path / "bin" / "findmnt"
    find.write_text(
        f'#!/bin/sh\nfor last; do :; done; last=$(readlink -f "$last")\n'
        f"case $last in {tmp_path}/mounted*) echo {tmp_path}/mounted;; *) echo /;; esac\n"
    )
    find.chmod(0o755)
    return tmp_path


def enter(image: Path, results: str) -> tuple[int, str]:
    """Return as whom a command runs, and what was said."""
    path = f"{image / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "setup/container", "id", "-u"],
        cwd=image / "testbed",
        env={"PATH": path, "MIP6LAB_RESULTS": results},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout), done.stderr


@pytest.mark.parametrize("where", ["mounted", "mounted/", "mounted/of a group/of mine"])
def test_below_what_is_mounted_it_is_the_callers(image: Path, where: str) -> None:
    assert enter(image, f"{image}/{where}") == (CALLER, "")


@pytest.mark.parametrize("where", ["nothing/like/this", "--help", "testbed", "bin/findmnt"])
def test_elsewhere_it_is_the_labs_and_the_results_go(image: Path, where: str) -> None:
    for results in (where, f"{image}/{where}"):
        user, said = enter(image, results)
        assert user == LAB
        assert len(said.splitlines()) == 1
        assert f"{where} is no folder of yours" in said


def test_a_relative_folder_is_below_the_working_directory(image: Path) -> None:
    assert enter(image, "../mounted")[0] == CALLER
