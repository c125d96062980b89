"""Several runs at once on one kernel, each in namespaces of its own."""

from pathlib import Path

import pytest

from testbed.experiment.spec import Spec
from testbed.lab import NativeLab
from testbed.report import plots
from testbed.runner import carry_out
from tests.lab.experiment import NEEDS, Silent

pytestmark = NEEDS
EXPERIMENT = """
name = "at-once"
approach = "static"
topology = "paper"
runs = 2
[settings]
duplicate_address_detection = false
[variants.one]
[variants.two]
"""


class Counting(Silent):
    """Counts the runs under way."""

    def __init__(self) -> None:
        self.under_way: set[int] = set()
        self.most = 0

    def phase(self, lab: int, variant: str, phase: str) -> None:
        """Note that a lab has a run."""
        super().phase(lab, variant, phase)
        self.under_way.add(lab)
        self.most = max(self.most, len(self.under_way))

    def finished(self, lab: int) -> None:
        """Note that a lab has none."""
        self.under_way.discard(lab)


def test_runs_at_once_do_not_touch_each_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "draw", lambda _: [])
    path = place / "at-once.toml"
    path.write_text(EXPERIMENT)
    spec = Spec.load(path)
    watcher = Counting()

    outcome = carry_out(
        spec, spec.plan(), lab=NativeLab(), jobs=2, seed=1, root=place, watcher=watcher
    )

    assert [(run.run, run.reason) for run in outcome.results.runs] == [
        (n, None) for n in (1, 2, 3, 4)
    ]
    assert watcher.most == 2
    assert outcome.results.missing == []
