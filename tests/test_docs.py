"""What the documentation prints of the code is what the code says."""

from testbed.results import PROJECT


def test_the_approach_that_is_printed_is_the_one_that_ships():
    page = (PROJECT / "docs" / "approaches.md").read_text(encoding="utf-8")
    shipped = (PROJECT / "agents" / "approaches" / "dns_ikev2.py").read_text(encoding="utf-8")

    assert f"```python\n{shipped}```" in page
