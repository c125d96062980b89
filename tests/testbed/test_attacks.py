"""The experiment with attacks, its table in the documents, and its report."""

import io
import re

import pytest
from rich.console import Console

from agents.core.documents import parse_toml
from testbed import runner
from testbed.base.places import PROJECT
from testbed.experiment.spec import Spec, SpecError
from testbed.report import terminal
from testbed.results import folder as results
from testbed.results.runs import Run

ATTACKS = PROJECT / "experiments" / "attacks.toml"
ROW = re.compile(r"^\| `(?P<name>[a-z0-9-]+)` \| (?P<threat>[^|]+) \| (?P<what>[^|]+) \|", re.M)
SPEC = """
name = "attacks"
approach = "pana-ikev1"
topology = "attacked"
[variants.theft]
description = "a neighbour sends as another"
threat = "RFC 4016 6.4"
settings.attack = "service-theft"
expect.must = "nothing passes"
[variants.stranger]
description = "nobody knows him"
threat = "RFC 6733 13.2"
settings.attack = "diameter-stranger"
expect.must = "no connection"
expect.reason = "nobody"
"""


def test_the_document_has_the_attacks_of_the_experiment():
    text = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
    documented = {found["name"]: found["threat"] for found in ROW.finditer(text)}
    variants = Spec.load(ATTACKS).variants
    assert documented == {name: variant.threat for name, variant in variants.items()}
    assert len(documented) >= 20


def test_each_attack_says_what_must_happen():
    for variant in Spec.load(ATTACKS).variants.values():
        assert variant.description
        assert variant.threat.startswith("RFC ")
        assert variant.expect.must


def test_who_promises_that_less_comes_back_has_it_judged():
    for variant in Spec.load(ATTACKS).variants.values():
        promised = "less comes back than was sent" in variant.expect.must
        assert (variant.expect.octets_back == 1.0) is promised


def test_nothing_comes_back_where_nobody_floods():
    text = SPEC.replace('expect.must = "nothing passes"', "expect.octets_back = 1.0")
    with pytest.raises(SpecError, match=r"variant theft: expect.octets_back: nobody floods"):
        Spec(parse_toml(text), "x.toml")


def shown(root, *runs):
    folder = results.create(root, "attacks", SPEC, "one")
    for run in runs:
        results.append(folder, run)
    runner.conclude(folder)
    console = Console(file=io.StringIO(), width=200)
    terminal.show(results.load(folder), console)
    html = re.sub(r"<[^>]+>", " ", (folder / "report.html").read_text())
    return console.file.getvalue(), " ".join(html.split())


def test_the_report_has_a_table_of_attacks_with_verdicts(tmp_path):
    reason = "E, theft: it got answers from beyond the filter"
    stolen = Run(run=1, variant="theft", seed=1, status="failed", reason=reason)
    refused = Run(run=2, variant="stranger", seed=1, status="expected", outcome="nobody, he says")
    terminal, html = shown(tmp_path, stolen, refused)
    row = "theft: a neighbour sends as another RFC 4016 6.4 nothing passes"
    assert f"{row} {reason} NOT AS IT MUST BE" in html
    assert "no connection nobody, he says as it must be" in html
    for text in ("NOT AS IT MUST BE", "as it must be", "RFC 6733 13.2", "nobody, he says"):
        assert text in terminal
    assert f"run 1 (theft) failed: {reason}" in terminal
    assert "run 2" not in terminal  # What was expected is no error.
