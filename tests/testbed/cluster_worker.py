"""Loaded by Dask workers of tests: their lab is a process of this machine, or what is asked."""

import os
import sys
from pathlib import Path

import msgspec

from testbed.base.places import PROJECT
from testbed.cluster import worker
from testbed.lab import LabError
from testbed.lab.process import DIE_WITH_PARENT, ProcessJob

ASKED = os.environ.get("MIP6LAB_TEST_WORKER", "")


class Lab:
    name, emulated = "uml", False

    def start(self, command, *, cwd, log):
        del cwd
        session = (*DIE_WITH_PARENT, sys.executable, "-m", "tests.testbed.cluster_session")
        arguments = command[3:]
        return ProcessJob.start(
            (*session, *arguments), cwd=PROJECT, log=log, environment=dict(os.environ)
        )


def choose(*_):
    if ASKED == "no lab":
        raise LabError("the uml lab lacks: a kernel")
    return Lab(), "lab: uml"


worker.choose = choose
if ASKED == "other version":
    worker.sources = lambda: "0123456789ab"
if ASKED == "one CPU":
    machine = msgspec.structs.replace(worker.this_machine(), cpus=1)
    worker.this_machine = lambda: machine
if ASKED == "no product":  # As a worker in another environment.
    sys.path[:] = [path for path in sys.path if not (Path(path or ".") / "testbed").is_dir()]
    for name in [name for name in sys.modules if name.partition(".")[0] == "testbed"]:
        del sys.modules[name]
    sys.meta_path[:] = [one for one in sys.meta_path if "editable" not in repr(one)]
