"""Experiments that expect something of their variants: what each came to, as a table."""

from __future__ import annotations

from rich.table import Table

from testbed.results import Results, Run
from testbed.spec import Spec, SpecError
from testbed.tables import COMPACT


def _outcome(run: Run) -> str:
    if run.status == "failed":
        return run.reason or ""
    if run.continuity is None:
        return run.outcome
    lost = run.continuity["sent"] - run.continuity["answered"]
    silence = f"longest silence {run.continuity['silence']:.3f} s"
    return f"{run.outcome}; {lost:.0f} of {run.continuity['sent']:.0f} packets lost, {silence}"


def table(results: Results) -> Table | None:
    """Return what was expected and what came of it; None if the experiment expects nothing."""
    try:
        spec = Spec.load(results.folder / "spec.toml")
    except SpecError:
        return None
    if not any(variant.expect for variant in spec.variants.values()):
        return None
    shown = Table(title="what each variant came to, and runs as expected", **COMPACT)
    for heading in ("variant", "description", "came to", "runs"):
        shown.add_column(heading, overflow="fold", no_wrap=heading in ("variant", "runs"))
    for name in results.variants:
        runs = results.of(name)
        good = [run for run in runs if run.status != "failed"]
        outcomes = dict.fromkeys(_outcome(run) for run in runs)
        description = spec.variants[name].description
        shown.add_row(name, description, "\n".join(outcomes), f"{len(good)}/{len(runs)}")
    return shown
