"""In: a command. Out: the same command at work as root, in namespaces or in user-mode Linux."""

from testbed.lab.job import Lab, LabError, inside
from testbed.lab.native import NativeLab
from testbed.lab.uml import UmlLab

__all__ = ["Lab", "LabError", "NativeLab", "UmlLab", "inside"]
