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

from testbed.base.files import FORMAT, check_format, write_json
from testbed.base.jsonl import read_json
from testbed.base.places import DISTRIBUTION, IS_CLONE

GIT_TIMEOUT = 10.0
SIM = "sim"
"""The lab of what is simulated."""

LABELS = {"jobs": "number of labs at once"}
"""What is called otherwise in sentences."""

EMULATED = (
    "the processor was emulated (QEMU without KVM): times and link rates are its own;"
    " compare them with no other machine's"
)

SIMULATED = (
    "nothing ran: hosts, kernels and links were models on a virtual clock{} (docs/simulator.md)"
)


class Machine(msgspec.Struct, kw_only=True, frozen=True):
    """What a result depends on of the machine that its lab is on."""

    cpu: str
    cpus: int
    python: str
    kernel: str


def this_machine() -> Machine:
    """Return what this machine is."""
    return Machine(
        cpu=cpu(), cpus=os.cpu_count() or 1, python=platform.python_version(), kernel=kernel()
    )


class Manifest(msgspec.Struct, kw_only=True):
    """What a result depends on besides its specification. Loads are 1, 5 and 15 minutes'.

    `jobs` is how many labs carried out runs at once. `emulated` tells whether the hosts' processor
    was. `services` is where the service times of simulated hosts are from. `kernel` is the one that
    the hosts ran on, None as long as none has; `caller_kernel` that of the machine on which mip6lab
    was called.
    `workers` are the machines that carried out the runs, by address, if that was not this one.
    `earlier` are those of the sessions that were interrupted before this one went on. `format` is
    that of all files of the folder.
    """

    format: int = FORMAT
    experiment: str
    run_id: str
    lab: str
    jobs: int = 1
    emulated: bool = False
    services: str | None = None
    kernel: str | None
    caller_kernel: str | None = None
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
    workers: dict[str, Machine] = {}
    earlier: list[Manifest] = []

    def __post_init__(self) -> None:
        check_format(self.format)

    @property
    def where(self) -> str:
        """The lab in the words of a figure."""
        if self.is_simulated:
            return f"{self.lab} lab, simulated"
        return f"{self.lab} lab{', emulated processor' if self.emulated else ''}"

    @property
    def is_simulated(self) -> bool:
        """Whether runs are a model's, those of any session."""
        return SIM in {one.lab for one in (*self.earlier, self)}

    def warnings(self) -> list[str]:
        """Return what is to be known of all times, a sentence a thing."""
        sessions = (*self.earlier, self)
        told = [EMULATED] if any(one.emulated for one in sessions) else []
        if self.is_simulated:
            origins = dict.fromkeys(one.services for one in sessions if one.services)
            told.append(SIMULATED.format("".join(f", with service times {o}" for o in origins)))
        if not all(one.emulated == self.emulated for one in sessions):
            told.append("the processor was not emulated in all runs")
        return [*told, *self.changes()]

    def changes(self) -> list[str]:
        """Return what was not the same in all sessions, a sentence a thing."""
        told = []
        for what in ("lab", "jobs", "kernel", "cpu", "cpus", "python", "commit"):
            found = [getattr(one, what) for one in (*self.earlier, self)]
            values = dict.fromkeys(str(value) for value in found if value is not None)
            if len(values) > 1:
                name = LABELS.get(what, what)
                told.append(f"the {name} is not the same in all runs: {', '.join(values)}")
        for what in ("cpu", "kernel", "python"):
            values = dict.fromkeys(getattr(one, what) for one in self.workers.values())
            if len(values) > 1:
                told.append(f"the {what} is not the same on all workers: {', '.join(values)}")
        return told


def read_manifest(folder: Path) -> Manifest | None:
    """Return what manifest.json says, None without one; raises DataError."""
    path = folder / "manifest.json"
    if not path.exists():
        return None
    manifest: Manifest = read_json(path, Manifest)
    return manifest


def kernel() -> str:
    """Return the name, release, version and architecture of the kernel that this runs on."""
    name = platform.uname()
    return f"{name.system} {name.release} {name.version} {name.machine}"


def begin_manifest(
    folder: Path,
    *,
    lab: str,
    jobs: int = 1,
    seed: int,
    emulated: bool = False,
    delays_asked: Mapping[str, float] | None = None,
    workers: Mapping[str, Machine] | None = None,
    before: Manifest | None = None,
) -> Manifest:
    """Write manifest.json as far as it is known before the first run. Delays in seconds.

    `before` is the one of the session that this one goes on with.
    """
    commit, dirty = _commit()
    manifest = Manifest(
        experiment=folder.parent.name,
        run_id=folder.name,
        lab=lab,
        jobs=jobs,
        emulated=emulated,
        kernel=None,
        caller_kernel=kernel(),
        services=before.services if before else None,
        seed=seed,
        cpu=cpu(),
        cpus=os.cpu_count() or 1,
        python=platform.python_version(),
        packages=_packages(),
        commit=commit,
        dirty=dirty,
        load_before=os.getloadavg(),
        delays_asked=dict(delays_asked or {}),
        started=_now(),
        workers=dict(workers or {}),
        earlier=[*before.earlier, msgspec.structs.replace(before, earlier=[])] if before else [],
    )
    write_manifest(folder, manifest)
    return manifest


def end_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json again with the time and the load after the last run."""
    manifest.ended = _now()
    manifest.load_after = os.getloadavg()
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json as it is known now."""
    write_json(folder / "manifest.json", manifest)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def cpu() -> str:
    """Return the name of this machine's processor."""
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
