"""Results read by programs of one's own: testbed.results, and the notebook that shows it."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from testbed import results
from testbed.base import places
from testbed.base.places import PROJECT
from tests.testbed.simulated import carry_out

NOTEBOOK = PROJECT / "docs" / "explore.ipynb"
COMMAND = re.compile(r"mip6lab run (\w+) --lab sim")
FEW = ("--runs", "1", "--variant", "pana-ikev2", "--variant", "pana-fast")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with docs/, and what the notebook's command leaves of two of its variants."""
    root = tmp_path_factory.mktemp("explored")
    (root / "docs").mkdir()
    (root / "results").mkdir()
    [name] = COMMAND.findall(NOTEBOOK.read_text(encoding="utf-8"))
    carry_out(root / "results", places.experiments()[name].read_text(), *FEW)
    return root


@pytest.fixture(scope="module")
def executed(place):
    """The notebook after it has been executed, from top to bottom, in a kernel of its own."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(place / "docs")}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(place))
        patch.setenv("PYTHONPATH", str(PROJECT))
        return NotebookClient(notebook, timeout=120, resources=where).execute()


def said(notebook):
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    return "".join(out["text"] for out in outputs if out["output_type"] == "stream")


def test_what_a_run_has_kept_is_read_by_a_few_names(place):
    loaded = results.load(str(place / "results" / "pana-fast" / "latest"))

    assert loaded.variants == ["pana-ikev2", "pana-fast"]
    for run in loaded.runs:
        assert sum(run.phases[name] for name in run.phases if name != "total") == pytest.approx(
            run.phases["total"]
        )
        told = results.events(loaded, run)
        assert "Bootstrapped" in {event["event"] for event in told if event["host"] == "A"}
        captures = results.captures(loaded, run)
        assert list(captures) == ["A", "B", "C"]
        assert all(path.stat().st_size for path in captures.values())
    assert loaded.values("pana-fast", "total")[0] < loaded.values("pana-ikev2", "total")[0]


def test_what_is_no_results_folder_is_told(tmp_path):
    with pytest.raises(results.DataError, match="no results folder"):
        results.load(tmp_path)


def test_the_notebook_is_valid_and_kept_without_its_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)


def test_the_notebook_says_and_draws_what_the_runs_show(executed, place):
    text = said(executed)

    assert "pana-ikev2: 1 of 1 runs bootstrapped" in text
    assert "A Bootstrapped" in text
    assert "ms  MIPv6" in text
    drawn = [
        out
        for cell in executed.cells
        for out in cell.get("outputs", ())
        if "image/png" in out.get("data", {})
    ]
    assert len(drawn) == 2
    loaded = results.load(place / "results" / "pana-fast" / "latest")
    messages = loaded.of("pana-ikev2")[0].traffic.links["access"].protocols["PANA"].messages
    assert text.count("ms  PANA") >= messages


def test_a_notebook_that_goes_wrong_would_be_found(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])

    with pytest.raises(Exception, match="ZeroDivisionError"):
        NotebookClient(
            notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
