"""The documents as a site: it is built strictly, without a network, and needs none to be read."""

import os
import re
import subprocess
import sys

import pytest

from testbed.base.places import PROJECT

pytest.importorskip("mkdocs", reason="comes with: make setup LEVEL=tests")

LOADED = re.compile(r"<(?:script|img|iframe)\b[^>]*\bsrc=[\"']?([^\"'> ]+)|<link\b[^>]*>", re.I)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the site, built as `make docs` does it; a warning fails it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=PROJECT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


def test_readme_is_its_front_page_and_all_documents_are_there(site):
    assert "Beyond the paper" in (site / "index.html").read_text(encoding="utf-8")
    for page in (PROJECT / "docs").rglob("*.md"):
        path = page.relative_to(PROJECT / "docs").with_suffix(".html")
        if path.parts[0] == "joss":
            continue  # A paper in its journal's form.
        path = path.with_name("index.html") if path.name == "README.html" else path
        assert (site / path).is_file(), path
    for name in ("claims", "changelog", "contributing", "project-security"):
        assert (site / f"{name}.html").is_file()


def test_links_to_sources_lead_to_their_text(site):
    page = (site / "approaches.html").read_text(encoding="utf-8")
    assert 'href="source/agents/approaches/dhaad_ikev2.py.html"' in page
    source = site / "source" / "agents" / "approaches" / "dhaad_ikev2.py.html"
    assert "Return the programs of home network" in source.read_text(encoding="utf-8")
    assert (site / "source/docs/joss/paper.md.html").is_file()
    assert "dhaad_ikev2.py" in (site / "source/agents/approaches/index.html").read_text()


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        for found in LOADED.finditer(page.read_text(encoding="utf-8")):
            loaded = found[1] or found[0]
            assert not re.search(r"https?://|=//", loaded), (page, loaded)
