"""The image, built and run as the README says, by buildah: it needs neither a daemon nor podman.

A build fetches half a gigabyte: it is made where CONTAINER_BUILD_OPTIONS is set, to what the
machine's network takes for a build, certificates say, or to nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
IMAGE = "localhost/mip6lab-test"
BASE = "docker.io/library/debian:12-slim"
CALLER = 12345  # a user that the image knows nothing of
LIMIT = 900  # s


def buildah(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("buildah", *words), capture_output=True, text=True, check=False, timeout=LIMIT
    )


def done(*words: str) -> str:
    result = buildah(*words)
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    options = os.environ.get("CONTAINER_BUILD_OPTIONS")
    if options is None:
        pytest.skip("CONTAINER_BUILD_OPTIONS is not set")
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root changes the owner of a folder")
    base = buildah("from", BASE)
    if base.returncode != 0:
        pytest.skip(f"{BASE} cannot be had here")
    done("rm", base.stdout.strip())
    containerfile = ("--file", str(PROJECT / "Containerfile"))
    isolation = ("--isolation", "chroot", "--network", "host")
    done("bud", *isolation, *shlex.split(options), "--tag", IMAGE, *containerfile, str(PROJECT))
    name = done("from", "--pull-never", IMAGE).strip()
    yield name
    done("rm", name)
    done("rmi", IMAGE)


def run(container: str, volumes: tuple[str, ...], *command: str) -> subprocess.CompletedProcess:
    entry = ("tini", "-s", "-g", "--", "setup/container")
    return buildah("run", "--isolation", "chroot", *volumes, container, "--", *entry, *command)


def test_the_main_job_leaves_its_results_in_the_callers_folder(
    container: str, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    os.chown(results, CALLER, CALLER)

    main_job = run(
        container,
        ("--volume", f"{results}:/results"),
        *("make", "experiment", "LAB=uml", "RUNS=1"),
    )

    assert main_job.returncode == 0, main_job.stdout + main_job.stderr
    report = results / "paper" / "latest" / "report.html"
    assert report.stat().st_uid == CALLER
    assert "no folder of yours" not in main_job.stderr


def test_without_a_folder_it_says_that_results_go_with_the_container(container: str) -> None:
    result = run(container, (), "mip6lab", "validate", "experiments/paper.toml")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "-v ./results:/results" in result.stderr


def test_the_command_runs_as_an_ordinary_user(container: str) -> None:
    assert run(container, (), "id", "-un").stdout == "lab\n"
