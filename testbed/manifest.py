"""manifest.json of a results folder: the machine and the commit that a result is from."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from testbed.files import write_json
from testbed.jsonl import DataError
from testbed.places import DISTRIBUTION, IS_CLONE

GIT_TIMEOUT = 10.0


class Manifest(msgspec.Struct, kw_only=True):
    """What a result depends on besides its specification. Loads are 1, 5 and 15 minutes'."""

    experiment: str
    run_id: str
    lab: str
    kernel: str
    seed: int
    cpu: str
    cpus: int
    python: str
    packages: dict[str, str]
    commit: str | None = None
    dirty: bool | None = None
    load_before: tuple[float, ...] | None = None
    load_after: tuple[float, ...] | None = None
    delays_asked: dict[str, float] = {}
    delays_measured: dict[str, float] = {}
    started: str
    ended: str | None = None


def read_manifest(folder: Path) -> Manifest | None:
    """Return what manifest.json says, None without one; raises DataError."""
    path = folder / "manifest.json"
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path}: {error}") from None


def begin_manifest(
    folder: Path,
    *,
    lab: str,
    seed: int,
    delays_asked: Mapping[str, float] | None = None,
) -> Manifest:
    """Write manifest.json as far as it is known before the first run. Delays in seconds."""
    commit, dirty = _commit()
    manifest = Manifest(
        experiment=folder.parent.name,
        run_id=folder.name,
        lab=lab,
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        seed=seed,
        cpu=_cpu(),
        cpus=os.cpu_count() or 1,
        python=platform.python_version(),
        packages=_packages(),
        commit=commit,
        dirty=dirty,
        load_before=os.getloadavg(),
        delays_asked=dict(delays_asked or {}),
        started=_now(),
    )
    _write(folder, manifest)
    return manifest


def end_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json again with the time and the load after the last run."""
    manifest.ended = _now()
    manifest.load_after = os.getloadavg()
    _write(folder, manifest)


def _write(folder: Path, manifest: Manifest) -> None:
    write_json(folder / "manifest.json", manifest)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def _packages() -> dict[str, str]:
    """Return the versions of this distribution and of what it requires."""
    versions = {}
    try:
        wanted = [DISTRIBUTION, *(importlib.metadata.requires(DISTRIBUTION) or [])]
    except importlib.metadata.PackageNotFoundError:
        return {}
    for requirement in wanted:
        name = requirement.partition(";")[0].partition("=")[0].strip()
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> tuple[str | None, bool | None]:
    """Return the commit and whether the tree differs from it; None without git or a clone."""
    if not IS_CLONE:
        return None, None  # Whatever repository an installed package lies in is another's.
    head, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return (head.strip() or None) if head else None, None if status is None else bool(status)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", Path(__file__).parent, *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
