"""Which lab to take, and why."""

import os
from collections.abc import Iterable

from testbed.lab.doctor import FEATURES, Finding, lacking
from testbed.lab.job import Lab, LabError
from testbed.lab.native import NativeLab
from testbed.lab.uml import UmlLab

LABS = ("auto", "native", "uml")
KERNEL_FEATURES = tuple(
    n for n, feature in FEATURES.items() if feature.kind == "kernel" and feature.always
)


def choose(
    name: str = "auto", needs: Iterable[str] = KERNEL_FEATURES, at_once: int = 1
) -> tuple[Lab, str]:
    """Return a lab, of which there will be `at_once`, and the line that says which it is and why.

    `auto` is native where every kernel feature that is needed is there, else uml. LabError, with
    what to do about it, if the lab asked for or both cannot be had.
    """
    if name not in LABS:
        msg = f"no such lab: {name}; there are {', '.join(LABS)}"
        raise LabError(msg)
    if at_once > (cpus := len(os.sched_getaffinity(0))):
        msg = (
            f"{at_once} labs at once need a CPU each, and this program may use {cpus}:"
            " labs that share one lengthen each other's times"
        )
        raise LabError(msg)
    wanted = tuple(needs)
    missing: dict[str, list[Finding]] = {}
    if name in {"auto", "native"}:
        missing["native"] = lacking("native", wanted)
        if not missing["native"]:
            return (
                NativeLab(),
                f"lab: native {_reason(name, 'this kernel has all that is needed')}",
            )
    if name in {"auto", "uml"}:
        missing["uml"] = lacking("uml", wanted)
        if not missing["uml"]:
            lacks = ", ".join(finding.name for finding in missing.get("native", []))
            return UmlLab(at_once=at_once), f"lab: uml {_reason(name, f'native lacks {lacks}')}"
    raise LabError("\n".join(_complaint(lab, findings) for lab, findings in missing.items()))


def _reason(name: str, reason: str) -> str:
    return f"({reason})" if name == "auto" else "(as asked)"


def _complaint(lab: str, findings: list[Finding]) -> str:
    lines = [f"the {lab} lab lacks:"]
    for finding in findings:
        lines.append(f"  {finding.name} ({finding.purpose}): {finding.how}; {finding.remedy}")
    return "\n".join(lines)
