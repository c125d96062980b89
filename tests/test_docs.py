"""What the documentation prints of the code is what the code says."""

import re

from testbed.base.places import PROJECT


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
