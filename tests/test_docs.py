"""What the documentation prints of the code is what the code says."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.base.places import PROJECT

PAGES = (*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").rglob("*.md")))
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> Iterator[str]:
    """Yield what the headings of a page are called in links, as GitHub calls them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        yield re.sub(r"[^\w\- ]", "", shown).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


def test_the_paper_cites_what_its_bibliography_has_and_the_other_way_round():
    folder = PROJECT / "docs" / "joss"
    paper = (folder / "paper.md").read_text(encoding="utf-8")
    listed = re.findall(r"^@\w+\{(\w+),$", (folder / "paper.bib").read_text("utf-8"), re.M)
    cited = re.findall(r"[\[ -]@(\w+)", paper)

    assert set(cited) == set(listed)
    assert len(set(listed)) == len(listed)
    authors = re.findall(r'^  - name: "(.*)"$', (PROJECT / "CITATION.cff").read_text(), re.M)
    assert authors
    assert re.findall(r"^  - name: (.*)\n    affiliation:", paper, re.M) == authors


def test_a_version_is_the_same_wherever_it_is_said():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (PROJECT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")

    [cited] = re.findall(r"^version: (\S+)$", citation, re.M)
    released, *_ = re.findall(r"^## \[(\d[^]]*)\] - (\S+)$", changes, re.M)
    assert project["version"] == cited == released[0]
    assert f"date-released: {released[1]}" in citation


def test_the_approach_that_is_printed_is_the_one_that_ships():
    page = (PROJECT / "docs" / "approaches.md").read_text(encoding="utf-8")
    shipped = (PROJECT / "agents" / "approaches" / "dhaad_ikev2.py").read_text(encoding="utf-8")

    assert f"```python\n{shipped}```" in page


def test_the_bootstrap_that_is_printed_comes_to_its_end(capsys):
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    [script] = re.findall(r"```python\n(.*?)```", page, re.S)
    told = {}

    exec(script, told)

    assert "A role Bootstrapped" in capsys.readouterr().out
    assert [sent.number for sent in told["world"].sent if sent.lost] == [20]


def test_the_tests_that_the_security_page_names_are_there():
    page = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
    path, named = None, []
    for file, name in re.findall(r"T/([\w/]+\.py)|::(\w+)", page):
        path = PROJECT / "tests" / file if file else path
        source = path.read_text(encoding="utf-8")
        assert not name or re.search(rf"^\s*(def|class) {name}\b", source, re.M), (path, name)
        named.append(name or file)
    assert len(named) > 40
