"""In: a command. Out: the same command at work as root, in namespaces or in user-mode Linux."""

from testbed.lab.choice import LABS, choose
from testbed.lab.job import Job, Lab, LabError, inside
from testbed.lab.native import NativeLab, isolated
from testbed.lab.uml import UmlLab
from testbed.lab.uml_host import sweep

__all__ = [
    "LABS",
    "Job",
    "Lab",
    "LabError",
    "NativeLab",
    "UmlLab",
    "choose",
    "inside",
    "isolated",
    "sweep",
]
