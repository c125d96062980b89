"""A Dask cluster of processes of this machine."""

import json
import os
import subprocess
import sys
import time

from testbed.base.places import PROJECT

PATIENCE = 60.0


def until(met):
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := met()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class DaskCluster:
    """A scheduler and workers; whatever of it is left ends with the `with` block.

    `place` keeps what they say, and is their folder for temporary files.
    """

    def __init__(self, place, preload=None, **configuration):
        self.place, self.preload = place, preload
        self.temporary = place / "tmp"
        self.temporary.mkdir()
        self._environment = os.environ | {
            "TMPDIR": str(self.temporary),
            "MIP6LAB_TEST": str(place),
            "DASK_TEMPORARY_DIRECTORY": str(place),
            **configuration,
        }
        self._processes = []
        file = place / "scheduler.json"
        self.scheduler = self._start(
            *("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--scheduler-file", str(file)),
        )
        self.address = json.loads(until(lambda: file.exists() and file.read_text()))["address"]

    def _start(self, what, *options, **environment):
        with (self.place / f"{what}-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                (sys.executable, "-m", "dask", what, *options),
                cwd=PROJECT,
                env=self._environment | environment,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def add_worker(self, asked=""):
        """Start a worker with one slot, and no nanny that would start it again."""
        preload = ("--preload", self.preload) if self.preload else ()
        return self._start(
            *("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *preload),
            MIP6LAB_TEST_WORKER=asked,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            process.kill()
            process.wait()
