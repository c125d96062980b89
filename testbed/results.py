"""The results folder of an experiment: writing it run by run, reading it back."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Literal

import msgspec

from testbed.counts import Traffic
from testbed.files import replace, write_csv
from testbed.jsonl import DataError, append_line, read_lines
from testbed.manifest import Manifest, read_manifest
from testbed.phases import DISCOVERY, OVERLAP, PHASES, TOTAL, contradiction

PAPER = Path(__file__).with_name("paper.toml")


class Run(msgspec.Struct, kw_only=True):
    """One line of runs.jsonl: a bootstrap from a cold start. All times in seconds.

    `phases` are from the capture, `event_phases` from the agents' events; `first_packet` counts
    from the start of the bootstrap; `discovery` and `overlap` are those of testbed.phases.Timeline,
    in results from before them None. A failed run says why in `reason`; one that ended
    otherwise than in a bootstrap, as its experiment expects, is `expected`, with what it came to in
    `outcome`. `continuity` is the traffic to the
    home address while steps were carried out: `sent`, `answered`, and the longest `silence` in
    seconds. `measured` holds what was
    found on each link before the run, by the names of its shape; None is what was not measured.
    `parameters` is the run's point of a sweep's grid; `traffic` what the captures show.
    `processor` is what the hosts' processors were slowed down to (testbed.cpu.Processor).
    `programs` is what each program, as "B-access_router", used from the mobile node's start to the
    bootstrap's end: `cpu` of `seconds`, and the peak of its `memory` in octets. `flood` is what a
    stranger sent meanwhile and before: `attempts`, packets `sent`, `answered` and `refused`, in
    `seconds`, and how many bindings were `accepted`.
    """

    run: int
    variant: str
    seed: int
    status: Literal["ok", "expected", "failed"]
    reason: str | None = None
    outcome: str = ""
    continuity: dict[str, float] | None = None
    phases: dict[str, float] | None = None
    event_phases: dict[str, float] | None = None
    first_packet: float | None = None
    discovery: float | None = None
    overlap: float | None = None
    costs: dict[str, float] = {}
    measured: dict[str, dict[str, float | None]] = {}
    parameters: dict[str, Any] = {}
    traffic: Traffic | None = None
    processor: dict[str, float] | None = None
    programs: dict[str, dict[str, float]] = {}
    flood: dict[str, float] | None = None

    @property
    def share(self) -> float:
        """The part of a CPU that each host had."""
        return (self.processor or {}).get("share", 1.0)

    def __post_init__(self) -> None:
        if self.status == "ok":
            missing = [name for name in (*PHASES, TOTAL) if name not in (self.phases or {})]
            if missing:
                raise ValueError(f"run {self.run} is ok but has no {', '.join(missing)}")


class PaperPhase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure of the paper in seconds, and the sentence that gives it."""

    seconds: float
    source: str


class Paper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The paper's figures; its parts and `unattributed` sum to the `total` that it states."""

    title: str
    section: str
    source: str
    total: float
    unattributed: float
    statistic: str
    phases: dict[str, PaperPhase]
    platform: dict[str, Any]

    @property
    def seconds(self) -> dict[str, float]:
        """The five phases and `total` in seconds."""
        return {name: self.phases[name].seconds for name in PHASES} | {TOTAL: self.total}


@dataclass(frozen=True)
class Results:
    """A results folder as read back; `warnings` says what was tolerated."""

    folder: Path
    experiment: str
    runs: list[Run]
    variants: list[str]
    manifest: Manifest | None
    paper: Paper
    warnings: list[str] = field(default_factory=list)

    def of(self, variant: str) -> list[Run]:
        """Return all runs of a variant."""
        return [run for run in self.runs if run.variant == variant]

    def succeeded(self, variant: str) -> list[Run]:
        """Return the successful runs of a variant."""
        return [run for run in self.of(variant) if run.status == "ok"]

    @property
    def axes(self) -> dict[str, list[Any]]:
        """The values of every swept parameter, by its dotted path; numbers in order."""
        found: dict[str, list[Any]] = {}
        for run in self.runs:
            for path, value in run.parameters.items():
                values = found.setdefault(path, [])
                if value not in values:
                    values.append(value)
        return {path: sorted(values, key=_in_order) for path, values in found.items()}

    @property
    def points(self) -> list[dict[str, Any]]:
        """The points of the sweep's grid that have a run, in order; one empty one without."""
        axes = self.axes
        grid = (dict(zip(axes, values, strict=True)) for values in product(*axes.values()))
        used = [run.parameters for run in self.runs]
        return [point for point in grid if point in used]

    def at(self, point: Mapping[str, Any]) -> Results:
        """Return the results with only the runs that have the values of `point`."""
        runs = [r for r in self.runs if point.items() <= r.parameters.items()]
        return replace_fields(self, runs=runs)

    @property
    def failed(self) -> list[Run]:
        """The failed runs."""
        return [run for run in self.runs if run.status == "failed"]

    def values(self, variant: str, phase: str) -> list[float]:
        """Return a phase's times in seconds over the successful runs of a variant.

        Beside the phases and `total`: `discovery` and `overlap`, of the runs that have them.
        """
        good = self.succeeded(variant)
        if phase in (DISCOVERY, OVERLAP):
            found = [run.discovery if phase == DISCOVERY else run.overlap for run in good]
            return [value for value in found if value is not None]
        return [run.phases[phase] for run in good if run.phases]


def _in_order(value: Any) -> tuple[bool, float, str]:
    """Sort numbers by value, and what is none behind them by its text."""
    number = isinstance(value, int | float)
    return not number, float(value) if number else 0.0, str(value)


def load_paper(path: Path = PAPER) -> Paper:
    """Read the paper's figures; raises DataError."""
    try:
        paper = msgspec.toml.decode(path.read_bytes(), type=Paper)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from None
    missing = [name for name in PHASES if name not in paper.phases]
    if missing:
        raise DataError(f"{path}: no phase {', '.join(missing)}")
    return paper


def create(root: Path, experiment: str, spec: str = "", run_id: str | None = None) -> Path:
    """Make results/<experiment>/<run id>/ with its spec.toml, and point `latest` to it.

    Without `run_id` it is the time in UTC.
    """
    run_id = run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    parent = root / experiment
    parent.mkdir(parents=True, exist_ok=True)
    folder, number = parent / run_id, 1
    while True:
        try:
            folder.mkdir()
            break
        except FileExistsError:
            number += 1
            folder = parent / f"{run_id}-{number}"
    replace(folder / "spec.toml", spec)
    (folder / "runs.jsonl").touch()
    (folder / "runs").mkdir()
    link_latest(folder)
    return folder


def link_latest(folder: Path) -> None:
    """Point `latest`, beside `folder`, to it."""
    link = folder.parent / "latest"
    fresh = folder.parent / f".latest.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(link)


def run_folder(folder: Path, number: int) -> Path:
    """Return the path of runs/<number>/."""
    return folder / "runs" / f"{number:04}"


def make_run_folder(folder: Path, number: int) -> Path:
    """Make and return runs/<number>/: captures/, logs/, and private configuration/ and keys/."""
    run = run_folder(folder, number)
    for name in ("captures", "logs"):
        (run / name).mkdir(parents=True, exist_ok=True)
    for name in ("configuration", "keys"):
        (run / name).mkdir(mode=0o700, exist_ok=True)
    return run


def append(folder: Path, run: Run) -> None:
    """Add a run to runs.jsonl; it is on disk when this returns."""
    append_line(folder / "runs.jsonl", run)


def read_run(line: Mapping[str, Any]) -> Run:
    """Return the run that a line of runs.jsonl is about; raises DataError."""
    try:
        run: Run = msgspec.convert(line, Run)
    except msgspec.ValidationError as error:
        raise DataError(f"a run's line: {error}") from None
    return run


def load(folder: Path) -> Results:
    """Read a results folder; raises DataError with file and line.

    The variants are in the order of spec.toml, then of their first run.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise DataError(f"{folder}: no such results folder")
    lines = read_lines(folder / "runs.jsonl", Run)
    spec = read_spec(folder / "spec.toml")
    manifest = read_manifest(folder)
    used = dict.fromkeys(run.variant for run in lines.items)
    named = [name for name in spec.get("variants", {}) if name in used]
    return Results(
        folder=folder,
        experiment=manifest.experiment if manifest else str(spec.get("name", folder.parent.name)),
        runs=lines.items,
        variants=list(dict.fromkeys([*named, *used])),
        manifest=manifest,
        paper=load_paper(),
        warnings=[*([lines.torn] if lines.torn else []), *contradictions(lines.items)],
    )


def contradictions(runs: Iterable[Run]) -> list[str]:
    """Return a line a run whose capture and events contradict each other."""
    told = (
        (run, contradiction(run.phases or {}, run.event_phases or {}, run.share)) for run in runs
    )
    return [f"run {run.run} ({run.variant}): {text}" for run, text in told if text]


def read_spec(path: Path) -> dict[str, Any]:
    """Return a results folder's spec.toml as it is, empty without one; raises DataError."""
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}") from None


def write_phases_csv(results: Results) -> Path:
    """Write phases.csv: a line a run, failed ones too, times in seconds."""
    names, beside = (*PHASES, TOTAL), ("first_packet", DISCOVERY, OVERLAP)
    rows: list[list[Any]] = [["run", "variant", "seed", "status", *names, *beside, "reason"]]
    for run in results.runs:
        times = [(run.phases or {}).get(name, "") for name in names]
        found = (run.first_packet, run.discovery, run.overlap)
        more = ["" if value is None else value for value in found]
        rows.append([run.run, run.variant, run.seed, run.status, *times, *more, run.reason or ""])
    return write_csv(results.folder / "phases.csv", rows)
