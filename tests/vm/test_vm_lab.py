"""A stock kernel in a virtual machine, wherever QEMU is; the paper's experiment on it.

Without KVM its processor is emulated, and the whole takes some minutes.
"""

import os
import sys

import pytest

from testbed.base.places import PROJECT
from testbed.experiment.spec import Spec
from testbed.lab import VmLab, inside
from testbed.lab.choice import choose
from testbed.lab.doctor import lacking
from testbed.runner import carry_out
from tests import guests
from tests.lab.experiment import Silent

PATHS = {"PYTHONPATH": str(PROJECT)}
MISSING = lacking("vm", ("cgroup_cpu",))
pytestmark = [
    pytest.mark.skipif(inside() is not None, reason="needs a machine of its own"),
    pytest.mark.skipif(bool(MISSING), reason=f"lacks {', '.join(one.name for one in MISSING)}"),
]


@pytest.fixture(scope="module")
def lab() -> VmLab:
    """The lab, with a kernel fetched if there is none at hand."""
    chosen, why = choose("vm")
    print(why)
    assert isinstance(chosen, VmLab)
    return chosen


def test_output_log_status_and_ownership(lab, tmp_path):
    guests.check_output_log_status_and_ownership(lab, tmp_path)


def test_a_terminal_is_handed_on(lab, tmp_path):
    del lab
    guests.check_terminal("vm", tmp_path)


def test_nothing_is_left_when_the_caller_is_killed(lab, tmp_path):
    del lab  # It is here: its kernel is there.
    guests.check_nothing_is_left_of_a_killed_caller("vm", "qemu-system", tmp_path)


def test_a_kernel_that_dies_is_told_with_its_last_words(lab, tmp_path):
    guests.check_last_words(lab, tmp_path)


def test_two_machines_run_side_by_side_and_programs_cannot_be_changed(lab, tmp_path):
    program = (
        "import os, pathlib; from testbed.lab import inside\n"
        "print(inside(), os.environ.get('MIP6LAB_EMULATED'))\n"
        "try: pathlib.Path('/usr/made-here').touch()\n"
        "except OSError as error: print(error.strerror)\n"
        "pathlib.Path(f'made-{os.environ[\"WHICH\"]}').touch()"
    )
    command = [sys.executable, "-c", program]
    with (
        lab.start(command, cwd=tmp_path, environment={"WHICH": "1", **PATHS}) as one,
        lab.start(command, cwd=tmp_path, environment={"WHICH": "2", **PATHS}) as other,
    ):
        said = [[*job.lines(), job.wait(guests.PATIENCE)] for job in (one, other)]
    assert said == [[f"vm {'1' if lab.emulated else None}", "Read-only file system", 0]] * 2
    made = {path.name: path.stat().st_uid for path in tmp_path.glob("made-*")}
    assert made == dict.fromkeys(("made-1", "made-2"), os.geteuid())


def test_the_papers_variants_succeed_and_are_marked_if_their_processor_was_emulated(lab, tmp_path):
    spec = Spec.load(PROJECT / "experiments" / "paper.toml")
    plan = spec.plan(runs=1)

    outcome = carry_out(spec, plan, lab=lab, seed=1, root=tmp_path, watcher=Silent())

    done = outcome.results
    assert {run.variant: run.reason for run in done.runs} == dict.fromkeys(spec.variants)
    assert all(done.bootstrapped(variant) for variant in spec.variants)
    assert all(link["rate"] for run in done.runs for link in run.measured.values())
    assert done.manifest
    assert done.manifest.kernel != done.manifest.caller_kernel
    assert (done.manifest.lab, done.manifest.emulated) == ("vm", lab.emulated)
    page = (done.folder / "report.html").read_text()
    assert ("the processor was emulated" in page) is lab.emulated
