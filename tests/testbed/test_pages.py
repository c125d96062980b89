"""mip6lab timeline and view, and the index of all results."""

import pytest
from click.testing import CliRunner

from testbed.cli import main, pages
from testbed.report import index, page
from testbed.results import folder as results
from tests.testbed import sample


@pytest.fixture
def folder(tmp_path):
    return sample.make(tmp_path, runs=2, failed=0)


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    for name in pages.DISPLAYS:
        monkeypatch.delenv(name, raising=False)


def invoke(*words):
    return CliRunner().invoke(main, [*map(str, words)])


@pytest.mark.parametrize(
    ("name", "magic"), [("one.svg", b"<?xml"), ("one.png", b"\x89PNG"), ("one.pdf", b"%PDF")]
)
def test_a_runs_ladder_is_drawn_in_the_format_that_its_name_says(folder, tmp_path, name, magic):
    done = invoke("timeline", folder, "--run", 3, "--output", tmp_path / name)

    assert (done.exit_code, done.output) == (0, f"{tmp_path / name}\n")
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_without_a_name_it_goes_to_the_figures(folder):
    done = invoke("timeline", folder, "--run", 2)

    assert done.output.strip().endswith("figures/ladder-0002.svg")
    assert (folder / "figures" / "ladder-0002.svg").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--run", 77), "there is no run 77; there are 1 to 6"),
        (("--output", "x.gif"), "written as .png, .svg or .pdf"),
    ],
)
def test_what_cannot_be_drawn_is_told(folder, words, said):
    done = invoke("timeline", folder, *words)

    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.usefixtures("no_figures")
def test_view_prints_the_page_and_writes_it_if_there_is_none(folder):
    done = invoke("view", folder)

    assert done.output == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").exists()


@pytest.mark.usefixtures("no_figures")
def test_the_index_links_every_result_and_has_medians_by_commit(folder, tmp_path):
    invoke("report", folder)
    other = sample.make(tmp_path, runs=1, failed=0)
    (other / "manifest.json").write_text("{")

    done = invoke("view", "--output", tmp_path)

    assert done.output == f"{tmp_path / index.NAME}\n"
    text = (tmp_path / index.NAME).read_text()
    assert f'href="paper/{folder.name}/report.html"' in text
    assert f'href="paper/{other.name}"' in text
    assert "manifest.json" in text
    assert "6 of 6" in text
    assert "resident-no-dad" in text


def test_a_page_says_how_the_runs_are_repeated(folder):
    loaded = results.load(folder)

    said = page.command(loaded)

    assert said.startswith("mip6lab run ")
    assert said.endswith(f"spec.toml --runs 2 --seed {loaded.manifest.seed} --lab uml")
