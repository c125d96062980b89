"""Fixtures of the harness' tests."""

import pytest

from testbed.report import plots, style


@pytest.fixture
def one_format(monkeypatch):
    """Have figures drawn as SVG alone; tests/testbed/test_plots.py draws them in every format."""
    monkeypatch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})


@pytest.fixture
def no_figures(monkeypatch):
    """Have no figures drawn: that takes seconds, and is tested by itself."""
    monkeypatch.setattr(plots, "draw", lambda _: [])
