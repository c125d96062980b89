"""What strangers sent and what programs used, in events and tables."""

import json

import pytest

from testbed import runner
from testbed.analysis import claims
from testbed.base.phases import PHASES, TOTAL
from testbed.report import loads
from testbed.results import folder as results
from testbed.results.folder import Run, load
from testbed.trace import floods

SPEC = """
name = "floods"
approach = "pana-ikev1"
topology = "attacked"
[variants.none]
[variants.flooded]
settings.flood = { attack = "pana_start" }
"""
SECONDS = 2.0


def made(root, *, failed):
    folder = results.create(root, "floods", SPEC, "20260101T000000Z")
    phases = dict.fromkeys(PHASES, 0.1) | {TOTAL: 0.5}
    for number, variant in enumerate(("none", "flooded", "flooded"), 1):
        flooded = variant == "flooded"
        good = not (flooded and number <= 1 + failed)
        run = Run(
            run=number,
            variant=variant,
            seed=1,
            status="ok" if good else "failed",
            reason=None if good else "no binding within 30 s",
            phases=phases if good else None,
            programs={
                "B-access_router": {"cpu": 1.0 * flooded, "seconds": SECONDS, "memory": 40 << 20},
                "E-flooder": {"cpu": 0.5, "seconds": SECONDS, "memory": 20 << 20},
            },
            flood={
                "attempts": 500,
                "sent": 800,
                "octets": 80_000,
                "answered": 600,
                "octets_back": 60_000,
                "refused": 0,
                "seconds": 4.0,
            }
            if flooded
            else None,
        )
        results.append(folder, run)
    return load(folder)


def test_the_last_report_of_a_flood_is_its_account(tmp_path):
    path = tmp_path / "events.jsonl"
    assert floods.from_events(path) is None
    other = {"t": 1, "host": "A", "agent": "role", "event": "Ready", "pid": 3}
    told = {
        "t": 1, "host": "E", "agent": "flooder", "event": "Flooded", "attack": "pana_start",
        "seconds": 1.5, "attempts": 3, "sent": 5, "answered": 2, "refused": 1,
        "octets": 700, "octets_back": 200,
    }  # fmt: skip
    path.write_text(json.dumps(other) + "\n")
    assert floods.from_events(path) is None
    lines = [other, told, told | {"seconds": 2.0, "sent": 9}, other]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert floods.from_events(path) == {
        "seconds": 2.0, "attempts": 3, "sent": 9, "answered": 2, "accepted": 0, "refused": 1,
        "octets": 700, "octets_back": 200,
    }  # fmt: skip


def test_a_row_tells_of_runs_flood_and_the_attacked_programs(tmp_path):
    head, rows = loads.flood_rows(made(tmp_path, failed=1))

    assert [cell.replace("\n", " ") for cell in head] == [
        *("variant", "runs", "packets/s (answers)", "octets back for one", "total"),
        "B access router",
    ]  # fmt: skip
    assert rows[0] == ("none", "1/1", "none", "-", "500 ms", "0 % CPU\n40 MiB")
    assert rows[1] == ("flooded", "1/2", "200\n(150)", "0.75", "500 ms", "50 % CPU\n40 MiB")


@pytest.mark.usefixtures("no_figures")
def test_summary_and_report_have_them(tmp_path):
    folder = made(tmp_path, failed=0).folder
    runner.conclude(folder)

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["variants"]["flooded"]["programs"]["B-access_router"]["cpu"] == 1.0
    page = (folder / "report.html").read_text()
    assert "Under floods" in page
    assert "CPU and peak memory of the programs" in page


def claim(found):
    [one] = [c for c in claims.findings([found]) if "stranger floods" in c.claim]
    return one


def test_the_claim_stands_as_long_as_no_bootstrap_failed(tmp_path):
    good, bad = made(tmp_path / "good", failed=0), made(tmp_path / "bad", failed=1)

    assert claim(good).verdict == claims.SUPPORTED
    assert claim(bad).verdict == claims.CONTRADICTED
    assert "1 of 2" in claim(bad).evidence
    assert claim(bad).data["failed"] == ["flooded"]


def test_a_strangers_binding_contradicts_it(tmp_path):
    found = made(tmp_path, failed=0)
    found.runs[1].flood |= {"accepted": 1}

    assert claim(found).verdict == claims.CONTRADICTED
    assert "bound for strangers: 1" in claim(found).evidence


def test_without_a_flood_nothing_is_shown(tmp_path):
    found = made(tmp_path, failed=0)
    for run in found.runs:
        run.flood = None

    assert claim(found).verdict == claims.NOT_SHOWN
