"""Fixtures of the lab tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.results import PROJECT


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that hosts can reach: they have a /run, and so a TMPDIR, of their own."""
    root = PROJECT / "results"
    root.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lab-test-", dir=root) as folder:
        yield Path(folder)
