"""The table of who understands whom: its rows, their verdicts, and the page with it."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from testbed import interop
from testbed.base import markdown
from testbed.base.places import PROJECT
from testbed.cli import main
from testbed.interop import ABSENT, COMMAND, GREEN, RED, Pair, Told, judge

BEGIN, END = markdown.begin(COMMAND), markdown.end(COMMAND)
PAIR = Pair("DNS", "agent", "NSD", "by name", "tests/a.py::test_a")


def told(test, outcome, reason=""):
    return Told(test, outcome, reason, 1.5, f"kept/{test}")


def test_every_row_names_tests_that_there_are():
    rows = interop.pairs(interop.load())
    tests = {row.test for row in rows if not row.absent}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q"]
    done = subprocess.run(
        [*command, *sorted(tests)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert len({row.title for row in rows}) == len(rows) >= 60
    found = done.stdout.splitlines()
    assert not [row.title for row in rows if row.test and not any(map(row.covers, found))]


def test_every_implementation_has_a_version_or_is_ours_or_cannot_be_here():
    matrix = interop.load()
    for group in matrix.pairs:
        assert bool(group.absent) != bool(group.shown)
        assert group.absent or {group.left, group.right} <= {"agent", *matrix.packages}


def test_rows_are_chosen_by_words_that_are_all_in_them():
    chosen = interop.pairs(interop.load(), ["ikev2", "Strongswan", "EAP-TLS"])
    assert {row.protocol for row in chosen} >= {"IKEv2", "bootstrap, IKEv2"}
    assert all("IKEv2" in row.protocol and "EAP-TLS" in row.title for row in chosen)
    assert {row.left for row in chosen} == {row.right for row in chosen} == {"agent", "strongSwan"}


@pytest.mark.parametrize(
    ("outcomes", "status", "result"),
    [
        (["passed"], GREEN, "green"),
        (["passed", "failed"], RED, "red: no answer"),
        (["skipped", "failed"], RED, "red: no answer"),
        (["passed", "skipped"], ABSENT, "cannot be here: no answer"),
        ([], RED, "red: not carried out: Killed"),
    ],
)
def test_a_row_is_as_good_as_the_worst_of_its_cases(outcomes, status, result):
    cases = [
        told(f"{PAIR.test}[{number}]", outcome, "" if outcome == "passed" else "no\n  answer")
        for number, outcome in enumerate(outcomes)
    ]
    other = told("tests/a.py::test_another", "failed", "not this one")

    verdict = judge(PAIR, [*cases, other], "Killed")

    assert (verdict.status, verdict.result) == (status, result)
    assert verdict.seconds == 1.5 * len(outcomes)
    assert list(verdict.folders) == [case.folder for case in cases]
    assert verdict.as_json()["shown"] == "by name"


def test_who_cannot_be_here_is_told_with_the_reason():
    verdict = judge(Pair("IKE", "agent", "libreswan", "", "", "excluded"), [])
    assert verdict.result == "cannot be here: excluded"
    assert verdict.as_json()["status"] == 127


def test_the_tests_of_a_module_stay_together():
    tests = [f"tests/{module}.py::test_{n}" for n in range(4) for module in "ab"] + [
        "tests/c.py::t"
    ]
    first, second = interop.shares(tests, 2)
    assert {test[:10] for test in first} == {"tests/a.py", "tests/c.py"}
    assert {test[:10] for test in second} == {"tests/b.py"}
    assert interop.shares(tests[:1], 2) == [tests[:1]]


def test_the_table_goes_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    verdicts = [judge(PAIR, [told(PAIR.test, "passed")])]

    interop.write_page(page, verdicts, {"NSD": "4.6.1"}, "uml")

    assert page.read_text() == (
        f"before\n{BEGIN}\n\n"
        "1 rows: 1 green, 0 red, 0 cannot be here. Carried out in the uml lab with NSD 4.6.1.\n\n"
        "| protocol | begins | with | shown | result |\n| --- | --- | --- | --- | --- |\n"
        f"| DNS | agent | NSD | by name | green |\n\n{END}\nafter\n"
    )
    interop.write_page(page, verdicts, {}, "uml")
    assert page.read_text().count("| DNS") == 1
    page.write_text("none")
    with pytest.raises(ValueError, match="add them"):
        interop.write_page(page, verdicts, {}, "uml")


def test_versions_are_those_of_packages_that_are_here():
    here = interop.versions({"pytest": "pytest", "nobody": "no-such-package"})
    assert here == {"pytest": pytest.__version__}


def test_without_the_tests_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(interop, "MATRIX", tmp_path / "interop.toml")
    done = CliRunner().invoke(main, ["interop"])
    assert done.exit_code == 2
    assert "use a clone" in done.output


def test_a_page_without_marks_is_refused_before_anything_is_carried_out(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a page")
    done = CliRunner().invoke(main, ["interop", "NSD", "--page", str(page)])
    assert done.exit_code == 2
    assert "between which the table goes" in done.output


def test_words_that_no_row_has_are_refused():
    done = CliRunner().invoke(main, ["interop", "nobody"])
    assert done.exit_code == 2
    assert "no row has" in done.output
