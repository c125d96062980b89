"""The results folder of an experiment: writing it run by run, reading it back."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import msgspec

from agents.core.documents import DocumentError, parse_toml, read
from testbed.base.files import (
    FORMAT,
    beside,
    check_format,
    plain,
    replace,
    sweep,
    write_csv,
    write_json,
)
from testbed.base.jsonl import DataError, append_line, read_json, read_lines
from testbed.base.phases import DISCOVERY, OVERLAP, PHASES, TOTAL, titles
from testbed.experiment.spec import PlannedRun, Spec, SpecError
from testbed.results.manifest import Manifest, read_manifest
from testbed.results.paper import Paper, load_paper
from testbed.results.runs import Run
from testbed.trace.phases import contradiction
from topologies import paper
from topologies.model import Topology

LATEST = "latest"


class _Plan(msgspec.Struct):
    runs: list[PlannedRun]
    format: int = FORMAT

    def __post_init__(self) -> None:
        check_format(self.format)


@dataclass(frozen=True)
class Results:
    """A results folder as read back; `warnings` says what was tolerated.

    `spec` is None if there is none that can be used, `plan` empty if it was not kept.
    """

    folder: Path
    experiment: str
    runs: list[Run]
    variants: list[str]
    manifest: Manifest | None
    paper: Paper
    spec: Spec | None = None
    plan: list[PlannedRun] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def of(self, variant: str) -> list[Run]:
        """Return all runs of a variant."""
        return [run for run in self.runs if run.variant == variant]

    def succeeded(self, variant: str) -> list[Run]:
        """Return the runs of a variant that came to what their experiment expects of them."""
        return [run for run in self.of(variant) if run.status != "failed"]

    def bootstrapped(self, variant: str) -> list[Run]:
        """Return the runs of a variant that succeeded with a bootstrap: those that have times."""
        return [run for run in self.of(variant) if run.status == "ok"]

    def warmth(self, variant: str) -> str:
        """Return whether the programs of a variant were warm or cold; nothing without a run."""
        known = {run.warm for run in self.of(variant)}
        return " and ".join(word for word, so in (("warm", True), ("cold", False)) if so in known)

    def topology(self, variant: str) -> Topology:
        """Return a variant's topology; the paper's if the experiment is not known any more."""
        if self.spec and variant in self.spec.variants:
            return self.spec.topology(variant)
        return paper.TOPOLOGY

    def titles(self, *variants: str, paper: bool = False) -> dict[str, str]:
        """Return what variants' phases are called; without any, those of all.

        The first one's title is its protocol. With `paper` the paper's are beside them.
        """
        spec = self.spec
        known = [v for v in variants or self.variants if spec and v in spec.variants]
        protocols = {spec.settings(v).roles.access.protocol for v in known} if spec else set()
        return titles(protocols | ({"pana"} if paper else set()))

    @property
    def of_many(self) -> bool:
        """Whether runs have many mobile nodes: the paper's times, of one, say nothing of them."""
        return any(run.members or run.crowd for run in self.runs)

    @property
    def expects(self) -> bool:
        """Whether something in particular is expected of a variant."""
        return bool(self.spec and any(one.expect for one in self.spec.variants.values()))

    @property
    def missing(self) -> list[PlannedRun]:
        """The planned runs that have not been carried out."""
        return _without(self.plan, self.runs)

    @property
    def unfinished(self) -> str | None:
        """What is missing, and how to go on; None if nothing is."""
        if not self.missing:
            return None
        counts = Counter(planned.variant for planned in self.missing)
        listed = ", ".join(f"{name} {counts[name]}" for name in self.variants if counts[name])
        return (
            f"interrupted or still under way: {len(self.plan) - len(self.missing)} of"
            f" {len(self.plan)} planned runs done, missing are {listed};"
            f" to go on: mip6lab run --resume {plain(self.folder)}"
        )

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
        plan = [p for p in self.plan if point.items() <= p.parameters.items()]
        return replace_fields(self, runs=runs, plan=plan)

    @property
    def failed(self) -> list[Run]:
        """The failed runs."""
        return [run for run in self.runs if run.status == "failed"]

    def values(self, variant: str, phase: str) -> list[float]:
        """Return a phase's times in seconds over the bootstraps of a variant.

        Beside the phases and `total`: `discovery` and `overlap`, of the runs that have them.
        """
        good = self.bootstrapped(variant)
        if phase in (DISCOVERY, OVERLAP):
            found = [run.discovery if phase == DISCOVERY else run.overlap for run in good]
            return [value for value in found if value is not None]
        return [run.phases[phase] for run in good if run.phases]


def _in_order(value: Any) -> tuple[int, list[str], list[float], str]:
    """Sort numbers by value, all else by its text, tables by their size, then keys, then values."""
    if isinstance(value, dict):
        parts = dict(flat(value))
        return (
            1 + len(parts),
            [*parts],
            [v for v in parts.values() if isinstance(v, int | float)],
            "",
        )
    number = isinstance(value, int | float)
    return not number, [], [float(value)] if number else [], str(value)


def flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a table and those in it, each with its dotted path."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def create(root: Path, experiment: str, spec: str = "", run_id: str | None = None) -> Path:
    """Make results/<experiment>/<run id>/ with its spec.toml.

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
    return folder


def write_plan(folder: Path, plan: Sequence[PlannedRun]) -> None:
    """Write plan.json, by which a session in the lab goes."""
    write_json(folder / "plan.json", _Plan(list(plan)))


def read_plan(folder: Path) -> list[PlannedRun]:
    """Read what write_plan() wrote, nothing without it; raises DataError."""
    path = folder / "plan.json"
    if not path.exists():
        return []
    plan = read_json(path, _Plan | list[PlannedRun])
    runs = plan if isinstance(plan, list) else plan.runs  # The first results had a bare list.
    wrong = [n for n, times in Counter(one.run for one in runs).items() if times > 1 or n < 1]
    if wrong:
        raise DataError(f"{plain(path)}: run {wrong[0]} is not one run, counted from 1")
    return runs


def missing_runs(folder: Path) -> list[PlannedRun]:
    """Return the planned runs that runs.jsonl does not have; raises DataError."""
    return _without(read_plan(folder), _read_runs(folder)[0])


def _without(plan: Iterable[PlannedRun], runs: Iterable[Run]) -> list[PlannedRun]:
    done = {run.run for run in runs}
    return [planned for planned in plan if planned.run not in done]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others from carrying out the same runs; DataError if they are at it already."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DataError(f"{plain(folder)}: its runs are being carried out already") from None
    finally:
        os.close(handle)


def link_latest(folder: Path) -> None:
    """Point `latest`, beside `folder`, to it; what is there and is no link is left alone."""
    link = folder.parent / LATEST
    if _is_no_link(link):
        return
    sweep(folder.parent)
    fresh = beside(link)
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(link)


def _is_no_link(latest: Path) -> bool:
    return latest.exists() and not latest.is_symlink()


def run_folder(folder: Path, number: int) -> Path:
    """Return the path of runs/<number>/."""
    return folder / "runs" / f"{number:04}"


def lab_log(folder: Path, lab: int) -> Path:
    """Return the path of what a lab's session complains in; labs are counted from 0."""
    return folder / (f"lab-{lab + 1}.log" if lab else "lab.log")


def make_run_folder(folder: Path, number: int) -> Path:
    """Make and return runs/<number>/: captures/, logs/, and private configuration/ and keys/.

    FileExistsError if it is there.
    """
    run = run_folder(folder, number)
    run.mkdir()
    for name in ("captures", "logs"):
        (run / name).mkdir()
    for name in ("configuration", "keys"):
        (run / name).mkdir(mode=0o700)
    return run


def take(folder: Path, plan: Iterable[PlannedRun]) -> Iterator[PlannedRun]:
    """Make the folders of the runs, each when its turn comes; yield those that nobody else has.

    Of several that want to carry out a run one can make its folder, whatever kernels they are on.
    """
    for planned in plan:
        try:
            make_run_folder(folder, planned.run)
        except FileExistsError:
            continue
        yield planned


def clear_run_folder(folder: Path, number: int) -> None:
    """Remove what is in the place of runs/<number>/; where a link leads nothing is touched.

    DataError if it cannot be removed.
    """
    run = run_folder(folder, number)
    try:
        if run.is_symlink() or run.is_file():
            run.unlink()
        elif run.exists():
            shutil.rmtree(run)
    except OSError as error:
        raise DataError(f"{plain(run)}: {error.strerror}; remove it") from None


def append(folder: Path, run: Run) -> None:
    """Add a run to runs.jsonl; it is on disk when this returns."""
    append_line(folder / "runs.jsonl", run)


def load(folder: Path | str) -> Results:
    """Read a results folder; raises DataError with file and line.

    The variants are in the order of spec.toml, then of their first run.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise DataError(f"{plain(folder)}: no such results folder")
    if not (folder / "runs.jsonl").exists():
        newest = folder / LATEST
        perhaps = f"; perhaps {plain(newest)}" if newest.is_dir() else ""
        raise DataError(f"{plain(folder)}: no results folder, for it has no runs.jsonl{perhaps}")
    manifest = read_manifest(folder)
    runs, warnings = _read_runs(folder)
    document = read_spec(folder / "spec.toml")
    plan = read_plan(folder)
    spec, problem = _specification(document, folder)
    used = dict.fromkeys([run.variant for run in runs] + [one.variant for one in plan])
    named = [name for name in spec.variants if name in used] if spec else []
    loaded = Results(
        folder=folder,
        experiment=manifest.experiment
        if manifest
        else str(document.get("name", folder.parent.name)),
        runs=runs,
        variants=list(dict.fromkeys([*named, *used])),
        manifest=manifest,
        paper=load_paper(),
        spec=spec,
        plan=plan,
    )
    latest = folder.parent / LATEST
    if _is_no_link(latest) and folder != latest:
        left = f"{plain(latest)} is no link, and is left alone: it is not the newest results"
        warnings.append(left)
    about = manifest.warnings() if manifest else []
    stepped = {name for name in named if spec and any(s.at for s in spec.variants[name].steps)}
    # Steps in a bootstrap have parts of it begin anew, each with another of two observers.
    undisturbed = [run for run in runs if run.variant not in stepped]
    told = [loaded.unfinished, problem, *warnings, *about, *contradictions(undisturbed)]
    loaded.warnings.extend(filter(None, told))
    return loaded


def _read_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """Return the runs by number, and a warning if the last line is torn; DataError for one twice.

    Several labs finish them in another order.
    """
    path = folder / "runs.jsonl"
    lines = read_lines(path, Run)
    first: dict[int, int] = {}
    for run, number in zip(lines.items, lines.numbers, strict=True):
        if run.run in first:
            where = f"{plain(path)}:{number}"
            raise DataError(f"{where}: run {run.run} is in line {first[run.run]} already")
        first[run.run] = number
    runs = sorted(lines.items, key=lambda run: run.run)
    return runs, [lines.torn] if lines.torn else []


def _specification(document: dict[str, Any], folder: Path) -> tuple[Spec | None, str | None]:
    """Return the experiment, or why it cannot be used."""
    if not document:
        return None, None
    try:
        return Spec(document, plain(folder / "spec.toml")), None
    except SpecError as error:
        return None, f"{error}; what was expected of the variants is not known"


def contradictions(runs: Iterable[Run]) -> list[str]:
    """Return a line for each run whose capture and events contradict each other."""
    told = (
        (run, contradiction(run.phases or {}, run.event_phases or {}, run.share))
        for run in runs
        if not run.members  # Many wait for each other between a message and its event.
    )
    return [f"run {run.run} ({run.variant}): {text}" for run, text in told if text]


def read_spec(path: Path) -> dict[str, Any]:
    """Return a results folder's spec.toml as it is, empty without one; raises DataError."""
    if not path.exists():
        return {}
    try:
        return parse_toml(read(path))
    except DocumentError as error:
        raise DataError(f"{plain(path)}: {error}") from None


def write_phases_csv(results: Results) -> Path:
    """Write phases.csv: a line per run, failed ones too, times in seconds."""
    names, beside = (*PHASES, TOTAL), ("first_packet", DISCOVERY, OVERLAP)
    rows: list[list[Any]] = [["run", "variant", "seed", "status", *names, *beside, "came_to"]]
    for run in results.runs:
        times = [(run.phases or {}).get(name, "") for name in names]
        found = (run.first_packet, run.discovery, run.overlap)
        more = ["" if value is None else value for value in found]
        rows.append([run.run, run.variant, run.seed, run.status, *times, *more, run.came_to])
    return write_csv(results.folder / "phases.csv", rows)
