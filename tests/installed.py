"""The package tests/plugin, as pip installs it, without a network."""

import shutil
import subprocess
import sys

from testbed.base.places import PROJECT

EXAMPLE = PROJECT / "tests" / "plugin"
_PIP = ("-m", "pip", "--no-input", "--disable-pip-version-check", "--quiet", "install")
_ALONE = ("--no-deps", "--no-index", "--no-build-isolation")


def install(folder):
    """Install it into a folder, and return that."""
    source, target = folder / "source", folder / "installed"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, *_PIP, *_ALONE, "--target", target, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target
