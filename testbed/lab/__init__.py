"""In: a command. Out: the same command at work as root, in namespaces or on a kernel of its own."""

from testbed.lab.job import Lab, LabError, inside
from testbed.lab.native import NativeLab
from testbed.lab.sim import SimLab
from testbed.lab.uml import UmlLab
from testbed.lab.vm import VmLab

__all__ = ["Lab", "LabError", "NativeLab", "SimLab", "UmlLab", "VmLab", "inside"]
