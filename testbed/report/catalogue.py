"""What there is to choose from: experiments, topologies, approaches and results, each in a line."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import topologies
from agents import approaches
from agents.core.documents import absent
from testbed.base import places
from testbed.base.files import plain
from testbed.base.jsonl import DataError
from testbed.base.words import several
from testbed.experiment.spec import Spec, SpecError
from testbed.results.folder import LATEST, read_plan
from testbed.results.manifest import read_manifest
from topologies.plugins import PluginError


def _heading(load: Callable[[str], ModuleType], name: str) -> str:
    """Return the first line of a module's docstring, or why it cannot be loaded."""
    try:
        return (load(name).__doc__ or "").partition("\n")[0]
    except PluginError as error:
        return str(error)


def _experiments(_results: Path) -> dict[str, str]:
    found = {}
    for name, path in places.experiments().items():
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        command = "sweep" if "sweep" in document else "run"
        found[name] = f"{document.get('title', '')} (mip6lab {command} {name})"
    return found


def _topologies(_results: Path) -> dict[str, str]:
    return {name: _heading(topologies.module, name) for name in topologies.names()}


def _approaches(_results: Path) -> dict[str, str]:
    return {name: _heading(approaches.load, name) for name in approaches.names()}


def _extent(folder: Path, done: int) -> str:
    """Return how many of its planned runs a results folder has."""
    try:
        planned = max(done, len(read_plan(folder)))
    except (DataError, OSError):
        planned = done
    return several(done, "run") if done == planned else f"{done} of {several(planned, 'run')}"


def _results(results: Path) -> dict[str, str]:
    """Return every results folder with its number of runs."""
    found = {}
    for lines in sorted(results.glob("*/*/runs.jsonl")):
        folder = lines.parent
        if folder.is_symlink():
            continue
        latest = folder.parent / LATEST
        try:
            newest = ", the latest" if latest.exists() and latest.samefile(folder) else ""
            extent = _extent(folder, len(lines.read_bytes().splitlines()))
        except OSError as error:
            newest, extent = "", f"{lines.name} cannot be read: {error.strerror}"
        found[plain(folder)] = f"{extent}{_simulated(folder)}{newest}"
    return found


def _simulated(folder: Path) -> str:
    """Return a word if the runs are a model's; whether they are is not known without a manifest."""
    try:
        manifest = read_manifest(folder)
    except (DataError, OSError):
        return ", and its manifest cannot be read"
    return ", simulated" if manifest and manifest.is_simulated else ""


_FINDERS: dict[str, Callable[[Path], dict[str, str]]] = {
    "experiments": _experiments,
    "topologies": _topologies,
    "approaches": _approaches,
    "results": _results,
}


def find(kind: str, results: Path) -> dict[str, str]:
    """Return what there is of a kind: names, or the folders below `results`, and a line on each."""
    return _FINDERS[kind](results)


def load_experiment(
    name: str, assignments: Sequence[str] = (), variants: Sequence[str] = ()
) -> Spec:
    """Read an experiment by its name or path, or only some of its variants; raises SpecError."""
    path = places.find_experiment(name)
    if not path.exists():
        what = "such file, and no experiment of that name"
        raise SpecError(f"{name}: {absent(what, name, places.experiments())}")
    spec = Spec.load(path, assignments)
    if not variants:
        return spec
    if unknown := [variant for variant in variants if variant not in spec.variants]:
        what = f"variant {unknown[0]}"
        raise SpecError(f"{name}: {absent(what, unknown[0], spec.variants)}")
    kept = {k: v for k, v in spec.document["variants"].items() if k in variants}
    return Spec({**spec.document, "variants": kept}, spec.source)
