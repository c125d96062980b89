"""CLAIMS.md: what it says of each claim is what the program says, and verdicts stay on it."""

import json
import shutil

import pytest
from click.testing import CliRunner

from testbed.analysis.claims import CLAIMS, CONTRADICTED, NOT_SHOWN, SUPPORTED
from testbed.base import places
from testbed.base.phases import PHASES, TOTAL
from testbed.base.places import PROJECT
from testbed.cli import main
from testbed.report import claimed
from testbed.results import folder as results
from testbed.results.manifest import begin_manifest
from testbed.results.runs import Run

PHASED = dict.fromkeys([*PHASES, TOTAL], 0.1)
PAGE = PROJECT / "CLAIMS.md"


@pytest.fixture
def page(tmp_path):
    return shutil.copy(PAGE, tmp_path / "CLAIMS.md")


def outage(tmp_path, lab, **statuses):
    """Return results of the experiment outage."""
    spec = (PROJECT / "experiments" / "outage.toml").read_text()
    folder = results.create(tmp_path, "outage", spec)
    begin_manifest(folder, lab=lab, seed=1)
    for number, (variant, status) in enumerate(statuses.items(), 1):
        results.append(
            folder, Run(run=number, variant=variant, seed=1, status=status, phases=PHASED)
        )
    return folder


def test_the_page_is_current():
    assert claimed.text(PAGE) == PAGE.read_text(), "run mip6lab claims --page CLAIMS.md"


def test_every_claim_has_an_experiment_that_ships_and_a_page_that_there_is():
    for claim in CLAIMS:
        assert claim.experiment in places.experiments()
        assert claim.source.startswith("the paper, section") or (PROJECT / claim.source).is_file()
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


def test_what_the_page_keeps_are_verdicts_with_their_runs():
    kept = claimed.read(PAGE)

    assert {one.claim for one in kept} <= {claim.name for claim in CLAIMS}
    assert kept
    assert {one.verdict for one in kept} <= {SUPPORTED, CONTRADICTED, NOT_SHOWN}
    assert all("run" in one.runs and "commit" in one.runs for one in kept)


def test_new_verdicts_take_the_place_of_the_same_labs(page, tmp_path):
    before = {(one.claim, one.lab): one for one in claimed.read(page)}
    folder = str(outage(tmp_path, "vm", access="ok", core="failed"))

    done = CliRunner().invoke(main, ["claims", folder, "--page", str(page)])

    assert done.exit_code == 1
    assert "contradicted" in done.output
    after = {(one.claim, one.lab): one for one in claimed.read(page)}
    new = after.pop(("outage", "vm lab"))
    assert after == before
    assert (new.verdict, new.evidence) == (
        CONTRADICTED,
        "1 of 2 runs of 2 variants as expected; not: core",
    )

    good = str(outage(tmp_path, "vm", access="ok", core="ok"))
    done = CliRunner().invoke(main, ["claims", good, "--page", str(page), "--json"])

    assert done.exit_code == 0
    told = {one["name"]: one for one in json.loads(done.stdout)}
    assert [one["verdict"] for one in told["outage"]["verdicts"]] == [SUPPORTED]
    assert told["outage"]["command"] == "mip6lab run outage"
    [now] = [one for one in claimed.read(page) if one.lab == "vm lab"]
    assert now.verdict == SUPPORTED


def test_a_page_without_marks_and_a_folder_without_results_are_told(tmp_path):
    empty = tmp_path / "page.md"
    empty.write_text("nothing")
    done = CliRunner().invoke(main, ["claims", "--page", str(empty)])
    assert (done.exit_code, "lacks the lines" in done.output) == (2, True)

    done = CliRunner().invoke(main, ["claims", str(tmp_path / "none")])
    assert (done.exit_code, "no such results folder" in done.output) == (2, True)


def test_without_a_folder_the_claims_are_listed():
    done = CliRunner().invoke(main, ["claims"])

    assert done.exit_code == 0
    assert all(claim.name in done.output for claim in CLAIMS)
