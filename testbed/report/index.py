"""results/index.html: all results there are, and how medians of experiments went by commit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import msgspec

from testbed.base.files import plain, replace
from testbed.base.jsonl import DataError, read_json
from testbed.base.phases import TOTAL
from testbed.report import style
from testbed.report.template import document
from testbed.results.manifest import Manifest, read_manifest

NAME = "index.html"
_SHORT = 10  # Letters of a commit.


class _Phase(msgspec.Struct):
    median: float
    n: int = 0


class _Variant(msgspec.Struct):
    runs: int = 0
    succeeded: int = 0
    phases: dict[str, _Phase] = {}


class _Summary(msgspec.Struct):
    lab: str | None = None
    variants: dict[str, _Variant] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """A results folder: what it says of itself, or why that cannot be read."""

    folder: Path
    link: str
    started: str = ""
    lab: str = ""
    commit: str = ""
    runs: str = ""
    medians: dict[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def name(self) -> str:
        """The folder's name."""
        return plain(self.folder.name)


def write(root: Path) -> Path:
    """Write the index of the results below `root` and return it; OSError if it cannot be."""
    root = root.absolute()
    found: dict[str, list[Entry]] = {}
    for folder in _folders(root):
        found.setdefault(plain(folder.parent.name), []).append(_entry(root, folder))
    experiments = [(name, entries, _history(entries)) for name, entries in sorted(found.items())]
    text = document("index.html", experiments=experiments, root=plain(root))
    return replace(root / NAME, text)


def _folders(root: Path) -> Iterator[Path]:
    """Yield the results folders, those of an experiment from the newest on."""
    for lines in sorted(root.glob("*/*/runs.jsonl"), reverse=True):
        if not lines.parent.is_symlink():
            yield lines.parent


def _entry(root: Path, folder: Path) -> Entry:
    page = folder / "report.html"
    shown = page if page.exists() else folder
    link = quote(plain(shown.relative_to(root)))
    try:
        manifest = read_manifest(folder)
        path = folder / "summary.json"
        summary = read_json(path, _Summary) if path.exists() else _Summary()
    except (DataError, OSError) as error:
        return Entry(folder, link, problem=str(error))
    variants = summary.variants.values()
    good, all_ = (sum(getattr(v, name) for v in variants) for name in ("succeeded", "runs"))
    return Entry(
        folder,
        link,
        started=manifest.started if manifest else "",
        lab=manifest.where if manifest else summary.lab or "",
        commit=_commit(manifest),
        runs=f"{good} of {all_}" if path.exists() else "not summed up",
        medians={
            name: one.phases[TOTAL].median
            for name, one in summary.variants.items()
            if TOTAL in one.phases
        },
    )


def _commit(manifest: Manifest | None) -> str:
    if not manifest or not manifest.commit:
        return ""
    return manifest.commit[:_SHORT] + (" and changes" if manifest.dirty else "")


def _history(entries: list[Entry]) -> tuple[list[str], list[list[str]]]:
    """Return the variants of an experiment, and a row of medians for each of its results."""
    variants = list(dict.fromkeys(name for entry in entries for name in entry.medians))
    rows = [
        [
            entry.name,
            entry.commit or "unknown",
            *(style.seconds(entry.medians[v]) if v in entry.medians else "-" for v in variants),
        ]
        for entry in entries
    ]
    return variants, rows
