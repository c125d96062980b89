"""Which lab to take, and why."""

import os
from collections.abc import Callable, Iterable

from testbed.lab import vm, vm_kernel
from testbed.lab.doctor import FEATURES, Finding, lacking
from testbed.lab.job import Lab, LabError
from testbed.lab.native import NativeLab
from testbed.lab.sim import SimLab
from testbed.lab.uml import UmlLab
from testbed.lab.vm import VmLab
from testbed.lab.vm_kernel import Kernel

LABS = ("auto", "native", "vm", "uml", "sim")
KERNEL_FEATURES = tuple(
    n for n, feature in FEATURES.items() if feature.kind == "kernel" and feature.always
)
EMULATED = "its processor is emulated, so times and link rates are not a real one's"


def choose(
    name: str = "auto",
    needs: Iterable[str] = KERNEL_FEATURES,
    at_once: int = 1,
    give_up_root: Callable[[], None] = lambda: None,
    asked: str = "as asked",
) -> tuple[Lab, str]:
    """Return a lab, of which there will be `at_once`, and the line that says which it is and why.

    `auto` is native where every kernel feature that is needed is there, else vm where KVM works,
    else uml, else vm on an emulated processor; sim needs nothing, and is taken by its name alone.
    All but native need no root: before they are looked at, `give_up_root` is called. `asked` is why
    a lab is named. LabError, with what to do about it, if there is none to be had.
    """
    if name not in LABS:
        msg = f"no such lab: {name}; there are {', '.join(LABS)}"
        raise LabError(msg)
    if name == "sim":
        give_up_root()
        return SimLab(), f"lab: sim ({asked}); all times are a model's (docs/simulator.md)"
    if at_once > (cpus := len(os.sched_getaffinity(0))):
        msg = (
            f"{at_once} labs at once need a CPU each, and this program may use {cpus}:"
            " labs that share one lengthen each other's times;"
            f" use --jobs {cpus} at most"
        )
        raise LabError(msg)
    wanted = tuple(needs)
    looked_at = ("native", "vm", "uml") if name == "auto" else (name,)
    missing = {"native": lacking("native", wanted)} if "native" in looked_at else {}
    if "native" in looked_at and not missing["native"]:
        why = "this kernel has all that is needed" if name == "auto" else asked
        return NativeLab(), f"lab: native ({why})"
    if looked_at != ("native",):
        give_up_root()
    missing |= {lab: lacking(lab, wanted) for lab in looked_at if lab != "native"}
    lacks = f"native lacks {', '.join(finding.name for finding in missing.get('native', []))}"
    why = lacks if name == "auto" else asked
    kernel = None if missing.get("vm", True) else vm_kernel.find()
    if kernel and not vm.lacks_kvm(kernel):
        return _virtual(kernel, at_once, why)
    if "uml" in looked_at and not missing["uml"]:
        return UmlLab(at_once=at_once), f"lab: uml ({why})"
    if "vm" in looked_at and not missing["vm"]:
        return _virtual(kernel or vm_kernel.fetch(), at_once, why)
    raise LabError("\n".join(_complaint(lab, findings) for lab, findings in missing.items()))


def side_by_side(lab: Lab) -> tuple[Lab, int]:
    """Return a lab for as many at once as keep out of each other's way, and that number.

    Two of user-mode Linux, each pinned to its CPU, do not shift each other's times
    (docs/performance.md); what shares a kernel, or a machine's CPUs, does. A virtual clock is
    nobody's but its process's.
    """
    if lab.name == "sim":
        return lab, len(os.sched_getaffinity(0))
    if lab.name == "uml" and len(os.sched_getaffinity(0)) > 1:
        return UmlLab(at_once=2), 2
    return lab, 1


def _virtual(kernel: Kernel, at_once: int, why: str) -> tuple[Lab, str]:
    without = vm.lacks_kvm(kernel)
    line = f"lab: vm ({why})" + (f"; {EMULATED} ({without})" if without else "")
    return VmLab(kernel, emulated=without is not None, at_once=at_once), line


def _complaint(lab: str, findings: list[Finding]) -> str:
    lines = [f"the {lab} lab lacks:"]
    for finding in findings:
        lines.append(f"  {finding.name} ({finding.purpose}): {finding.how}; {finding.remedy}")
    return "\n".join(lines)
