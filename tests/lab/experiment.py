"""Experiments inside the lab that the tests run in."""

from collections.abc import Collection
from pathlib import Path

import pytest

from testbed.experiment.spec import Spec
from testbed.lab import NativeLab
from testbed.lab.doctor import lacking
from testbed.report import plots
from testbed.runner import Outcome, carry_out

_MISSING = lacking("native", ("esp6", "mip6", "ip6_tunnel", "sch_htb"))
NEEDS = pytest.mark.skipif(
    bool(_MISSING), reason=f"lacks {', '.join(finding.name for finding in _MISSING)}"
)


class Silent:
    """Watches nothing."""

    def phase(self, lab: int, variant: str, phase: str) -> None:
        """Ignore it."""

    def finished(self, lab: int) -> None:
        """Ignore it."""

    def ended(self, lab: int) -> None:
        """Ignore it."""

    def stopping(self) -> None:
        """Ignore it."""


def carry_out_here(
    path: Path, root: Path, *assignments: str, variants: Collection[str] = ()
) -> Outcome:
    """Carry out one run of each variant of an experiment, in namespaces of this kernel.

    Without `variants` of all of them. Figures are not drawn: they have nothing of the kernel.
    """
    spec = Spec.load(path, assignments)
    plan = [one for one in spec.plan(runs=1) if not variants or one.variant in variants]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda _: [])
        return carry_out(spec, plan, lab=NativeLab(), seed=1, root=root, watcher=Silent())
