"""The page of all claims: what decides each, how long that takes, and what runs have shown.

The first table is made of testbed.analysis.claims and the experiments that ship. Verdicts are kept
on the page itself: those of new results take the place of the same lab's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rich.table import Table
from rich.text import Text

from testbed.analysis.claims import CLAIMS, NOT_SHOWN, Claim, findings
from testbed.base import markdown
from testbed.base.files import replace
from testbed.base.words import several
from testbed.experiment.simulable import obstacles
from testbed.experiment.spec import Spec
from testbed.report.catalogue import load_experiment
from testbed.report.tables import COLOURS, COMPACT
from testbed.results.folder import Results
from testbed.run.simulated import can_run

COMMAND = "claims"


@dataclass(frozen=True, slots=True)
class Kept:
    """A verdict on a claim by the runs of one lab, and which these were."""

    claim: str
    lab: str
    verdict: str
    evidence: str
    runs: str


@dataclass(frozen=True, slots=True)
class Check:
    """How a claim is decided: the command, about how many minutes it takes, and if it simulates."""

    command: str
    minutes: int
    simulated: bool


def check_of(claim: Claim) -> Check:
    """Return how a claim is decided, with the experiment as it ships, in user-mode Linux."""
    spec: Spec = load_experiment(claim.experiment)
    how = "sweep" if spec.experiment.sweep else "run"
    minutes = max(1, round(sum(spec.durations(spec.plan())) / 60))
    return Check(f"mip6lab {how} {claim.experiment}", minutes, not obstacles(spec, can_run))


def verdicts(loaded: Iterable[Results]) -> list[Kept]:
    """Return what each folder says of the claims that its experiment is to decide."""
    kept = []
    for one in loaded:
        for claim, found in zip(CLAIMS, findings([one]), strict=True):
            if one.experiment == claim.experiment.replace("_", "-"):
                kept.append(
                    Kept(claim.name, _where(one), found.verdict, found.evidence, _runs(one))
                )
    return kept


def _where(results: Results) -> str:
    return results.manifest.where if results.manifest else "not known"


def _runs(results: Results) -> str:
    manifest = results.manifest
    commit = f", commit {manifest.commit[:12]}" if manifest and manifest.commit else ""
    day = f", {manifest.started[:10]}" if manifest else ""
    return f"{several(len(results.runs), 'run')}{day}{commit}"


def table(kept: Sequence[Kept]) -> list[tuple[str, ...]]:
    """Return the rows of the verdicts, in the claims' order; also of those without any."""
    rows: list[tuple[str, ...]] = []
    for claim in CLAIMS:
        own = sorted((one for one in kept if one.claim == claim.name), key=lambda one: one.lab)
        rows += [astuple(one) for one in own] or [(claim.name, "-", NOT_SHOWN, "no runs kept", "-")]
    return rows


def read(page: Path) -> list[Kept]:
    """Return the verdicts that a page keeps; ValueError if it lacks its marks."""
    _, inside, _ = markdown.split(page, COMMAND)
    rows = [markdown.cells(line) for line in inside.splitlines() if line.startswith("|")]
    names = [field.name for field in fields(Kept)]
    begins = rows.index(names) + 2 if names in rows else len(rows)
    known = {claim.name for claim in CLAIMS}
    return [Kept(*row) for row in rows[begins:] if row[0] in known and row[1] != "-"]


def text(page: Path, new: Sequence[Kept] = ()) -> str:
    """Return a page with the claims of now, and new verdicts beside those of other labs."""
    before, _, behind = markdown.split(page, COMMAND)
    replaced = {(one.claim, one.lab) for one in new}
    kept = [one for one in read(page) if (one.claim, one.lab) not in replaced]
    claimed = [_row(claim) for claim in CLAIMS]
    lines = [
        *markdown.table(
            ("name", "claim", "made in", "expected", "decided by", "minutes", "simulator"), claimed
        ),
        "",
        "## Verdicts",
        "",
        *markdown.table([field.name for field in fields(Kept)], table([*kept, *new])),
    ]
    return markdown.joined((before, "\n".join(lines), behind))


def write(page: Path, new: Sequence[Kept]) -> None:
    """Write text() into the page."""
    replace(page, text(page, new))


def listing() -> Table:
    """Return the claims, each with what decides it, for the terminal."""
    shown = Table(**COMPACT)
    for heading in ("name", "claim, and what is expected", "decided by", "minutes"):
        shown.add_column(heading, no_wrap=heading in ("name", "minutes"))
    for claim in CLAIMS:
        check = check_of(claim)
        said = f"{claim.text} ({claim.source}): {claim.expected}"
        shown.add_row(*map(Text, (claim.name, said, check.command, str(check.minutes))))
    return shown


def judged(kept: Sequence[Kept]) -> Table:
    """Return verdicts for the terminal."""
    shown = Table(**COMPACT)
    for field in fields(Kept):
        shown.add_column(field.name, no_wrap=field.name in ("claim", "verdict"))
    for one in kept:
        colour = COLOURS.get(one.verdict, "yellow")
        shown.add_row(*map(Text, astuple(one)), style=colour)
    return shown


def _row(claim: Claim) -> tuple[str, ...]:
    check = check_of(claim)
    source = claim.source
    return (
        f"`{claim.name}`",
        claim.text,
        f"[{source}]({source})" if source.endswith(".md") else source,
        claim.expected,
        f"`{check.command}`",
        str(check.minutes),
        "yes" if check.simulated else "no",
    )
