"""Where the project's own files are, in a clone and in an installed package alike."""

from __future__ import annotations

import sys
from pathlib import Path

DISTRIBUTION = "mip6-bootstrap-testbed"
PROJECT = Path(__file__).resolve().parents[2]
IS_CLONE = (PROJECT / "pyproject.toml").is_file()
EXPERIMENTS = PROJECT / "experiments"
UNPACKED = Path("/opt/mip6lab")
"""Where the set-up unpacks Debian packages that exclude others which are needed, a folder each."""

_INSTALL = "sudo apt-get install --no-install-recommends"


def experiments() -> dict[str, Path]:
    """Return the files of the experiments that ship, by name."""
    return {path.stem: path for path in sorted(EXPERIMENTS.glob("*.toml"))}


def find_experiment(name: str) -> Path:
    """Return the file that `name` is the path of, else the experiment that ships by this name."""
    path = Path(name)
    return path if path.is_file() else experiments().get(name.replace("-", "_"), path)


def how_to_install(*packages: str, level: str = "") -> str:
    """Return what brings Debian packages onto this machine; `level` is that of the set-up."""
    if IS_CLONE:
        more = f" LEVEL={level}" if level else ""
        return f"package {', '.join(packages)}; run once: sudo make setup{more}"
    return f"{_INSTALL} {' '.join(packages)}"


def how_to_install_extra(extra: str) -> str:
    """Return what brings an extra of this distribution into this environment."""
    what = f"--editable '{PROJECT}[{extra}]'" if IS_CLONE else f"'{DISTRIBUTION}[{extra}]'"
    return f"{sys.executable} -m pip install {what}"
